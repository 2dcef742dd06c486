"""The writing of our recipes as sd-mecha's (https://github.com/ljleb/sd-mecha), for version 1.1.8.

sd-mecha merges what is written to the same weights. A recipe that it cannot express is refused.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import TEXT_BLOCK, VAE_COMPONENT
from gridsearch.checkpoint.ldm.keys import selects
from gridsearch.checkpoint.sdxl.family import BLOCKS, SDXL
from gridsearch.checkpoint.sdxl.mecha_names import (
    BLOCK_KEYS,
    BLOCKS_CONFIG,
    LENT_PREFIXES,
    MODEL_CONFIG,
    TEXT_COMPONENTS,
    TO_KEYS,
    WHOLE_PARTS,
    means_whole_blocks,
)
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.mecha.lines import VERSION, quoted
from gridsearch.experiment.methods import Average
from gridsearch.experiment.recipe import MERGED, Model, Recipe

_FIX = "Merge it with gridsearch merge, or make the recipe simpler."

Instructions = dict[str, str]  # instruction -> the reference to its result, in order


def mecha_text(recipe: Recipe) -> str:
    """Return the recipe as text; sd-mecha wants no line end after the last line. Paths stay as they are.

    A BadInput where something in it is searched, or sd-mecha has no words for it.
    """
    if searched := recipe.searched():
        where = ", ".join(searched)
        what = "A recipe for sd-mecha has nothing left to search."
        raise BadInput(what, where=where, fix="Give their values.")
    if recipe.its_family is not SDXL:
        what = (
            f"Recipes for sd-mecha are written of SDXL models only, and these are {recipe.its_family.title}."
        )
        raise BadInput(what, fix="Merge it with gridsearch merge.")
    if vae := recipe.vae_file():
        raise BadInput("sd-mecha takes a VAE from a whole checkpoint only.", where=vae, fix=_FIX)
    text = recipe.components.text_encoders
    lenders = {part: text for part in TEXT_COMPONENTS if text != MERGED}
    if recipe.vae_source() != MERGED:
        lenders[VAE_COMPONENT] = recipe.vae_source()
    lent = tuple(LENT_PREFIXES[component] for component in lenders)
    merged = {
        block: tuple(key for key in keys if not key.startswith(lent)) for block, keys in BLOCK_KEYS.items()
    }
    lines: Instructions = {}
    known = {name: _model(lines, _single_file(name, recipe.models[name])) for name in recipe.needed_models()}
    for step in recipe.merge:
        known[step.name] = _step(lines, step, known, merged)
    last = known[recipe.merge[-1].name]
    for lender in dict.fromkeys(lenders.values()):
        for part in (part for part, name in lenders.items() if name == lender):
            last = _add(lines, "omit_component", last, quoted(part))
        last = _add(lines, "fallback", last, known[lender])
    if last != f"&{len(lines) - 1}":
        _add(lines, "n_average", last)  # the last line is the recipe's result, and this is the same
    return "\n".join([VERSION, *lines])


def _single_file(name: str, model: Model) -> Path:
    if model.path and not model.path.is_dir():
        return model.path
    why = f"{name} is a folder" if model.path else f"the parts of {name} are in files of their own"
    raise BadInput("sd-mecha merges single files only.", where=model.paths[0], why=why, fix=_FIX)


def _model(lines: Instructions, path: Path) -> str:
    # sd-mecha takes what is before "=" for an argument's name, even within quotes.
    if re.search(r"[=\x00-\x1f\x7f-\x9f\ud800-\udfff]", str(path)):
        what = "sd-mecha cannot read this path in a recipe."
        why = 'it has "=", a control character or broken letters in it'
        raise BadInput(what, where=path, why=why, fix="Rename the file.")
    line = f'model {quoted(str(path))} model_config="{MODEL_CONFIG}" merge_space="weight"'
    return lines.setdefault(line, f"&{len(lines)}")


def _add(lines: Instructions, method: str, *inputs: str, **numbers: str) -> str:
    """Add a `merge` line; return the reference to its result."""
    parts = ["merge", quoted(method), *inputs, *(f"{name}={value}" for name, value in numbers.items())]
    return lines.setdefault(" ".join(parts), f"&{len(lines)}")


# -- steps


def _step(
    lines: Instructions, step: MergeStep, known: Mapping[str, str], merged: Mapping[str, tuple[str, ...]]
) -> str:
    """Add a step's lines; return the reference to its result."""
    if step.mecha is None:
        what = f"A step of the method {step.method!r} cannot be written for sd-mecha."
        raise BadInput(what, where=f"step {step.name!r}", fix=_FIX)
    first, *others = inputs = [known[name] for (name,) in step.candidates()]
    if isinstance(step, Average):
        return _average(lines, step, inputs)
    if "ratio" not in step.numbers():
        return _add(lines, step.mecha, *inputs, **_numbers(step))
    alpha = _ratio(lines, step, merged)
    match step.method:
        case "add_difference":
            delta = _add(lines, "subtract", *others)
        case "train_difference":
            alpha = _add(lines, step.mecha, *inputs, alpha=alpha)
            delta = _add(lines, "subtract", *others)
        case "add_perpendicular":
            differences = [_add(lines, "subtract", one, others[1]) for one in (first, others[0])]
            delta = _add(lines, step.mecha, *differences)
        case "ties" | "dare_ties" | "della" | "model_stock" | "low_rank":
            differences = [_add(lines, "subtract", other, first) for other in others]
            name = "ties_sum_extended" if _is_extended(step) else step.mecha
            delta = _add(lines, name, *differences, **_numbers(step))
        case "top_k_tensor_sum" if step.numbers()["offset"]:
            why = "sd-mecha moves one value more, that at which it begins"
            what = "A top_k_tensor_sum with an offset cannot be written for sd-mecha."
            raise BadInput(what, where=f"step {step.name!r}", why=why, fix=_FIX)
        case "tensor_sum" | "top_k_tensor_sum":
            return _add(lines, step.mecha, *inputs, width=alpha, **_numbers(step))
        case _:
            return _add(lines, step.mecha, *inputs, alpha=alpha)
    return _add(lines, "add_difference", first, delta, alpha=alpha)


