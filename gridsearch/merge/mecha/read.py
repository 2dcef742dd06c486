"""The reading of sd-mecha's recipes (https://github.com/ljleb/sd-mecha) as recipes of ours.

The file may be anybody's: it is only parsed, runs nothing, opens nothing, and its size is limited.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import pydantic

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.mecha_names import (
    ALL_BLOCKS,
    BLOCKS_CONFIG,
    BLOCKS_IN_WORDS,
    MODEL_CONFIG,
    TEXT_COMPONENTS,
    VAE_COMPONENT,
)
from gridsearch.experiment.methods import MergeStep
from gridsearch.experiment.recipe import MERGED, Components, Recipe
from gridsearch.merge.mecha.lines import Argument, Instruction, ResultReference, instructions, read_text
from gridsearch.merge.mecha.methods import call, left_out
from gridsearch.merge.mecha.nodes import (
    MechaModel,
    MechaStep,
    Pairs,
    Parts,
    as_selectors,
    steps_of,
)

MOST_STEPS = 1_000
MOST_MODELS = 500
_SINGLE = "singleton-mecha"
_STEP = pydantic.TypeAdapter(MergeStep)


def read_mecha(path: Path) -> Recipe:
    """Return the recipe that a `.mecha` file describes; the paths of its models start at its folder.

    sd-mecha merges everything, so the VAE and the text encoders are merged too, unless the file says whose
    they are.

    Raises:
        BadInput: it cannot be read, or says what our steps cannot.
    """
    results: list[Any] = []
    models: dict[Path, MechaModel] = {}
    where, steps = str(path), 0
    for line in instructions(read_text(path), path):
        given = tuple(_resolved(value, results) for value in line.given)
        named = {name: _resolved(value, results) for name, value in line.named.items()}
        where = line.where
        result = _result(Instruction(where, line.command, given, named), path.parent, models)
        steps += isinstance(result, MechaStep)
        if steps > MOST_STEPS or len(models) > MOST_MODELS:
            raise BadInput(f"At most {MOST_STEPS:,} steps and {MOST_MODELS} models are read.", where=where)
        results.append(result)
    return _recipe(results[-1], where)


def _resolved(value: Argument, results: Sequence[Any]) -> Any:
    return results[value.index] if isinstance(value, ResultReference) else value


# -- one instruction


def _result(line: Instruction, folder: Path, models: dict[Path, MechaModel]) -> Any:
    """Return the result of an instruction whose references are resolved."""
    match line.command:
        case "dict":
            if line.given:
                raise BadInput("A dict takes NAME=VALUE pairs only.", where=line.where)
            return Pairs(line.named)
        case "literal":
            return _literal(*_fields(line, "value_dict"), line.where)
        case "model":
            path = folder / _model_path(*_fields(line, "path"), line.where)
            return models.setdefault(path, MechaModel(path))
        case "merge":
            if not line.given or not isinstance(line.given[0], str):
                raise BadInput('The method\'s name is missing, as in merge "weighted_sum".', where=line.where)
            return call(line.given[0], line.given[1:], line.named, line.where)
    raise BadInput(
        f"{line.command!r:.60} is not an instruction.",
        where=line.where,
        fix="There are dict, literal, model and merge.",
    )


def _fields(line: Instruction, first: str) -> tuple[Any, Any, Any]:
    """Return the arguments of a model or a literal: the first, its model config and its merge space."""
    names = (first, "model_config", "merge_space")
    found = dict(zip(names, line.given, strict=False))
    extra = [name for name in line.named if name in found or name not in names]
    if len(line.given) > len(names) or extra:
        raise BadInput(
            f"{line.command} has an argument too many{f', {extra[0]!r:.60}' if extra else ''}.",
            where=line.where,
            why=f"it has {', '.join(names)}",
        )
    found |= line.named
    if first not in found:
        raise BadInput(f"{line.command} lacks its {first}.", where=line.where)
    return found[first], found.get("model_config"), found.get("merge_space")


def _model_path(path: Any, config: Any, space: Any, where: str) -> str:
    if not isinstance(path, str) or not path or re.search(r"[\x00-\x1f\x7f-\x9f]", path):
        raise BadInput("A model is named by its path in quotes.", where=where, why=f"here it is {path!r:.60}")
    if config not in (None, MODEL_CONFIG):
        raise BadInput(
            "Only SDXL checkpoints in the original layout are merged here.",
            where=where,
            why=f"the model's config is {config!r:.60}, not {MODEL_CONFIG!r}",
        )
    if space not in (None, "weight"):
        raise BadInput(
            "The model is said to be no checkpoint: a difference, or parameters.",
            where=where,
            why=f"its merge space is {space!r:.60}, not 'weight'",
            fix="Write an experiment with [adapters] if it is a LoRA.",
        )
    return path


def _literal(pairs: Any, config: Any, space: Any, where: str) -> Any:
    """Return a plain value, or a table of ratios by block."""
    if not isinstance(pairs, Pairs):
        raise BadInput("A literal is made of a dict.", where=where)
    if space not in (None, "param"):
        raise BadInput("A literal of weights cannot be used here, only ratios.", where=where)
    values = dict(pairs.values)
    plain = all(value is None or isinstance(value, str | int | float) for value in values.values())
    if config in (None, _SINGLE) and values.keys() == {"key"} and plain:
        return values["key"]
    if config not in (None, BLOCKS_CONFIG) or not values or not values.keys() <= set(ALL_BLOCKS):
        stray = min(values.keys() - set(ALL_BLOCKS), default=None)
        raise BadInput(
            "Ratios are one number, or a number per block of SDXL.",
            where=where,
            why=f"this literal's config is {config!r:.60}" + (f", and it has {stray!r:.60}" if stray else ""),
            fix=f"Use {BLOCKS_IN_WORDS}.",
        )
    if wrong := [block for block, number in values.items() if type(number) not in (int, float)]:
        raise BadInput(f"The ratio of {wrong[0]} is not a number.", where=where)
    return values


# -- the whole


def _recipe(last: Any, where: str) -> Recipe:
    """Return the recipe whose result is the last instruction's."""
    root = last if isinstance(last, Parts) else Parts(last)
    if not isinstance(root.weights, MechaStep):
        raise BadInput(
            "The recipe's last line merges no models.",
            where=where,
            why="it gives one model" if isinstance(root.weights, MechaModel) else "it gives no weights",
        )
    if root.weights.absent:
        raise left_out(root.weights, where)
    components = _lenders(root, where)
    steps = steps_of(root.weights)
    inputs = [one for step in steps for one in step.inputs] + list(components.values())
    models = list(dict.fromkeys(one for one in inputs if isinstance(one, MechaModel)))
    step_names = [*(f"step{i}" for i in range(1, len(steps))), MERGED]
    names: dict[Any, str] = dict(zip(steps, step_names, strict=True))
    names |= dict(zip(models, _model_names(models, step_names), strict=True))
    merge = [_checked(step, names) for step in steps]
    lent = {part: names[model] for part, model in components.items()}
    try:
        return Recipe(
            models={names[model]: model.path for model in models},
            merge=merge,
            components=Components(**{"text_encoders": MERGED, "vae": MERGED, **lent}),
        )
    except pydantic.ValidationError as error:
        raise BadInput(_message(error), where=where) from None


