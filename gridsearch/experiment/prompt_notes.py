"""Notes on prompts: settings of their files that differ or are not done, and words that are kept.

    x.png and 4 others were rendered with steps 30 (here 28) and CFG 7 or 9 (here 5): [render] applies to ...
    Not done here, of what prompt files ask for: SEG and hires fix (x.png and 1 other), tiling (y.png). ...

One note stands for all prompts that say the same.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gridsearch.base.words import is_number, shorten
from gridsearch.checkpoint.prediction import FLOW
from gridsearch.experiment import foreign_names as names
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.foreign_names import not_done, plain
from gridsearch.experiment.programs.fields import APP
from gridsearch.experiment.prompts import Prompt
from gridsearch.experiment.render_table import Render
from gridsearch.experiment.values import is_searched
from gridsearch.render.denoise.guidance.text import guidance_said
from gridsearch.render.denoise.hires import hires_said
from gridsearch.render.denoise.sampling import (
    AUTOMATIC,
    SAMPLERS,
    SCHEDULES,
    SPACINGS,
    USUAL_SHIFT,
    usual_spacing,
)
from gridsearch.render.pictures import FLOW_MODE, MODE_OF_FLOW

MOST_NOTES = 5
MOST_OF_A_SETTING = 3  # values
MOST_IN_A_NOTE = 10  # things in one note
MOST_CHARACTERS = 60  # quoted of a value

# Where none is named, the noise schedule is "Uniform" for the samplers of k-diffusion.
K_DIFFUSION = ("Euler", "Euler a", "Heun", "DPM++ 2M", "DPM++ 2M SDE", "DPM++ SDE")
USUAL_SPACING = "leading"  # of SDXL's component configs, without zero terminal SNR
UNSET = "unset"
OTHER_RNG = " A seed gives the same noise only with the same rng."
# What prompts cannot ask for, and where it can be had for all.
ELSEWHERE = {
    "VAE ": " A VAE is set in [components].",
    "LoRA": " A LoRA is set in [adapters].",
}
# Programs with ComfyUI's noise that write A1111's text, known by how their version begins.
NOISE_OF_CPU = ("ComfyUI", "Fooocus")

LITERAL = re.compile(
    r"""(?<!\w)__[\w*/.-]{1,100}__(?!\w)    # a wildcard
      | \{[^{}|]*\|[^{}]*\}                 # variants, of dynamic prompts
      | \bembedding:[\w./-]+                # a textual inversion, of ComfyUI""",
    re.VERBOSE,
)


def prompt_notes(experiment: Experiment) -> list[str]:
    """Return notes on the prompts and on their files' settings, a handful at most."""
    return [*_different(experiment), *_not_done(experiment), *_literal(experiment.prompt)]


# -- settings that differ


def _different(experiment: Experiment) -> Iterator[str]:
    """Yield a note for each group of prompts that differ from [render] in the same settings."""
    places: dict[str, dict[str, None]] = {}  # of each setting, in order
    values: dict[str, dict[str, None]] = {}
    used: dict[str, str] = {}
    for prompt in experiment.prompt:
        for name, value, own in _foreign(prompt, experiment.render):
            places.setdefault(name, {})[prompt.origin] = None
            values.setdefault(name, {})[value] = None
            used[name] = own
    groups = _by_place(places)
    groups.sort(key=lambda group: "rng" not in group[1])  # what decides whether seeds mean anything
    for where, settings in groups[:MOST_NOTES]:
        said = _listed([f"{name} {_several(values[name])} (here {used[name]})" for name in settings])
        verb = "were" if len(where) > 1 else "was"
        rng = OTHER_RNG if "rng" in settings else ""
        yield f"{_who(where)} {verb} rendered with {said}: [render] applies to all prompts.{rng}"
    if rest := groups[MOST_NOTES:]:
        prompts = len({place for where, _ in rest for place in where})
        names_left = ", ".join(name for _, settings in rest for name in settings)
        yield f"{prompts} prompt{'s differ' if prompts > 1 else ' differs'} in {names_left}, too."


def _several(values: Iterable[str]) -> str:
    """Return the first few of several values: `20, 28 or 30`."""
    first = list(values)
    return _listed(first if len(first) <= MOST_OF_A_SETTING else [*first[:MOST_OF_A_SETTING], "others"], "or")


