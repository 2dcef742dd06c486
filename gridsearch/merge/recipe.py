"""Merge steps -> one coefficient per source.

Every step here is linear in its inputs, so a chain of them is too: it collapses to a weighted sum of the
original checkpoints, applied in one pass and rounded once.
"""

from collections.abc import Iterable
from typing import Protocol


class WeightedSum(Protocol):
    """A step with its ratio fixed: `name` = models[0] * (1 - ratio) + models[1] * ratio."""

    name: str
    models: tuple[str, str]
    ratio: float


def coefficients(steps: Iterable[WeightedSum]) -> dict[str, float]:
    """What the last step holds of each source: source -> coefficient, zeros left out.

    A ratio of exactly 0 or 1 so names one source only, and the other's values (a NaN, say) stay out.
    """
    known: dict[str, dict[str, float]] = {}
    for step in steps:
        mix: dict[str, float] = {}
        for model, share in zip(step.models, (1 - step.ratio, step.ratio), strict=True):
            for source, weight in known.get(model, {model: 1.0}).items():
                mix[source] = mix.get(source, 0.0) + share * weight
        known[step.name] = {source: weight for source, weight in mix.items() if weight != 0}
    return known[step.name]
