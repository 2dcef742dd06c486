"""The command line's options of a merge: files, and the values of what an experiment searches."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.base.words import is_number
from gridsearch.checkpoint.prediction import TYPES
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.parameters import deciding_choices
from gridsearch.experiment.values import least_and_most


def files_from(given: Sequence[str]) -> dict[str, Path]:
    """Parse `NAME=FILE` options."""
    pairs = [text.partition("=") for text in given]
    if wrong := next((name for name, is_said, file in pairs if not (name and is_said and file)), None):
        raise BadInput(f"--model {wrong} cannot be used.", fix="Write it as --model NAME=FILE.")
    return {name: Path(file) for name, _, file in pairs}


def chosen_values(experiment: Experiment, given: Sequence[str]) -> dict[str, float | str]:
    """Parse `[NAME=]VALUE` into parameters; every searched number and choice of the merge must be given once.

    The name is a parameter's, or a step's for its ratio; it may be left out where there is one only. A model
    is one of its list; a number may lie beside its range. What the chosen method does not take is not given.
    """
    among = {n: values for n, values in experiment.searched().items() if not n.startswith("render.")}
    searched = list(among)
    steps = [step.name for step in experiment.merge]
    by_flag = {name: name for name in searched}
    by_flag |= {step: f"{step}.ratio" for step in steps if f"{step}.ratio" in searched}
    if place := experiment.places().get("ratio"):
        by_flag[steps[place[1]]] = "ratio"
    if len(searched) == 1:
        by_flag[""] = searched[0]
    found: dict[str, float | str] = {}
    for text in given:
        flag, _, value = text.rpartition("=")
        name = by_flag.get(flag, "")
        chosen = _chosen(text, value, among[name]) if name in among and name not in found else None
        if chosen is None:
            raise BadInput(f"--ratio {text} cannot be used.", fix=f"Give {_flags(searched)}.")
        if is_number(chosen) and "ratio" in (place := experiment.places()[name]):
            require_between(experiment.merge[place[1]], chosen, text)
        found[name] = chosen
    deciding = {name: found[name] for name in deciding_choices(experiment.places()) if name in found}
    vain = experiment.without_effect(deciding)
    if idle := [name for name in found if name in vain]:
        said = " and ".join(f"{name} {value}" for name, value in deciding.items())
        what = f"--ratio {idle[0]} changes nothing with {said}."
        raise BadInput(what, fix="Leave it out.")
    needed = [name for name in searched if name not in vain]
    if len(found) < len(needed):
        raise BadInput(
            "A value is missing for a searched parameter.", where="--ratio", fix=f"Give {_flags(needed)}."
        )
    return {name: found[name] for name in needed}  # in one order, whatever was typed first


def beside_range(experiment: Experiment, chosen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note for each number that the experiment does not search."""
    searched, notes = experiment.searched(), []
    for name, value in chosen.items():
        if is_number(value):
            least, most = least_and_most(searched[name])
            if not least <= value <= most:
                notes.append(f"{name} {value:g} lies outside of what is searched, {least:g} to {most:g}.")
    return tuple(notes)


def _chosen(text: str, value: str, among: Any) -> float | str | None:
    """Return a model's name or a number; None for anything else."""
    if isinstance(among, tuple) and isinstance(among[0], str):
        if value not in among:
            why = f"{value!r} is not in the list"
            raise BadInput(f"--ratio {text} cannot be used.", why=why, fix=nearest_text(value, among))
        return value
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _flags(searched: Sequence[str]) -> str:
    if not searched:
        return "no ratio at all"
    if len(searched) == 1:
        return "--ratio VALUE"
    return " ".join(f"--ratio {name.removesuffix('.ratio')}=VALUE" for name in searched)


def in_mode_given(experiment: Experiment, given: str | None) -> Experiment:
    """Return an experiment that leaves the prediction type to its models in the one that is given."""
    if experiment.render.prediction_type is not None or given not in TYPES:
        return experiment
    render = experiment.render.model_copy(update={"prediction_type": given})
    return experiment.model_copy(update={"render": render})


def chosen_mode(experiment: Experiment, given: str | None) -> dict[str, str]:
    """Return the prediction type; a searched one must be given, as the merge's marker keys follow it."""
    searched = experiment.searched().get("render.prediction_type")
    if given is None and searched is None:
        return {}
    own = experiment.render.prediction_type
    choices = searched or (TYPES if own is None else (own,))
    if given is None or given not in choices:
        fix = f"Give one of {', '.join(map(str, choices))}."
        raise BadInput("The merge's prediction type is not known.", where="--prediction-type", fix=fix)
    return {"render.prediction_type": given}


def only_ratio(values: Sequence[str]) -> float:
    """Return the one number that was given as `--ratio`."""
    try:
        (text,) = values
        return float(text)
    except ValueError:
        what, fix = f"--ratio {' --ratio '.join(values)} cannot be used.", "Give one number from 0 to 1."
        if len(values) == 1 and (said := re.fullmatch(r"(\d+(?:[.,]\d+)?) ?(%?)", values[0])):
            fix += f" Did you mean {float(said[1].replace(',', '.')) / (100 if said[2] else 1):g}?"
        raise BadInput(what, fix=fix) from None


def require_between(step: MergeStep, ratio: float, text: str) -> None:
    """Raise BadInput unless a step may have this ratio; `text` is what was typed."""
    try:
        step.require_within(ratio, ratio)
    except ValueError as error:
        raise BadInput(f"--ratio {text} cannot be used.", why=f"{error}.") from None
