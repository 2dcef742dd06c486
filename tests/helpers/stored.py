"""A made-up run in a study, as `gridsearch run` leaves it: a film of every image, hopeless ones stopped."""

import functools
import os
import shutil
import tempfile
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image

from gridsearch.experiment.experiment import Experiment
from gridsearch.results import store
from tests.helpers.made_up import drawn, model, save

RATIOS = (0.5, 0.0, 1.0, 0.25, 0.75)  # in the order of the trials, which is not that along the ratio
CONTRAST = {0.0: 0.05, 0.25: 0.9, 0.5: 1.0, 0.75: 2.0, 1.0: 3.0}
CALLS, STOPPED_AT, FRAME = 20, 8, 16
WHY = "its latents vary by 8.1, the references' by 1.3 at most"
PROVENANCE = [
    {"setting": "sampler", "value": "euler", "source": "the experiment"},
    {"setting": "prediction_type", "value": "epsilon", "source": "base predicts it (marker key)"},
    {"setting": "rng", "value": "cpu", "source": "the default"},
]
# what rows and facts did not hold in earlier versions
NEW = ("unet_calls", "unet_calls_saved", "stopped", "stopped_because", "film")


# The settings of an image before there were more.
EARLIER = (
    *("prediction_type", "zero_terminal_snr", "timestep_spacing", "sampler", "steps", "cfg", "cfg_rescale"),
    *("unconditional", "width", "height", "batch", "device", "dtype", "config", "vocabulary"),
)


def stored_run(folder: Path, prompts=("a cat", "a dog"), seeds=(11, 12), old: bool = False) -> Path:
    """Five trials: the images of the last ratio, 1, were stopped as noise, and all others were not."""
    made = _made(tuple(prompts), tuple(seeds), old, tuple(CONTRAST.items()))
    return shutil.copytree(made.name, folder, dirs_exist_ok=True)


@functools.cache
def _made(prompts, seeds, old: bool, _contrast) -> tempfile.TemporaryDirectory:
    """The run, which many tests ask for, made once."""
    made = tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
    folder = Path(made.name)
    references = [
        {"model": "base"} | row
        for row in _drawn(folder, prompts, seeds, 1.0, "references/base", stopped=False, old=old)
    ]
    trials = [_trial(folder, i, ratio, prompts, seeds, old) for i, ratio in enumerate(RATIOS)]
    drawing = {"on": "cpu float32"} | ({} if old else {"settings": PROVENANCE})
    models = {"base": model("a1", "epsilon"), "vpred": model("b2", "v_prediction")}
    experiment = _experiment(prompts, seeds)
    if old:
        experiment["render"] = {key: experiment["render"][key] for key in EARLIER}
    facts = store.Facts(experiment, models, {"torch": "2.13.0"}, references, len(RATIOS), drawing, "x.toml")
    store.write_study(folder, facts, trials)
    return made


def _experiment(prompts, seeds) -> dict:
    table = {
        "name": "made-up",
        "models": {"base": "a.safetensors", "vpred": "b.safetensors"},
        "merge": [{"models": ["base", "vpred"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.25}}],
        "prompt": [{"id": f"p{i}", "text": text, "seeds": seeds} for i, text in enumerate(prompts, 1)],
    }
    # not read from a file, where some of the texts would be refused
    return Experiment.model_validate(table).model_dump(mode="json")


def _trial(folder: Path, number: int, ratio: float, prompts, seeds, old: bool) -> FrozenTrial:
    stopped = ratio == 1.0
    rows = _drawn(folder, prompts, seeds, CONTRAST[ratio], f"images/t{number:04d}", stopped=stopped, old=old)
    return create_trial(
        state=TrialState.COMPLETE,
        value=1.0,
        params={"ratio": ratio},
        distributions={"ratio": FloatDistribution(0, 1, step=0.25)},
        user_attrs={"images": store.json_safe(rows), "seconds": {"merge": 0.1}},
    )


def _drawn(
    folder: Path, prompts, seeds, contrast: float, name: str, *, stopped: bool, old: bool
) -> list[dict]:
    rows = drawn(folder, prompts, seeds, lambda *_: contrast, "epsilon", name)
    return [row | {"finite": True} | ({} if old else _denoised(folder, row["file"], stopped)) for row in rows]


def _denoised(folder: Path, file: str, stopped: bool) -> dict:
    """What is stored of how an image came about; the film is of eight frames, or of three where stopped."""
    film = f"traces/{Path(file).name}"
    save(Image.new("RGB", (FRAME * (3 if stopped else 8), FRAME), (90, 120, 150)), folder / film)
    made = STOPPED_AT if stopped else CALLS
    calls = {"unet_calls": made, "unet_calls_saved": CALLS - made, "film": film}
    return calls | {"stopped": "noise" if stopped else None, "stopped_because": WHY if stopped else None}
