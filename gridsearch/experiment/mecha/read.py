"""The reading of sd-mecha's recipes (https://github.com/ljleb/sd-mecha) as recipes of ours.

The file may be anybody's: it is only parsed, runs nothing, opens nothing, and its size is limited.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any

import pydantic

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_capped
from gridsearch.checkpoint.family import VAE, VAE_COMPONENT
from gridsearch.checkpoint.sdxl.mecha_names import (
    ALL_BLOCKS,
    BLOCKS_CONFIG,
    BLOCKS_IN_WORDS,
    MODEL_CONFIG,
    TEXT_COMPONENTS,
    VAE_BLOCK,
    has_old_names,
    ratios,
)
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.mecha.lines import VERSION, Instruction, parsed
from gridsearch.experiment.mecha.methods import Line, call, left_out
from gridsearch.experiment.mecha.nodes import AnyWeights, MechaStep, Pairs, Parts, Searched
from gridsearch.experiment.methods import METHODS, Step
from gridsearch.experiment.recipe import MERGED, Components, Recipe
from gridsearch.experiment.wording import in_words

MOST_RECIPE_BYTES = 1_000_000
MOST_INSTRUCTIONS = 10_000
MOST_STEPS = 1_000
MOST_MODELS = 500
# Recipes of before version 0.1.0 have no header, and begin with one of these.
_OLD_COMMANDS = ("model", "dict", "call", "recipe", "merge")
# The arguments of steps, which errors name.
_ARGUMENTS = {name for kind in METHODS.values() for name in kind.model_fields} - Step.model_fields.keys()
_STEP = pydantic.TypeAdapter(MergeStep)


def read_mecha(
    path: Path,
    note: Callable[[str], None] = lambda _: None,
    searched: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """Return the recipe that a `.mecha` file describes; the paths of its models start at its folder.

    sd-mecha merges everything, so the VAE and the text encoders are merged too, unless the file says whose
    they are. Before version 0.1.0 it copied the VAE of the first model, and so it is read. `note` is told
    what may surprise. `searched` has ranges and lists in the place of numbers, as `{"&7.alpha": [0.5, 1]}`.
    A BadInput if the file cannot be read, or says what our steps cannot.
    """
    try:
        text = read_capped(path, MOST_RECIPE_BYTES, "recipe").decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("This is not a recipe: it is not UTF-8 text.", where=path) from None
    lines = list(enumerate(text.split("\n"), 1))
    is_old = _is_old(lines[0][1].strip(), path)
    results: list[Any] = []
    models: dict[Path, Path] = {}
    line, steps = Line(str(path), is_old, note), 0
    for number, written in lines if is_old else lines[1:]:
        if not written.strip() or written.strip().startswith("#"):
            continue
        prefix = f"&{len(results)}."
        own = {name.removeprefix(prefix): searched[name] for name in searched if name.startswith(prefix)}
        line = Line(f"{path}, line {number}", is_old, note, own)
        with _told_where(line.where):
            if len(results) == MOST_INSTRUCTIONS:
                raise BadInput(f"A recipe has at most {MOST_INSTRUCTIONS:,} instructions.")
            result = _result(parsed(written.strip(), results), line, path.parent, models)
            steps += isinstance(result, MechaStep)
            if steps > MOST_STEPS or len(models) > MOST_MODELS:
                raise BadInput(f"At most {MOST_STEPS:,} steps and {MOST_MODELS} models are read.")
        results.append(result)
    if not results:
        raise BadInput("The recipe is empty.", where=path)
    with _told_where(line.where):
        root, lenders = _merged(results[-1])
    if is_old and "vae" not in lenders:
        lenders["vae"] = _first_model(root)
        note(f"{path} is from before version 0.1.0: the VAE is not merged but {lenders['vae'].name}'s.")
    recipe = _recipe(root, lenders, line.where)
    if len(recipe.searched()) != len(searched):
        what = f"Not each of {', '.join(searched)} is one number of the merge that the recipe ends with."
        why = (
            f"there are {len(results)} instructions, counted from &0; a step may be used twice, or not at all"
        )
        raise BadInput(what, where=path, why=why)
    return recipe


def _is_old(first: str, path: Path) -> bool:
    """Return whether a file is older than version 0.1.0, by its first line."""
    if first == VERSION:
        return False
    if first.startswith("#") or first.partition(" ")[0] in _OLD_COMMANDS:
        return True
    what = f"A recipe of sd-mecha begins with {VERSION!r}, or with a model."
    why = f"here it is {first!r:.60}"
    raise BadInput(what, where=f"{path}, line 1", why=why, fix="Write it again with sd-mecha 1.1.")


def _first_model(weights: AnyWeights) -> Path:
    while isinstance(weights, MechaStep):
        weights = weights.inputs[0]
    return weights


@contextmanager
def _told_where(where: str) -> Iterator[None]:
    """Add the line to an error; one that names another line is about both."""
    try:
        yield
    except BadInput as error:
        place = where if error.where in (None, where) else f"{where}, of {error.where}"
        raise BadInput(error.what, where=place, why=error.why, fix=error.fix) from None


# -- one instruction


def _result(written: Instruction, line: Line, folder: Path, models: dict[Path, Path]) -> Any:
    """Return the result of an instruction; a model that is named twice is one model."""
    match written.command:
        case "dict":
            if written.given:
                raise BadInput("A dict takes NAME=VALUE pairs only.")
            return ratios(written.named) if has_old_names(written.named) else Pairs(written.named)
        case "literal":
            return _literal(*_fields(written, ("value_dict", "model_config", "merge_space")))
        case "model":
            names = (
                "path",
                *(("model_arch", "model_type") if line.is_old else ("model_config", "merge_space")),
            )
            path = _located(folder, _model_path(*_fields(written, names)))
            return models.setdefault(path, path)
        case "merge" | "call" | "recipe":
            if not written.given or not isinstance(written.given[0], str):
                raise BadInput('The method\'s name is missing, as in merge "weighted_sum".')
            return call(written.given[0], written.given[1:], written.named, line)
    what = f"{written.command!r:.60} is not an instruction."
    raise BadInput(what, fix="There are dict, literal, model and merge.")


def _fields(line: Instruction, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the arguments of a model or a literal by these names; of those, only the first must be there."""
    found = dict(zip(names, line.given, strict=False))
    extra = [name for name in line.named if name in found or name not in names]
    if len(line.given) > len(names) or extra:
        what = f"{line.command} has an argument too many{f', {extra[0]!r:.60}' if extra else ''}."
        raise BadInput(what, why=f"it has {', '.join(names)}")
    found |= line.named
    if names[0] not in found:
        raise BadInput(f"{line.command} lacks its {names[0]}.")
    return tuple(found.get(name) for name in names)


