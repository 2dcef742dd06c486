"""Our recipes as sd-mecha's (https://github.com/ljleb/sd-mecha): text that sd-mecha 1.1.8 loads and merges.

What is written merges to the same weights with sd-mecha. What cannot be, is refused.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.checkpoint.sdxl.blocks import BLOCKS, selects
from gridsearch.checkpoint.sdxl.mecha_names import (
    BASE_BLOCK,
    BLOCK_KEYS,
    BLOCKS_CONFIG,
    LENT_PREFIXES,
    MODEL_CONFIG,
    TEXT_COMPONENTS,
    TO_KEYS,
    VAE_COMPONENT,
    WHOLE_PARTS,
    means_whole_blocks,
)
from gridsearch.experiment.recipe import MERGED, Recipe
from gridsearch.merge.mecha.lines import VERSION, quoted

_FIX = "Merge it with gridsearch merge, or make the recipe simpler."

Instructions = dict[str, str]  # instruction -> the reference to its result, in order


def write_mecha(recipe: Recipe, path: Path) -> None:
    """Write a recipe as a `.mecha` file; relative paths of models stay as they are.

    Raises:
        BadInput: as `mecha_text`.
    """
    write_atomic(path, mecha_text(recipe))


def mecha_text(recipe: Recipe) -> str:
    """The recipe as text; sd-mecha wants no line end after the last line.

    Raises:
        BadInput: something in it is searched, or sd-mecha has no words for it.
    """
    if searched := recipe.searched():
        raise BadInput(
            "A recipe for sd-mecha has nothing left to search.",
            where=", ".join(searched),
            fix="Say their values.",
        )
    if vae := recipe.vae_file():
        raise BadInput("sd-mecha takes a VAE from a whole checkpoint only.", where=vae, fix=_FIX)
    text = recipe.components.text_encoders
    lenders = {part: text for part in TEXT_COMPONENTS if text != MERGED}
    if recipe.vae_source() != MERGED:
        lenders[VAE_COMPONENT] = recipe.vae_source()
    merged = _merged_keys(lenders)
    lines: Instructions = {}
    known = {name: _model(lines, recipe.models[name].path) for name in recipe.needed_models()}
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


def _merged_keys(lenders: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return `BLOCK_KEYS` without what a model lends."""
    lent = tuple(LENT_PREFIXES[component] for component in lenders)
    return {
        block: tuple(key for key in keys if not key.startswith(lent)) for block, keys in BLOCK_KEYS.items()
    }


def _model(lines: Instructions, path: Path) -> str:
    name = str(path)
    # sd-mecha takes what is before "=" for an argument's name, even within quotes.
    if re.search(r"[=\x00-\x1f\x7f-\x9f]", name) or not _is_text(name):
        raise BadInput(
            "sd-mecha cannot read this path in a recipe.",
            where=name,
            why='it has "=", a control character or broken letters in it',
            fix="Rename the file.",
        )
    line = f'model {quoted(name)} model_config="{MODEL_CONFIG}" merge_space="weight"'
    return lines.setdefault(line, f"&{len(lines)}")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _add(lines: Instructions, method: str, *inputs: str, **numbers: str) -> str:
    """One `merge` line more; the reference to its result."""
    parts = ["merge", quoted(method), *inputs, *(f"{name}={value}" for name, value in numbers.items())]
    return lines.setdefault(" ".join(parts), f"&{len(lines)}")


# -- steps


def _step(
    lines: Instructions, step: Any, known: Mapping[str, str], merged: Mapping[str, tuple[str, ...]]
) -> str:
    """A step's lines; the reference to its result."""
    if step.method == "adapter":
        raise BadInput("An adapter cannot be written for sd-mecha.", where=f"step {step.name!r}", fix=_FIX)
    inputs = [known[name] for name in step.models]
    if step.method == "average":
        return _average(lines, step, inputs)
    if step.method == "geometric_median":
        return _add(lines, "geometric_median", *inputs)
    first, *others = inputs
    alpha = _ratio(lines, step, merged)
    match step.method:
        case "weighted_sum" | "slerp":
            return _add(lines, step.method, *inputs, alpha=alpha)
        case "cosine_a" | "cosine_b":
            return _add(lines, f"add_{step.method}", *inputs, alpha=alpha)
        case "add_difference":
            return _add(lines, "add_difference", first, _add(lines, "subtract", *others), alpha=alpha)
        case "train_difference":
            mask = _add(lines, "train_difference_mask", *inputs, alpha=alpha)
            return _add(lines, "add_difference", first, _add(lines, "subtract", *others), alpha=mask)
    return _add(lines, "add_difference", first, _of_differences(lines, step, first, others), alpha=alpha)


