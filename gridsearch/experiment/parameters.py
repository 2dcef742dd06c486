"""Names of the searched values, as `ratio`, `merged.ratio.IN04`, `merged.model_b` or `render.cfg`.

All works on plain data, an experiment as it is kept with its results, so that a report can use it too.
"""

import copy
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from gridsearch.base.words import is_number
from gridsearch.checkpoint.ldm.keys import means_vae_alone
from gridsearch.experiment.any_of import without_strangers
from gridsearch.experiment.family import in_family
from gridsearch.experiment.gradients import in_blocks, is_shape
from gridsearch.experiment.methods import SEARCHABLE
from gridsearch.experiment.values import Table, is_range, is_searched
from gridsearch.render.denoise.sampling import GUIDANCE_NUMBERS

RENDER_VALUES = (
    *("prediction_type", "sampler", "schedule", "unconditional", "pag_layers", "hires_upscaler"),
    *("steps", "shift", *GUIDANCE_NUMBERS, "clip_skip", "hires_steps", "hires_denoise"),
    *("original_width", "original_height", "crop_left", "crop_top", "target_width", "target_height"),
)

ParameterPlace = tuple[Any, ...]  # the keys and indices that lead to a value
VAE_PLACE: ParameterPlace = ("components", "vae")
MERGED = "merged"  # as the source of a component: the merge itself


def searched_places(settings: Mapping[str, Any]) -> dict[str, ParameterPlace]:
    """Return each searched parameter's name with the place of its value in the settings.

    A searched ratio is `<step>.ratio`, and simply `ratio` where it is the only one.
    """
    found = dict(all_searched(settings))
    ratios = [name for name, place in found.items() if place[-1] == "ratio" and place[0] == "merge"]
    blocks = [name for name, place in found.items() if "ratio" in place[:-1]]
    if len(ratios) == 1 and not blocks:
        return {"ratio" if name == ratios[0] else name: place for name, place in found.items()}
    return found


def all_searched(settings: Mapping[str, Any]) -> list[tuple[str, ParameterPlace]]:
    """Return the full names and the places of the searched values in the settings."""
    return [(name, place) for name, place in _places(settings) if is_searched(value_at(settings, place))]


def _places(settings: Mapping[str, Any]) -> Iterator[tuple[str, ParameterPlace]]:
    """Yield the name and the place of every value that may be searched."""
    for i, step in enumerate(settings.get("merge", ())):
        name, models = step["name"], step.get("models", ())
        if "method" in step:
            yield f"{name}.method", ("merge", i, "method")
        for key in SEARCHABLE:  # `ratio` may hold a number per block, `weights` holds one per model
            value = step.get(key)
            if key == "weights" and value is not None:
                for j, model in enumerate(models):
                    of = model_place(j) if is_searched(model) else model
                    yield f"{name}.weights.{of}", ("merge", i, key, j)
            elif key == "ratio" and isinstance(value, dict) and not is_range(value):
                yield from ((f"{name}.ratio.{block}", ("merge", i, key, block)) for block in value)
            elif value is not None:
                yield f"{name}.{key}", ("merge", i, key)
        yield from ((f"{name}.{model_place(j)}", ("merge", i, "models", j)) for j in range(len(models)))
    if (settings.get("components") or {}).get("vae") is not None:
        yield ".".join(VAE_PLACE), VAE_PLACE
    render = settings.get("render", {})
    yield from ((f"render.{key}", ("render", key)) for key in RENDER_VALUES if render.get(key) is not None)


def model_place(index: int) -> str:
    """Return the name of a place of `models`: `model_a` is the first, as in A1111."""
    letters = string.ascii_lowercase
    return f"model_{letters[index]}" if index < len(letters) else f"model_{index + 1}"


def value_at(settings: Any, place: ParameterPlace) -> Any:
    """Return the value at a place of plain data, or of validated tables."""
    for part in place:
        settings = getattr(settings, part) if isinstance(settings, Table) else settings[part]
    return settings


def searched_values(settings: Any) -> dict[str, Any]:
    """Return the range or choices of each searched parameter, of plain data or of validated tables.

    A file to choose is called by its name alone, so that a run may go on where it lies in another folder.
    """
    plain = settings.model_dump() if isinstance(settings, Table) else settings
    found = {name: (place, value_at(settings, place)) for name, place in searched_places(plain).items()}
    return {
        name: type(value)(map(file_name, value)) if place == VAE_PLACE else value
        for name, (place, value) in found.items()
    }


def file_name(source: str) -> str:
    """Return the last part of a path, on whatever system it was written; a model's name is its own."""
    return re.split(r"[/\\]", source)[-1]


def curve_parameter(settings: Mapping[str, Any]) -> str | None:
    """Return the number along which curves run, or None: a range before a list of numbers, a ratio first.

    A window is bisected along a range; a list is a choice.
    """
    places = searched_places(settings)
    values = {name: value_at(settings, place) for name, place in places.items()}
    ranges = [name for name, value in values.items() if is_range(value)]
    names = ranges or [name for name, value in values.items() if all(map(is_number, value))]
    ratios = [name for name in names if places[name][0] == "merge" and places[name][2] == "ratio"]
    return next(iter(ratios + names), None)


def settings_at(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the settings, as JSON has them, in which the named parameters have these values.

    Arguments that a step's chosen method does not take are left out, and ratios of a VAE that is copied. A
    gradient or preset with nothing left to search becomes ratios per block.
    """
    copied = substituted(settings, parameters)
    for name, place in searched_places(settings).items():
        if name in parameters and place[-1] == "method":
            steps, i = copied["merge"], place[1]
            steps[i] = without_strangers(steps[i])
        elif name in parameters and place == VAE_PLACE and value_at(copied, place) != MERGED:
            _forget_vae(copied)
    with in_family(copied.get("family")):
        for step in copied.get("merge", ()):
            if is_shape(ratio := step.get("ratio")):
                step["ratio"] = in_blocks(ratio)
    return copied


def substituted(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the settings in which the named parameters have these values, and no more changes."""
    copied = copy.deepcopy(dict(settings))
    for name, (*way, last) in searched_places(settings).items():
        if name in parameters:
            inner = value_at(copied, tuple(way))
            inner[last] = _as_searched(parameters[name], inner[last])
    return copied


def deciding_choices(places: Mapping[str, ParameterPlace]) -> list[str]:
    """Return the searched parameters that decide which others have an effect: methods, and the VAE."""
    return [name for name, place in places.items() if place == VAE_PLACE or place[-1] == "method"]


def without_effect(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> set[str]:
    """Return the other searched parameters that change nothing at these: those of methods not chosen, say."""
    left = {place for _, place in all_searched(settings_at(settings, parameters))}
    return {
        name
        for name, place in searched_places(settings).items()
        if name not in parameters and place not in left
    }


def _forget_vae(settings: Mapping[str, Any]) -> None:
    """Remove the ratios of the VAE alone, where it is chosen to be copied."""
    for step in settings["merge"]:
        ratio = step.get("ratio")
        if isinstance(ratio, dict) and not is_range(ratio):
            others = {one: value for one, value in ratio.items() if not means_vae_alone(one)}
            step["ratio"] = others or ratio


def _as_searched(value: Any, searched: Any) -> Any:
    """Return the value as it is written in a choice: the path of a file that is called by its name.

    It is an int where only ints are searched: a table's column with a gap holds floats.
    """
    if isinstance(value, str):
        return next((one for one in searched if file_name(str(one)) == value), value)
    numbers = [searched["low"], searched["high"]] if is_range(searched) else searched
    whole = all(type(number) is int for number in numbers)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value