def _model_path(path: Any, config: Any, space: Any) -> str:
    """Return a model's path, of which it must be said that it is an SDXL checkpoint, if anything is."""
    if not isinstance(path, str) or not path or re.search(r"[\x00-\x1f\x7f-\x9f]", path):
        raise BadInput("A model is named by its path in quotes.", why=f"here it is {path!r:.60}")
    if config not in (None, MODEL_CONFIG, "sdxl"):
        what = "Only SDXL checkpoints in the original layout are merged here."
        raise BadInput(what, why=f"the model's config is {config!r:.60}, not {MODEL_CONFIG!r}")
    if space not in (None, "weight", "base"):
        what = "The recipe calls this model a difference or parameters, not a checkpoint."
        fix = "Write an experiment with [adapters] if it is a LoRA."
        raise BadInput(what, why=f"its merge space is {space!r:.60}, not 'weight'", fix=fix)
    return path


def _located(folder: Path, path: str) -> Path:
    """Return a path from the recipe's folder; what Windows wrote has backslashes between its parts."""
    return folder / (path if os.name == "nt" or os.path.exists(folder / path) else path.replace("\\", "/"))


def _literal(pairs: Any, config: Any, space: Any) -> Any:
    if not isinstance(pairs, Pairs):
        raise BadInput("A literal is made of a dict.")
    if space not in (None, "param"):
        raise BadInput("A literal of weights cannot be used here, only ratios.")
    values = dict(pairs.values)
    plain = all(value is None or isinstance(value, str | int | float) for value in values.values())
    if config in (None, "singleton-mecha") and values.keys() == {"key"} and plain:
        return values["key"]
    if config not in (None, BLOCKS_CONFIG) or not values or not values.keys() <= set(ALL_BLOCKS):
        stray = min(values.keys() - set(ALL_BLOCKS), default=None)
        what = "Ratios are one number, or a number per block of SDXL."
        why = f"this literal's config is {config!r:.60}" + (f", and it has {stray!r:.60}" if stray else "")
        raise BadInput(what, why=why, fix=f"Use {BLOCKS_IN_WORDS}.")
    if wrong := [block for block, number in values.items() if type(number) not in (int, float)]:
        raise BadInput(f"The ratio of {wrong[0]} is not a number.")
    return values