def _by_place(places: Mapping[str, Iterable[str]]) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return groups of things that are said at the same places, those at most places first."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for what, where in places.items():
        groups.setdefault(tuple(dict.fromkeys(where)), []).append(what)
    return sorted(groups.items(), key=lambda group: -len(group[0]))


def _who(places: tuple[str, ...]) -> str:
    first, *others = places
    return f"{first} and {len(others)} other{'s' * (len(others) > 1)}" if others else first


def _listed(parts: list[str], joined: str = "and") -> str:
    *most, last = parts
    return f"{', '.join(most)} {joined} {last}" if most else last


def _foreign(prompt: Prompt, render: Render) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of a prompt that differs: its name, its value, and the one that is used here."""
    compared = used_and_said(prompt.others, render)
    if not prompt.negative:
        compared["unconditional"] = (render.unconditional, _unconditional(prompt.others))
    for name, (used, said) in compared.items():
        own = f"{used:g}" if is_number(used) and not isinstance(used, bool) else str(used)
        if said and used is not None and not is_searched(used) and plain(said) != plain(own):
            yield name, shorten(said, MOST_CHARACTERS), own


def used_and_said(others: Mapping[str, str], render: Render) -> dict[str, tuple[object, str]]:
    """Return settings by name: each as `[render]` has it, and as a picture says it, which may be empty."""

    def size(name: str) -> Any:
        width = getattr(render, f"{name}_width") or render.width
        return _pair(width, getattr(render, f"{name}_height") or render.height)

    width, height = others.get("width"), others.get("height")
    asked = (
        f"{width or render.width}x{height or render.height}" if width or height else others.get("Size", "")
    )
    zero = _said(others, names.ZERO_SNR)
    spacing, asked_spacing = _spacings(others, render)
    guidance, _ = guidance_said(others)
    flow = FLOW if others.get(FLOW_MODE) == MODE_OF_FLOW else ""
    return {
        "prediction_type": (render.prediction_type, flow),
        "shift": (render.shift or USUAL_SHIFT, _said(others, names.SHIFTS)),
        "steps": (render.steps, _said(others, names.STEPS)),
        "CFG": (render.cfg, _said(others, names.CFG)),
        "clip skip": (render.clip_skip, _said(others, names.CLIP_SKIP)),
        "sampler": (_title(render), _sampler(others)),
        "size": (f"{render.width}x{render.height}", asked),
        "rng": (render.rng, _rng(others)),
        "timestep_spacing": (spacing, asked_spacing),
        "zero_terminal_snr": (render.zero_terminal_snr, "True" if zero == "Zero Terminal SNR" else zero),
        "cfg_rescale": (render.cfg_rescale, _said(others, names.CFG_RESCALE)),
        "pag_scale": (render.pag_scale, _said(others, names.PAG_SCALE)),
        "original size": (size("original"), _said(others, names.ORIGINAL_SIZE)),
        "target size": (size("target"), _said(others, names.TARGET_SIZE)),
        "crop": (_pair(render.crop_left or 0, render.crop_top or 0), _said(others, names.CROP)),
        **{name: (getattr(render, name), value) for name, value in guidance.items()},
        **_hires(others, render),
    }


def _hires(others: Mapping[str, str], render: Render) -> dict[str, tuple[object, str]]:
    said, _ = hires_said(others)
    if said and render.hires_scale is None:
        return {"hires_scale": (UNSET, said["hires_scale"])}
    used = {name: getattr(render, name) for name in said}
    steps = {"hires_steps": render.hires_steps or render.steps} if said else {}
    return {name: (value, said[name]) for name, value in (used | steps).items()}


def _said(others: Mapping[str, str], keys: tuple[str, ...]) -> str:
    """Return the first of these settings that is there; empty without any."""
    return next((others[key] for key in keys if others.get(key)), "")


def _pair(first: Any, second: Any) -> Any:
    """Return two numbers as `1024x768`; one that is searched as it is."""
    return next((one for one in (first, second) if is_searched(one)), None) or f"{first:g}x{second:g}"


def _schedule(others: Mapping[str, str]) -> str:
    """Return the noise schedule, which before 1.9 A1111 named with the sampler only; empty where unknown."""
    schedule = _said(others, names.SCHEDULE)
    if schedule == "Automatic":
        return AUTOMATIC.get(others.get("Sampler", ""), "Uniform")
    return schedule or ("" if APP in others else "Uniform")


def _title(render: Render) -> str | tuple[str, ...]:
    """Return sampler and schedule in one, as A1111 had them; searched ones as they are."""
    sampler, schedule = render.sampler, render.schedule
    if not isinstance(sampler, str):
        return sampler
    if not isinstance(schedule, str | None):
        return schedule
    return " ".join(filter(None, (SAMPLERS[sampler].title, SCHEDULES.get(schedule or ""))))


def _sampler(others: Mapping[str, str]) -> str:
    """Return sampler and schedule in one, as `[render]` has them, unless the schedule is a spacing."""
    sampler = _said(others, names.SAMPLER)
    schedule = _schedule(others)
    return sampler if schedule in ("", *SPACINGS) else f"{sampler} {schedule}"


def _spacings(others: Mapping[str, str], render: Render) -> tuple[str | None, str]:
    """Return the spacing that is used, and that of a prompt's picture; empty where it is unknown."""
    prediction = str(render.prediction_type or "v_prediction")  # of models that have zero terminal SNR
    usual, _ = usual_spacing(prediction, bool(render.zero_terminal_snr))
    used = render.timestep_spacing or usual
    said = _said(others, names.SPACING)
    if not said and others.get("Sampler") in K_DIFFUSION:
        said = SPACINGS.get(_schedule(others), "")
    return (used, said) if used else (UNSET, said if said != USUAL_SPACING else "")


