"""The options of a merge on the command line: its files, and the values of what is searched."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput, nearest_text
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.recipe import VAE_FILE, Model


def files_from(given: Sequence[str]) -> dict[str, Path]:
    """Parse `NAME=FILE` options."""
    pairs = [text.partition("=") for text in given]
    if wrong := next((name for name, is_said, file in pairs if not (name and is_said and file)), None):
        raise BadInput(f"--model {wrong} cannot be used.", fix="Write it as --model NAME=FILE.")
    return {name: Path(file) for name, _, file in pairs}


def with_files(recipe: Any, files: Mapping[str, Path]) -> Any:
    """Return the recipe with other files for some of its models and adapters."""
    models, adapters, components = dict(recipe.models), dict(recipe.adapters), recipe.components
    for name, path in files.items():
        if name in models:
            models[name] = Model(path=path, prediction_type=models[name].prediction_type)
        elif name in adapters:
            adapters[name] = path
        elif name == VAE_FILE and recipe.vae_file():
            components = components.model_copy(update={"vae": str(path)})
        else:
            known = ", ".join([*models, *adapters])
            raise BadInput(f"There is no model {name}.", where="--model", fix=f"There are {known}.")
    return recipe.model_copy(update={"models": models, "adapters": adapters, "components": components})


def chosen_values(experiment: Experiment, given: Sequence[str]) -> dict[str, float | str]:
    """Parse `[NAME=]VALUE` into parameters; every searched number and model of the merge must be given once.

    The name is a parameter's, or a step's for its ratio; it may be left out where there is one only. A model
    is one of its list; a number may lie beside its range.
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
        found[name] = chosen
    if len(found) < len(searched):
        raise BadInput(
            "A value is missing for a searched parameter.", where="--ratio", fix=f"Give {_flags(searched)}."
        )
    return {name: found[name] for name in searched}  # in one order, whatever was typed first


def _chosen(text: str, value: str, among: Any) -> float | str | None:
    """Return a model's name or a number; None for anything else."""
    if not (isinstance(among, tuple) and isinstance(among[0], str)):
        return _number(value)
    if value not in among:
        why = f"{value!r} is not in the list"
        raise BadInput(f"--ratio {text} cannot be used.", why=why, fix=nearest_text(value, among))
    return value


def _flags(searched: Sequence[str]) -> str:
    if not searched:
        return "no ratio at all"
    if len(searched) == 1:
        return "--ratio VALUE"
    return " ".join(f"--ratio {name.removesuffix('.ratio')}=VALUE" for name in searched)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def chosen_mode(experiment: Experiment, given: str | None) -> dict[str, str]:
    """Return the prediction type; a searched one must be given, as the merge's marker keys follow it."""
    searched = experiment.searched().get("render.prediction_type")
    if given is None and searched is None:
        return {}
    choices = searched or (experiment.render.prediction_type,)
    if given is None or given not in choices:
        raise BadInput(
            "The merge's prediction type is not known.",
            where="--prediction-type",
            fix=f"Give one of {', '.join(map(str, choices))}.",
        )
    return {"render.prediction_type": given}
