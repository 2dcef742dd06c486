"""The metrics of damaged pictures, and what follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from benchmarks.calibrate.damage import BLUR, DAMAGES, NOISE, Damage
from gridsearch.score.band import POPULATION
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_SCALES, Metrics


@dataclass(frozen=True)
class Series:
    """One picture, damaged by degrees.

    Attributes:
        picture: its name.
        drawn: whether it is no photograph.
        metrics: one for each of the damage's grades.
    """

    picture: str
    drawn: bool
    damage: Damage
    metrics: tuple[Metrics, ...]

    def of(self, name: str) -> list[float]:
        """One metric at each grade."""
        return [getattr(metrics, name) for metrics in self.metrics]


def all_series(photographs: Mapping[str, np.ndarray], drawn: Mapping[str, np.ndarray]) -> list[Series]:
    """Every picture with every kind of damage."""
    return [
        Series(name, name in drawn, damage, tuple(map(measure, damage.series(picture))))
        for name, picture in (photographs | drawn).items()
        for damage in DAMAGES
    ]


def moved(series: Sequence[Series], name: str, damage: Damage) -> float:
    """Return how far the strongest grade moves a metric: the median over pictures, signed, in spreads.

    A spread is that of healthy pictures at large, the unit in which the band is drawn.
    """
    forward, spread = METRIC_SCALES[name].forward, POPULATION[name].spread
    ends = [(one.of(name)[0], one.of(name)[-1]) for one in series if one.damage == damage]
    return float(np.nanmedian([(forward(last) - forward(first)) / spread for first, last in ends]))


def graded(picture: np.ndarray) -> dict[str, tuple[float, float]]:
    """`agreement` of blur and of noise on one picture."""
    return agreement(
        [Series("", False, kind, tuple(map(measure, kind.series(picture)))) for kind in (BLUR, NOISE)]
    )


def agreement(series: Sequence[Series]) -> dict[str, tuple[float, float]]:
    """For blur and for noise: the rank correlation with its own grades, and what the other kind does to it.

    The latter is the range over all grades of the other kind, in mean steps of its own.

    Args:
        series: of one picture.
    """
    by_kind = {one.damage.name: one for one in series}
    found = {}
    for own, other in ((BLUR.name, NOISE.name), (NOISE.name, BLUR.name)):
        mine, theirs = by_kind[own].of(own), by_kind[other].of(own)
        step = (mine[-1] - mine[0]) / (len(mine) - 1)
        found[own] = (
            float(spearmanr(by_kind[own].damage.grades, mine).statistic),
            float(np.ptp(theirs) / step),
        )
    return found
