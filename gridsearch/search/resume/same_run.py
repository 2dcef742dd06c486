"""Comparison of a run with the one that a folder holds: only the same run may be resumed."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import searched_places, settings_at, value_at
from gridsearch.experiment.tables import Scoring
from gridsearch.results import store

PROMPTS = "the prompts"
# parts whose values are short enough to be named
SHOWN = ("the sampler", "drawn on", "how pictures are drawn", "render.")


def require_same_run(earlier: store.Facts, now: store.Facts, out: Path) -> None:
    """Refuse to mix images that cannot be compared: other models, prompts or settings are another run.

    Prompts and seeds may be added. What a grid searches may grow or shrink; what another sampler has learnt
    holds for its own ranges only.
    """
    before, after = _comparable(earlier), _comparable(now)
    changed = [
        f"{part} ({before.get(part)} then, {after.get(part)} now)" if part.startswith(SHOWN) else part
        for part in dict.fromkeys([*before, *after])
        if before.get(part) != after.get(part)
        and not (part == PROMPTS and only_added(before[part], after[part]))
    ]
    if changed:
        raise BadInput(
            "This folder holds the results of a different experiment.",
            where=out,
            why=f"changed since: {', '.join(changed)}.",
            fix=_fix(changed, now.file, out),
        )


def only_added(before: Sequence[Mapping], after: Sequence[Mapping]) -> bool:
    """Return whether every prompt is still there as it was, with its seeds and perhaps more."""
    now = {prompt["id"]: prompt for prompt in after}
    return all(
        prompt["id"] in now
        and set(prompt["seeds"]) <= set(now[prompt["id"]]["seeds"])
        and _without_seeds(prompt) == _without_seeds(now[prompt["id"]])
        for prompt in before
    )


def _without_seeds(prompt: Mapping) -> dict:
    # earlier versions held none out
    return {"held_out": False} | {key: value for key, value in prompt.items() if key != "seeds"}


def _fix(changed: Sequence[str], file: str, out: Path) -> str:
    if changed == ["[score]"]:
        again = shlex.join(["gridsearch", "score", str(out), "--experiment", file])
        return f"Score its images the same way, then continue: {again}"
    if changed == [PROMPTS]:
        return (
            "Prompts and seeds may be added, after those that are there; for others choose another folder "
            "with --out."
        )
    return "Choose another folder with --out, or delete this one."


def _comparable(facts: store.Facts) -> dict:
    """Return the parts of a run that decide what an image is, beside the searched values."""
    experiment = _without_searched_numbers(facts.experiment)
    # see `drawing`; a batch and a compiled model are the last digit
    free = ("batch", "compile", "trace", "config", "vocabulary", "device", "dtype")
    render = {key: value for key, value in experiment["render"].items() if key not in free}
    models = {
        f"model {name}": (model["short_hash"], model["prediction_type"], model["zero_terminal_snr"])
        for name, model in facts.models.items()
    }
    is_grid = experiment["search"]["sampler"] == "grid"
    return {
        **models,
        **{f"the file of {name}": extra["sha256"] for name, extra in facts.extras.items()},
        # as text: of a table of blocks a later entry overrules an earlier one
        "the merge steps": json.dumps(experiment["merge"]),
        "the components": _components(facts.experiment),
        PROMPTS: experiment["prompt"],
        "[score]": Scoring.model_validate(experiment["score"]).model_dump(),  # earlier ones said less
        **{f"render.{key}": value for key, value in render.items()},
        "the sampler": experiment["search"]["sampler"],
        "the searched values": None if is_grid else _searched(facts.experiment),
        "how pictures are drawn": facts.drawing.get("version", 1),
        "drawn on": facts.drawing["on"],
        "the component configs": facts.drawing["components"],
    }


def _components(settings: Mapping[str, Any]) -> list[str]:
    """Return the source of the text encoders and of the VAE; a file of its own is known by its content."""
    recipe = Experiment.model_validate(settings)
    return [recipe.components.text_encoders, "a file" if recipe.vae_file() else recipe.vae_source()]


def _without_searched_numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without searched numbers, which may change; a searched choice of words may not."""
    numbers = {
        name: "searched"
        for name, place in searched_places(settings).items()
        if not _of_words(value_at(settings, place))
    }
    return settings_at(settings, numbers)


def _searched(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value_at(settings, place) for name, place in searched_places(settings).items()}


def _of_words(value: Any) -> bool:
    return isinstance(value, list) and isinstance(value[0], str)
