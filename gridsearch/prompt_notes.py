"""What the files of prompts say of how they were drawn, where that is not what is done here."""

from collections.abc import Iterator, Mapping

from gridsearch.experiment import Experiment, Render
from gridsearch.prompts import Prompt
from gridsearch.render.samplers import AUTOMATIC, SAMPLERS
from gridsearch.values import is_searched

MOST_NOTES = 5
MOST_CHARACTERS = 60  # of a value that is quoted

# What changes a picture and is not done here, by the names of A1111's script and of its pictures.
NOT_DONE = (
    *("styles", "restore_faces", "tiling", "subseed_strength"),
    *("Face restoration", "Tiling", "Variation seed strength", "Hires upscale", "Refiner", "Lora hashes"),
)
OFF = ("", "0", "0.0", "false", "none")  # values of those that change nothing


def foreign_settings(experiment: Experiment) -> list[str]:
    """A note for each setting in the prompts' files that [render] has another value for, a handful at most.

    `prompts.txt line 3 and 4 others were drawn with steps 30; [render] draws all with 28.`
    """
    places: dict[str, list[str]] = {}
    for prompt in experiment.prompt:
        for setting in _foreign(prompt, experiment.render):
            places.setdefault(setting, []).append(prompt.origin)
    most = sorted(places.items(), key=lambda item: -len(item[1]))
    notes = [f"{_counted(where)} drawn with {setting}." for setting, where in most[:MOST_NOTES]]
    if rest := most[MOST_NOTES:]:
        prompts = len({place for _, where in rest for place in where})
        notes.append(f"{prompts} prompts have {len(rest)} more settings that are not those of [render].")
    return notes


def _counted(places: list[str]) -> str:
    first, others = places[0], len(places) - 1
    if not others:
        return f"{first} was"
    return f"{first} and {others} other{'s' if others > 1 else ''} were"


def _foreign(prompt: Prompt, render: Render) -> Iterator[str]:
    """Each setting with its value, and what is done instead."""
    said, ours = _said(prompt.others, render), _ours(render)
    for name, value in said.items():
        if value and name in ours and _plain(value) != _plain(ours[name]):
            yield f"{name} {value[:MOST_CHARACTERS]}; [render] draws all with {ours[name]}"
    for name in NOT_DONE:
        if (value := prompt.others.get(name, "")).lower() not in OFF:
            yield f"{name} {value[:MOST_CHARACTERS]}, which is not done here"


def _ours(render: Render) -> dict[str, str]:
    """What every image is drawn with, beside what is searched."""
    fixed = {"steps": render.steps, "CFG": render.cfg, "clip skip": render.clip_skip}
    return {
        **{name: f"{value:g}" for name, value in fixed.items() if not is_searched(value)},
        "sampler": SAMPLERS[render.sampler].title,
        "size": f"{render.width}x{render.height}",
    }


def _said(others: Mapping[str, str], render: Render) -> dict[str, str]:
    """The same settings as a line or a picture has them; "" where it does not."""
    width, height = others.get("width"), others.get("height")
    size = f"{width or render.width}x{height or render.height}" if width or height else ""
    return {
        "steps": others.get("steps") or others.get("Steps", ""),
        "CFG": others.get("cfg_scale") or others.get("CFG scale", ""),
        "clip skip": others.get("Clip skip", ""),
        "sampler": _sampler(others),
        "size": size or others.get("Size", ""),
    }


def _sampler(others: Mapping[str, str]) -> str:
    """In one, as `[render]` has it: before 1.9 A1111 named no schedule, and meant none."""
    sampler = others.get("sampler_name") or others.get("Sampler", "")
    schedule = others.get("Schedule type", "")
    if schedule == "Automatic":
        schedule = AUTOMATIC.get(sampler, "")
    return sampler if schedule in ("Uniform", "") else f"{sampler} {schedule}"


def _plain(value: str) -> str:
    """7 is 7.0, and `Euler A` is `Euler a`."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return " ".join(value.lower().split())