# -- the whole


def _merged(last: Any) -> tuple[MechaStep, dict[str, Path]]:
    """Return the step that a recipe ends with, and the models that lend `vae` and `text_encoders`."""
    weights, components = (last.weights, last.lent) if isinstance(last, Parts) else (last, {})
    if not isinstance(weights, MechaStep):
        why = "it gives one model" if isinstance(weights, Path) else "it gives no weights"
        raise BadInput("The recipe's last line merges no models.", why=why)
    if weights.absent:
        raise left_out(weights)
    if missing := [component for component, model in components.items() if model is None]:
        fix = 'Take it from a model: merge "fallback" &RESULT &MODEL.'
        raise BadInput(f"No model supplies {missing[0]} for the merged file.", fix=fix)
    text = {components.get(component) for component in TEXT_COMPONENTS}
    if len(text) > 1:
        raise BadInput("Both text encoders must come from one model, or both be merged.")
    lenders = {"vae": components.get(VAE_COMPONENT), "text_encoders": text.pop()}
    return weights, {name: model for name, model in lenders.items() if model is not None}


def _recipe(root: MechaStep, lenders: Mapping[str, Path], where: str) -> Recipe:
    """Return the recipe that ends with a step, without what it does not need."""
    steps = _steps_of(root)
    inputs = [*(one for step in steps for one in step.inputs), *lenders.values()]
    models = list(dict.fromkeys(one for one in inputs if isinstance(one, Path)))
    step_names = [*(f"step{i}" for i in range(1, len(steps))), MERGED]
    names: dict[Any, str] = dict(zip(steps, step_names, strict=True))
    names |= dict(zip(models, _model_names(models, step_names), strict=True))
    merge = [_checked(step, names) for step in steps]
    lent = {part: names[model] for part, model in lenders.items()}
    try:
        return Recipe(
            models={names[model]: model for model in models},
            merge=merge,
            components=Components(**{"text_encoders": MERGED, "vae": MERGED, **lent}),
        )
    except pydantic.ValidationError as error:
        raise BadInput(_message(error), where=where) from None


def _steps_of(root: MechaStep) -> list[MechaStep]:
    """Return all steps that the last one is made of, each after its inputs."""
    found: dict[MechaStep, None] = {}
    path = [root]
    while path:
        missing = (one for one in path[-1].inputs if isinstance(one, MechaStep) and one not in found)
        if deeper := next(missing, None):
            path.append(deeper)
        else:
            found[path.pop()] = None
    return list(found)


def _checked(step: MechaStep, names: Mapping[Any, str]) -> Any:
    """Return a step of ours; its numbers are checked as an experiment's are."""
    numbers = {n: one.values if isinstance(one, Searched) else one for n, one in step.numbers.items()}
    if isinstance(ratio := step.numbers.get("ratio"), dict):
        numbers["ratio"] = {(f"{VAE}*" if block == VAE_BLOCK else block): ratio[block] for block in ratio}
    inputs = [names[one] for one in step.inputs]
    try:
        return _STEP.validate_python(
            {"name": names[step], "method": step.method, "models": inputs, **numbers}
        )
    except pydantic.ValidationError as error:
        raise BadInput(f"{step.method}: {_message(error)}", where=step.where) from None


def _message(error: pydantic.ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"] if part in _ARGUMENTS]
    return f"{' '.join(place)} {in_words(first)}.".strip()


def _model_names(models: Sequence[Path], taken: Collection[str]) -> list[str]:
    """Return a name for each model, from its file's: letters, digits, "_" and "-", no two alike."""
    used, found = set(taken), []
    counts: dict[str, int] = {}
    for model in models:
        # a path that was written on Windows may have either kind of slash
        stem = re.sub(r"\.(safetensors|ckpt)$", "", PureWindowsPath(str(model)).name)
        stem = "".join(c if c.isalpha() or c.isdecimal() or c in "_-" else "_" for c in stem)
        base = name = stem[:80].lstrip("-") or "model"
        while name in used:
            counts[base] = counts.get(base, 1) + 1
            name = f"{base}_{counts[base]}"
        used.add(name)
        found.append(name)
    return found
