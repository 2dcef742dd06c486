"""The composition of a merge in a few words: what a ratio is the ratio of."""

from collections.abc import Sequence

from gridsearch.base.words import is_number
from gridsearch.experiment.any_of import MergeStep


def composition(steps: Sequence[MergeStep]) -> str:
    """Return `55% base + 45% burnt`, or `base + 0.6 style`; empty where it is one model, or no such sum.

    Args:
        steps: of a merge with nothing left to search.
    """
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
        return " + ".join(f"{100 * weight:.3g}% {name}" for name, weight in parts.items())
    return "".join(_term(name, weight) for name, weight in parts.items()).removeprefix(" + ")


def block_weights(steps: Sequence[MergeStep], blocks: Sequence[str]) -> str:
    """Return the last step's ratio of each block as supermerger has them; empty without them."""
    ratio = steps[-1].numbers().get("ratio") if steps else None
    if not isinstance(ratio, dict) or not all(is_number(ratio.get(block)) for block in blocks):
        return ""
    return ",".join(f"{float(ratio[block]):.4g}" for block in blocks)


def _term(name: str, weight: float) -> str:
    number = "" if abs(abs(weight) - 1) < 1e-9 else f"{abs(weight):.3g} "
    return f" {'+' if weight > 0 else '-'} {number}{name}"