def _lenders(root: Parts, where: str) -> dict[str, MechaModel]:
    """Return the models that lend `vae` and `text_encoders`."""
    lent = {component: model for component, model in root.lent.items() if model is not None}
    if missing := [component for component in root.lent if component not in lent]:
        raise BadInput(
            f"No model supplies {missing[0]} for the merged file.",
            where=where,
            fix='Take it from a model: merge "fallback" &RESULT &MODEL.',
        )
    text = {lent.get(component) for component in TEXT_COMPONENTS}
    if len(text) > 1:
        raise BadInput("Both text encoders must come from one model, or both be merged.", where=where)
    lenders = {"vae": lent.get(VAE_COMPONENT), "text_encoders": text.pop()}
    return {name: model for name, model in lenders.items() if model is not None}


def _checked(step: MechaStep, names: dict[Any, str]) -> Any:
    """Return a step of ours; its numbers are checked as an experiment's are."""
    numbers = {
        name: as_selectors(value) if name == "ratio" else value for name, value in step.numbers.items()
    }
    inputs = [names[one] for one in step.inputs]
    try:
        return _STEP.validate_python(
            {"name": names[step], "method": step.method, "models": inputs, **numbers}
        )
    except pydantic.ValidationError as error:
        raise BadInput(f"{step.method}: {_message(error)}", where=step.where) from None


def _message(error: pydantic.ValidationError) -> str:
    """Return the first problem in words."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"] if part in ("ratio", "k", "probability", "della_eps", "seed")]
    return f"{' '.join(place)} {first['msg'].removeprefix('Value error, ')}.".strip()


def _model_names(models: Sequence[MechaModel], taken: Collection[str]) -> list[str]:
    """Return a name for each model, from its file's: letters, digits, "_" and "-", no two alike."""
    used, found = set(taken), []
    counts: dict[str, int] = {}
    for model in models:
        stem = "".join(c if c.isalpha() or c.isdecimal() or c in "_-" else "_" for c in _stem(model.path))
        base = name = stem[:80].lstrip("-") or "model"
        while name in used:
            counts[base] = counts.get(base, 1) + 1
            name = f"{base}_{counts[base]}"
        used.add(name)
        found.append(name)
    return found


def _stem(path: Path) -> str:
    """Return a file's name without its ending; a path written on Windows may have either kind of slash."""
    return re.sub(r"\.(safetensors|ckpt)$", "", PureWindowsPath(str(path)).name)
