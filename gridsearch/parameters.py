"""Searched values by name: `ratio`, `merged.ratio.IN04`, `merged.weights.base`, `render.cfg`.

Works on plain data, an experiment as it is kept with its results, so that a report can read it too.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gridsearch.values import is_range, is_searched

# Keys of a merge step that hold one number; `ratio` may hold one per block, `weights` holds one per model.
STEP_NUMBERS = ("ratio", "weights", "k", "probability", "della_eps")
RENDER_VALUES = (
    "prediction_type",
    "steps",
    "cfg",
    "cfg_rescale",
    "pag_scale",
    "clip_skip",
    "original_width",
    "original_height",
    "crop_left",
    "crop_top",
    "target_width",
    "target_height",
)

Place = tuple[str | int, ...]  # the keys and indices that lead to a value


def searched_places(settings: Mapping[str, Any]) -> dict[str, Place]:
    """Each searched parameter's name and where its value stands in the settings.

    A searched ratio is `<step>.ratio`, and simply `ratio` where it is the only one.
    """
    found = {
        _name(settings, place): place for place in _places(settings) if is_searched(value_at(settings, place))
    }
    ratios = [name for name, place in found.items() if place[-1] == "ratio" and place[0] == "merge"]
    blocks = [name for name, place in found.items() if "ratio" in place[:-1]]
    if len(ratios) == 1 and not blocks:
        return {"ratio" if name == ratios[0] else name: place for name, place in found.items()}
    return found


def value_at(settings: Any, place: Place) -> Any:
    """The value at a place of plain data."""
    for part in place:
        settings = settings[part]
    return settings


def filled(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings with the searched values that `parameters` names replaced by plain ones."""
    copied = _copied(settings)
    for name, (*way, last) in searched_places(settings).items():
        if name in parameters:
            value_at(copied, tuple(way))[last] = parameters[name]
    return copied


def _copied(value: Any) -> Any:
    """Plain data with lists in place of tuples, so that every place can be filled."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def _places(settings: Mapping[str, Any]) -> Iterator[Place]:
    """Every value that may be searched."""
    for i, step in enumerate(settings.get("merge", ())):
        for key in STEP_NUMBERS:
            value = step.get(key)
            if key == "weights" and value is not None:
                yield from (("merge", i, key, j) for j in range(len(value)))
            elif key == "ratio" and isinstance(value, dict) and not is_range(value):
                yield from (("merge", i, key, block) for block in value)
            elif value is not None:
                yield ("merge", i, key)
    render = settings.get("render", {})
    yield from (("render", key) for key in RENDER_VALUES if render.get(key) is not None)


def _name(settings: Mapping[str, Any], place: Place) -> str:
    if place[0] == "render":
        return f"render.{place[1]}"
    _, i, key, *rest = place
    step = settings["merge"][i]
    if key == "weights":
        rest = [step["models"][rest[0]]]
    return ".".join([step["name"], key, *rest])
