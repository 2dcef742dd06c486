"""A large run, made up: a study of so many ratios, whose images are hard links to one picture per ratio."""

import json
import os
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from gridsearch.results.shared.optuna_private import storage_of, study_id
from gridsearch.results.shared.optuna_tables import database_of
from tests.helpers.made_up import judged, model, strength
from tests.helpers.pictures import gained, scene, to_bytes

WORDS = "masterpiece, best quality, 1girl, city at night, rain, neon lights, reflections, <lora:detail:0.8>, "
MODE = "v_prediction"
SCENES = 10  # drawing one of 1024 px takes seconds; each ratio has its own contrast of one
GRAIN = 1.5  # levels
_scene = lru_cache(scene)


def large_run(folder: Path, ratios: int, prompts: int, seeds: int, side: int) -> Path:
    """The folder, as `gridsearch run` leaves it; `side` is that of every image, in px."""
    cases = [(p, 100 * p + s) for p in range(1, prompts + 1) for s in range(seeds)]
    places = [i / ratios for i in range(ratios)]
    trials = [_trial(folder, i, ratio, cases, side) for i, ratio in enumerate(places)]
    references = [{"model": "base"} | row for row in _rows(folder, "references/base", 1.0, 0, cases, side)]
    facts = store.Facts(
        _experiment(cases, ratios),
        {"base": model("a1", "epsilon"), "vpred": model("b2", MODE)},
        {"gridsearch": "made up"},
        references,
        ratios,
        {"on": "nothing"},
        "large.toml",
    )
    store.write_study(folder, facts)
    with store.open_study(folder) as study:
        _put(study, trials)
    return folder


def _put(study: optuna.Study, trials: list[FrozenTrial]) -> None:
    """Add trials that have ended, in one transaction: of thousands Optuna's own way makes as many."""
    rows: dict[type, list[dict]] = defaultdict(list)
    for i, trial in enumerate(trials):
        own = {"trial_id": i + 1}
        times = {"datetime_start": trial.datetime_start, "datetime_complete": trial.datetime_complete}
        rows[models.TrialModel].append(
            own | times | {"number": i, "study_id": study_id(study), "state": trial.state}
        )
        value = {"objective": 0, "value": trial.value, "value_type": "FINITE"}
        rows[models.TrialValueModel].append(own | value)
        for name, space in trial.distributions.items():
            said = {"param_name": name, "distribution_json": distribution_to_json(space)}
            rows[models.TrialParamModel].append(own | said | {"param_value": trial.params[name]})
        for key, value in trial.user_attrs.items():
            said = {"key": key, "value_json": json.dumps(value)}
            rows[models.TrialUserAttributeModel].append(own | said)
    with database_of(storage_of(study)).engine.begin() as connection:
        for table, content in rows.items():
            connection.execute(sqlalchemy.insert(table.__table__), content)


def _experiment(cases: list[tuple[int, int]], ratios: int) -> dict:
    seeds: dict[int, list[int]] = {}
    for prompt, seed in cases:
        seeds.setdefault(prompt, []).append(seed)
    step = {"models": ["base", "vpred"], "ratio": {"low": 0.0, "high": 1.0, "step": 1 / ratios}}
    table = {
        "name": "large",
        "models": {"base": "a.safetensors", "vpred": "b.safetensors"},
        "merge": [step],
        "prompt": [{"id": f"p{p}", "text": f"{WORDS}scene {p}", "seeds": own} for p, own in seeds.items()],
    }
    return Experiment.model_validate(table).model_dump(mode="json")


def _trial(folder: Path, number: int, ratio: float, cases: list, side: int) -> FrozenTrial:
    rows = _rows(folder, f"images/t{number:04d}", ratio, number, cases, side)
    return create_trial(
        state=TrialState.COMPLETE,
        value=1.0,
        params={"ratio": ratio},
        distributions={"ratio": FloatDistribution(0, 1)},
        user_attrs={"images": store.json_safe(rows), "seconds": {"merge": 0.1, "render": 9.0}},
    )


def _rows(folder: Path, name: str, ratio: float, number: int, cases: list, side: int) -> list[dict]:
    """A row per case, as the made-up curve judges it; the picture is one for all."""
    shown = max(0.02, strength(ratio, 0, 0, MODE))
    drawn = _picture(side, number, shown)
    first, rows = None, []
    for prompt, seed in cases:
        file = folder / f"{name}_p{prompt}_s{seed}.png"
        if first is None:
            file.parent.mkdir(parents=True, exist_ok=True)
            drawn.save(file)
            first = file
        else:
            os.link(first, file)
        contrast = max(0.02, strength(ratio, prompt, seed, MODE)) if name.startswith("images") else 1.0
        case = {"prompt_id": f"p{prompt}", "prompt": f"{WORDS}scene {prompt}", "seed": seed}
        told = judged(contrast, drawn.resize((32, 32)))
        rows.append(
            case
            | {"prediction_type": MODE, "finite": True, "seconds": 0.4, "unet_calls": 20}
            | told
            | {"file": str(file.relative_to(folder))}
        )
    return rows


def _picture(side: int, number: int, contrast: float) -> Image.Image:
    """With a little grain: without it a PNG packs, and unpacks, faster than one that a model drew."""
    grain = np.random.default_rng(number).normal(0, GRAIN, (side, side, 3))
    return Image.fromarray(to_bytes(gained(_scene(side, number % SCENES), contrast) + grain))