# What sd-mecha has only as its own: the value that it has, and in words what is ours alone.
_THEIRS = {
    "cosine": ("rows", "A model stock whose cosine is over whole tensors"),
    "ranks": ("tensor", "A DELLA whose ranks are within rows"),
}


def _is_extended(step: MergeStep) -> bool:
    """Return whether a TIES combines in another way than by the mean, which has a method of its own there."""
    return step.method == "ties" and step.numbers()["combine"] != "mean"


def _numbers(step: MergeStep) -> dict[str, str]:
    """Return the arguments of a method, but for the ratio, as sd-mecha 1.1.8 has them."""
    numbers = step.numbers()
    for name, (theirs, ours) in _THEIRS.items():
        if numbers.get(name, theirs) != theirs:
            what = f"{ours} cannot be written for sd-mecha."
            fix = f'Set {name} = "{theirs}", or merge it with gridsearch merge.'
            why = f'sd-mecha has only what is called "{theirs}" here'
            raise BadInput(what, where=f"step {step.name!r}", why=why, fix=fix)
    said = {name: value for name, value in numbers.items() if name not in ("ratio", "vote", *_THEIRS)}
    combine = said.pop("combine", None)
    found = {name: repr(value).lower() for name, value in said.items()}
    if "rank" in numbers:
        found["use_approximate_basis"] = "false"
    # Two flags are read the wrong way round: vote_sgn votes by sums, and apply_stock leaves a stock out.
    if "vote" in numbers:
        found["vote_sgn"] = str(numbers["vote"] == "magnitude").lower()
    if "seed" in numbers or _is_extended(step):
        found["apply_stock"] = str(combine == "mean").lower()
        found["apply_median"] = str(combine == "median").lower()
    return found


def _average(lines: Instructions, step: Average, inputs: list[str]) -> str:
    """Add an average; with unequal weights, as a chain of weighted sums."""
    weights = [Fraction(weight) for weight in step.fixed_weights()]
    total = sum(weights)
    if total == 0 or (not step.normalize and total != 1):
        what = "An average whose weights do not add up to 1 cannot be written for sd-mecha."
        raise BadInput(what, where=f"step {step.name!r}", why=f"they add up to {float(total):g}", fix=_FIX)
    if len(set(weights)) == 1:
        return _add(lines, "n_average", *inputs)
    # Those that pull the total's way come first, so that no sum on the way is zero.
    shares = zip((weight / total for weight in weights), inputs, strict=True)
    (sum_so_far, result), *others = sorted(shares, reverse=True)
    for share, one in others:
        sum_so_far += share
        if share:
            result = _add(lines, "weighted_sum", result, one, alpha=repr(float(share / sum_so_far)))
    return result


def _ratio(lines: Instructions, step: MergeStep, merged: Mapping[str, tuple[str, ...]]) -> str:
    """Return a step's ratio: a number, or the reference to a table over sd-mecha's blocks."""
    ratio = step.numbers()["ratio"]
    if not isinstance(ratio, dict):
        return repr(ratio)
    for selector in ratio:
        if not means_whole_blocks(selector):
            what = f"sd-mecha has no ratio for {selector!r}, only for whole blocks."
            fix = f"Use {', '.join([*WHOLE_PARTS, *BLOCKS[:2]])} ..., or merge it with gridsearch merge."
            raise BadInput(what, where=f"step {step.name!r}", fix=fix)
    table = {block: _block_ratio(step.name, ratio, block, keys) for block, keys in merged.items()}
    if len(set(table.values())) == 1:
        return table[TEXT_BLOCK]
    values = " ".join(f"{block}={number}" for block, number in table.items())
    pairs = lines.setdefault(f"dict {values}", f"&{len(lines)}")
    literal = f'literal {pairs} model_config="{BLOCKS_CONFIG}" merge_space="param"'
    return _add(lines, TO_KEYS, lines.setdefault(literal, f"&{len(lines)}"))


def _block_ratio(step: str, table: Mapping[str, float], block: str, keys: tuple[str, ...]) -> str:
    if not keys:
        return "0.0"  # a model lends them all
    meant = [[value for selector, value in table.items() if selects(selector, key, SDXL)] for key in keys]
    if not all(meant):
        fix = "Put default = 0.5, say, before the others: it applies to all other keys."
        raise BadInput(f"The ratios leave {block} out.", where=f"step {step!r}", fix=fix)
    if len(ratios := {values[-1] for values in meant}) > 1:
        low, high = min(ratios), max(ratios)
        what = f"sd-mecha has one ratio for all of {block}, and here it has several."
        why = f"{low:g} and {high:g} for the text encoders and the embeddings"
        raise BadInput(what, where=f"step {step!r}", why=why, fix=_FIX)
    return repr(meant[0][-1])
