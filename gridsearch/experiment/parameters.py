"""Names of the searched values, as `ratio`, `merged.ratio.IN04`, `merged.model_b` or `render.cfg`.

All works on plain data, an experiment as it is kept with its results, so that a report can use it too.
"""

import copy
import string
from collections.abc import Iterator, Mapping
from typing import Any

from gridsearch.base.words import is_number
from gridsearch.experiment.methods import SEARCHABLE
from gridsearch.experiment.values import Table, is_range, is_searched

RENDER_VALUES = (
    *("prediction_type", "steps", "cfg", "cfg_rescale", "pag_scale", "clip_skip"),
    *("original_width", "original_height", "crop_left", "crop_top", "target_width", "target_height"),
)

ParameterPlace = tuple[Any, ...]  # the keys and indices that lead to a value


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
    """Return a copy of the settings, as JSON has them, in which the named parameters have these values."""
    copied = copy.deepcopy(dict(settings))
    for name, (*way, last) in searched_places(settings).items():
        if name in parameters:
            inner = value_at(copied, tuple(way))
            inner[last] = _as_searched(parameters[name], inner[last])
    return copied


def _as_searched(value: Any, searched: Any) -> Any:
    """Return the value as an int where only ints are searched: a table's column with a gap holds floats."""
    numbers = [searched["low"], searched["high"]] if is_range(searched) else searched
    whole = all(type(number) is int for number in numbers)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value