def _rng(others: Mapping[str, str]) -> str:
    """Return the source of random numbers; A1111 leaves it out where it is the GPU."""
    if said := others.get("RNG"):
        return {"nv": "gpu"}.get(said.lower(), said.lower())
    if others.get(APP, "SD.Next") != "SD.Next" or "Steps" not in others:
        return ""
    return "cpu" if others.get("Version", "").startswith(NOISE_OF_CPU) else "gpu"


def _unconditional(others: Mapping[str, str]) -> str:
    """Return what stood in the place of an empty negative prompt; A1111 has zeros for SDXL."""
    said = _said(others, names.UNCONDITIONAL)
    return said or ("zeros" if APP not in others and "Steps" in others else "")


# -- settings that are not done


def _not_done(experiment: Experiment) -> Iterator[str]:
    """Yield one note on all that prompt files ask for and that is not done here."""
    places: dict[str, list[str]] = {}
    vaes = {Path(file).stem.lower() for file in experiment.vae_files()}
    for prompt in experiment.prompt:
        for name, value in not_done(prompt.others):
            if name != "VAE" or Path(value).stem.lower() not in vaes:
                what = shorten(f"{name} {value}".strip(), MOST_CHARACTERS)
                places.setdefault(what, []).append(prompt.origin)
    if places:
        more = "".join(said for begin, said in ELSEWHERE.items() if any(x.startswith(begin) for x in places))
        asked = _counted(places)
        yield f"Not done here, of what prompt files ask for: {asked}. Their pictures will differ.{more}"


def _counted(places: Mapping[str, Iterable[str]]) -> str:
    """Return things with the places that say them: `SEG and ENSD 5 (x.png and 2 others), tiling (y.png)`."""
    named = dict(list(places.items())[:MOST_IN_A_NOTE])
    listed = ", ".join(f"{_listed(things)} ({_who(where)})" for where, things in _by_place(named))
    return f"{listed} and {len(places) - len(named)} more" if len(places) > len(named) else listed


# -- words of a prompt that other programs replace


def _literal(prompts: Iterable[Prompt]) -> Iterator[str]:
    """Yield one note on all words of prompts that other programs would replace by something else."""
    places: dict[str, list[str]] = {}
    for prompt in prompts:
        where = prompt.origin or f"prompt {prompt.id}"
        for found in dict.fromkeys(LITERAL.findall(f"{prompt.text}\n{prompt.negative}")):
            places.setdefault(shorten(found, MOST_CHARACTERS), []).append(where)
    if places:
        why = "wildcards and variants are not expanded, and textual inversions are not loaded"
        yield f"Taken word by word, as {why}: {_counted(places)}."
