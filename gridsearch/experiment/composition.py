"""The composition of a merge in a few words: what a ratio is the ratio of."""

from collections.abc import Sequence

from gridsearch.base.words import is_number
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.methods import ADAPTER
from gridsearch.score.verdict import VERDICTS


def composition(steps: Sequence[MergeStep]) -> str:
    """Return `55% base + 45% late`, or `base + 0.6 style`; empty where it is one model, or no such sum.

    Where blocks have ratios of their own: the models, how many blocks, and what their ratios count.

    Args:
        steps: of a merge with nothing left to search.
    """
    blocks = steps[-1].numbers().get("ratio") if steps else None
    if isinstance(blocks, dict):
        each = "1 block with" if len(blocks) == 1 else f"{len(blocks)} blocks each with"
        names = " and ".join(model_text(str(name)) for name in steps[-1].models)
        return "; ".join(filter(None, (f"{names}, {each} a ratio of its own", ends_text(steps))))
    sums: dict[str, dict[str, float]] = {}
    made = {step.name for step in steps}
    for step in steps:
        ratio = step.numbers().get("ratio", 0.0)
        inputs = [sums.get(str(name), {} if name in made else {str(name): 1.0}) for name in step.models]
        if not (step.is_linear() and is_number(ratio) and all(inputs)):
            continue  # a sum that needs its result is no sum either
        mix: dict[str, float] = {}
        for one, share in zip(inputs, step.coefficients(ratio), strict=True):
            for name, weight in one.items():
                mix[name] = mix.get(name, 0.0) + share * weight
        sums[step.name] = {name: weight for name, weight in mix.items() if abs(weight) > 1e-9}
    parts = sums.get(steps[-1].name, {}) if steps else {}
    if len(parts) < 2:
        return ""
    if min(parts.values()) > 0 and abs(sum(parts.values()) - 1) < 1e-9:
        return " + ".join(f"{100 * weight:.3g}% {model_text(name)}" for name, weight in parts.items())
    return "".join(_term(name, weight) for name, weight in parts.items()).removeprefix(" + ")


def model_text(name: str) -> str:
    """Return a model's name for a sentence; `model “burnt”` where a verdict has the same one."""
    return f"model “{name}”" if name in VERDICTS else name


def ends_text(steps: Sequence[MergeStep]) -> str:
    """Return what a ratio of the last step counts: `0 is base, 1 is late`; empty where no end is a model."""
    step = steps[-1]
    names = [model_text(str(name)) for name in step.models]
    if ADAPTER in step.methods():
        return f"0 is {names[0]}, 1 adds {names[1]} at its full strength"
    return ", ".join(f"{ratio:g} is {names[i]}" for ratio, i in step.alone_at.items())


def block_weights(steps: Sequence[MergeStep], blocks: Sequence[str]) -> str:
    """Return the last step's ratio of each block as supermerger has them; empty without them."""
    ratio = steps[-1].numbers().get("ratio") if steps else None
    if not isinstance(ratio, dict) or not all(is_number(ratio.get(block)) for block in blocks):
        return ""
    return ",".join(f"{float(ratio[block]):.4g}" for block in blocks)


def _term(name: str, weight: float) -> str:
    number = "" if abs(abs(weight) - 1) < 1e-9 else f"{abs(weight):.3g} "
    return f" {'+' if weight > 0 else '-'} {number}{model_text(name)}"
