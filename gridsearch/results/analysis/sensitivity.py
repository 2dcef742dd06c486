"""The map of sensitivities: what a probe of several ratios says that each of them does to the merge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gridsearch.base.words import parameter_labels
from gridsearch.results.analysis.probe import (
    AGREES_FROM,
    FAILS,
    LEAST_AGREEMENT,
    agreement_text,
    expectation_of,
    expected_text,
)

if TYPE_CHECKING:
    from gridsearch.results.results import Results

MATTERS = 0.8  # the share of all that the ratios do, which the ones worth searching do together


@dataclass(frozen=True)
class Sensitivity:
    """The effect of a searched ratio, for a step over its whole range, as far as a straight line tells."""

    name: str
    off: float  # of how far off the merge is; below 0 where more of the ratio is better
    spread: float  # of the logarithm of the spread; below 0 where it makes pictures paler
    change: float  # the length of its change of the UNet's weights
    drawn: float | None = None  # as `spread`, of pictures that were drawn; None where none were


@dataclass(frozen=True)
class SensitivityMap:
    """The sensitivities of a merge in which all searched ratios are at one share of their ranges."""

    share: float
    off: float  # 1 where images are expected to fail
    spread: float
    ratios: tuple[Sensitivity, ...]

    def rows(self) -> list[dict]:
        """Return a row for each ratio, as a table has them."""
        rows = [vars(one) for one in self.ratios]
        return [{name: value for name, value in row.items() if value is not None} for row in rows]

    def worth_searching(self) -> list[str]:
        """Return the ratios that matter most to `off`, the largest first, together `MATTERS` of it all."""
        order = sorted(self.ratios, key=lambda one: -abs(one.off))
        sums = np.cumsum([abs(one.off) for one in order])
        return [one.name for one in order[: int(np.searchsorted(sums, MATTERS * sums[-1])) + 1]]

    def borne_out(self) -> float | None:
        """Return how `spread` correlates with what was drawn; None where nothing was, or all is alike."""
        pairs = np.array([(one.spread, one.drawn) for one in self.ratios if one.drawn is not None]).T
        return float(np.corrcoef(pairs)[0, 1]) if pairs.size and pairs.std(1).all() else None

    def wrong(self, one: Sensitivity) -> float:
        """Return what a ratio does to how wrong the answer is: `off` without the spread that is in it."""
        return FAILS * one.off - float(np.sign(np.log(self.spread))) * one.spread


def map_of(probe: Mapping[str, Any] | None) -> SensitivityMap | None:
    """Return what a study's facts say of a probe of several ratios; None where there is none."""
    expected = expectation_of(probe)
    if not probe or expected is None or not probe.get("slopes"):
        return None
    best = expected.ratios.index(expected.best)
    ratios = tuple(Sensitivity(name, **slopes) for name, slopes in probe["slopes"].items())
    return SensitivityMap(expected.best, min(expected.off), probe["spread"][best], ratios)


def probe_text(probe: Mapping[str, Any] | None) -> str | None:
    """Return what a study's probe expects, in words; None where there is none."""
    expected, found = expectation_of(probe), map_of(probe)
    if expected is None or found is None:
        return expected_text(expected) if expected else None
    labels = parameter_labels([one.name for one in found.ratios])
    most = ", ".join(labels[name] for name in found.worth_searching())
    return (
        f"{expected_text(expected)}, as shares of all ranges, and {MATTERS:.0%} of the difference from {most}"
    )


def probe_agreement(results: "Results") -> tuple[str, str] | None:
    """Return what the probe expected, and how what was drawn bears it out; None where there was none.

    Of several ratios, the strength that the map expects of each trial is compared with its dial.
    """
    found, said = map_of(results.facts.probe), probe_text(results.facts.probe)
    if found is None or said is None:
        return agreement_text(results)
    from scipy.stats import spearmanr  # which few reports need

    slopes = {one.name: one.spread for one in found.ratios if one.name in results.parameters}
    rows = results.images.dropna(subset=["dial"]).groupby("trial")[[*slopes, "dial"]].median()
    rows = rows[rows[[*slopes]].nunique(axis=1) > 1]  # where all are equal, any map agrees
    strength = sum(slope * rows[name] for name, slope in slopes.items())
    if len(rows) < AGREES_FROM or not slopes or rows["dial"].nunique() < 2:
        return said, "too little is drawn to tell whether that is so"
    agrees = float(spearmanr(strength, rows["dial"]).statistic)
    bears = f"rank correlation {agrees:.2f} of the strength it expects with the dials drawn"
    return said, bears + (", which contradicts it" if agrees < LEAST_AGREEMENT else "")