def _of_differences(lines: Instructions, step: Any, first: str, others: list[str]) -> str:
    """The sum that TIES and its kin make of the others' differences from the first model."""
    deltas = [_add(lines, "subtract", other, first) for other in others]
    if step.method == "model_stock":
        return _add(lines, "model_stock", *deltas)
    if step.method == "ties":
        return _add(lines, "ties_sum", *deltas, k=repr(step.k))
    # apply_stock: in 1.1.8 the flag is read the wrong way round, and true is the plain method's.
    numbers = {"probability": repr(step.probability), "k": repr(step.k), "seed": str(step.seed)}
    if step.method == "della":
        numbers["della_eps"] = repr(step.della_eps)
    return _add(lines, "ties_sum_with_dropout", *deltas, **numbers, apply_stock="true")


def _average(lines: Instructions, step: Any, inputs: list[str]) -> str:
    """An average; with unequal weights, as a chain of weighted sums."""
    weights = [Fraction(weight) for weight in step.weights or (1.0,) * len(inputs)]
    total = sum(weights)
    if total == 0 or (not step.normalize and total != 1):
        raise BadInput(
            "An average whose weights do not add up to 1 cannot be written for sd-mecha.",
            where=f"step {step.name!r}",
            why=f"they add up to {float(total):g}",
            fix=_FIX,
        )
    if len(set(weights)) == 1:
        return _add(lines, "n_average", *inputs)
    # Those that pull the total's way come first, so that no sum on the way is zero.
    shares = sorted(
        ((weight / total, one) for weight, one in zip(weights, inputs, strict=True)), reverse=True
    )
    sum_so_far, result = shares[0]
    for share, one in shares[1:]:
        sum_so_far += share
        if share:
            result = _add(lines, "weighted_sum", result, one, alpha=repr(float(share / sum_so_far)))
    return result


# -- ratios


def _ratio(lines: Instructions, step: Any, merged: Mapping[str, tuple[str, ...]]) -> str:
    """A step's ratio: a number, or the reference to a table over sd-mecha's blocks."""
    if not isinstance(step.ratio, dict):
        return repr(step.ratio)
    for selector in step.ratio:
        if not means_whole_blocks(selector):
            raise BadInput(
                f"sd-mecha has no ratio for {selector!r}, only for whole blocks.",
                where=f"step {step.name!r}",
                fix=f"Use {', '.join([*WHOLE_PARTS, *BLOCKS[:2]])} ..., or merge it with gridsearch merge.",
            )
    table = {block: _block_ratio(step, block, keys) for block, keys in merged.items()}
    if len(set(table.values())) == 1:
        return table[BASE_BLOCK]
    values = " ".join(f"{block}={number}" for block, number in table.items())
    pairs = lines.setdefault(f"dict {values}", f"&{len(lines)}")
    literal = f'literal {pairs} model_config="{BLOCKS_CONFIG}" merge_space="param"'
    return _add(lines, TO_KEYS, lines.setdefault(literal, f"&{len(lines)}"))


def _block_ratio(step: Any, block: str, keys: tuple[str, ...]) -> str:
    """The one ratio of a block."""
    if not keys:
        return "0.0"  # a model lends them all
    meant = [[value for selector, value in step.ratio.items() if selects(selector, key)] for key in keys]
    if not all(meant):
        raise BadInput(
            f"The ratios leave {block} out.",
            where=f"step {step.name!r}",
            fix="Put default = 0.5, say, before the others: it applies to all other keys.",
        )
    if len(ratios := {values[-1] for values in meant}) > 1:
        low, high = min(ratios), max(ratios)
        raise BadInput(
            f"sd-mecha has one ratio for all of {block}, and here it has several.",
            where=f"step {step.name!r}",
            why=f"{low:g} and {high:g} for the text encoders and the embeddings",
            fix=_FIX,
        )
    return repr(meant[0][-1])
