"""The curve that the probe of a search expects, before anything is drawn, and how far drawings bear it out.

At each ratio the merge is asked for the references, to which noise was added, and so are the references' own
models. A merge is off by how far its answer is from theirs, and by how pale or strong it is. On pairs of toy
models that ranks the ratios much as drawing them does (`python -m benchmarks.search.probe`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf, isfinite, log, nan
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from gridsearch.base.words import value_text
from gridsearch.score.score import image_losses

if TYPE_CHECKING:
    from gridsearch.results.results import Results

# By so much a merge is off where half of its images fail: 0.45 to 0.88 at nine edges of pairs of toy models,
# and 1.3 at the upper one of a flow.
FAILS = 0.65
PROBE = "the probe"
LEAST_AGREEMENT, AGREES_FROM = 0.5, 4  # rank correlation with as many drawn ratios as tell anything


@dataclass(frozen=True)
class Expectation:
    """The curve that a probe expects along a ratio.

    Attributes:
        ratios: those that were probed, ascending.
        off: how far off the merge is at each, in units of where images are expected to fail: 1. Infinite
            where its answer was not finite. Of an earlier study it is the mean loss.
        source: of what it is, in words.
        differs: what was otherwise there, in words.
    """

    ratios: tuple[float, ...]
    off: tuple[float, ...]
    source: str = PROBE
    differs: tuple[str, ...] = ()

    @property
    def best(self) -> float:
        """The ratio that is least off."""
        return self.ratios[int(np.argmin(self.off))]

    def at(self, ratio: float) -> float:
        """Return how far off the merge is at any ratio, between the probed ones by a straight line."""
        return float(np.interp(ratio, self.ratios, self.off))

    def window(self) -> tuple[float | None, float | None] | None:
        """Return where images are expected to begin and to cease being sound; None if nowhere.

        An end that is None is not within the probed ratios.
        """
        best = int(np.argmin(self.off))
        if self.off[best] > 1:
            return None
        low = next((i for i in range(best, -1, -1) if self.off[i] > 1), None)
        high = next((i for i in range(best, len(self.off)) if self.off[i] > 1), None)
        return (
            None if low is None else self._crossing(low, low + 1),
            None if high is None else self._crossing(high, high - 1),
        )

    def tells(self) -> bool:
        """Return whether some ratio is expected to fail; else all are expected to be alike."""
        return max(self.off) > 1

    def holds(self, drawn: Sequence[tuple[float, float]]) -> bool:
        """Return whether drawn (ratio, loss) do not contradict it."""
        found = agreement(self, drawn)
        return found is None or found >= LEAST_AGREEMENT

    def peaks(self) -> list[float]:
        """Return the best ratio of each run of ratios that are expected to survive, the best run first.

        Where none is expected to, it is the least bad of all: a narrow window may lie beside it.
        """
        runs = groupby(zip(self.off, self.ratios, strict=True), key=lambda one: one[0] <= 1)
        return [ratio for _, ratio in sorted(min(run) for alive, run in runs if alive)] or [self.best]

    def _crossing(self, out: int, inside: int) -> float:
        """Return where the line between two neighbours reaches 1."""
        a, b = self.ratios[out], self.ratios[inside]
        share = (1 - self.off[inside]) / (self.off[out] - self.off[inside])
        return b + share * (a - b)


def expectation_of(probe: Mapping[str, Any] | None) -> Expectation | None:
    """Return what a study's facts say of its probe, or of the earlier study in its stead.

    None where there is neither, or no answer was finite.
    """
    if not probe:
        return None
    if "losses" in probe:
        study = PureWindowsPath(probe["study"]).name  # the page is shared, and the person's folders are not
        words = f"{study}, which had {' and '.join(probe['shared'])}"
        return Expectation(tuple(probe["ratios"]), tuple(probe["losses"]), words, tuple(probe["differs"]))
    answers = zip(probe["error"], probe["spread"], strict=True)
    off = [inf if error is None or not spread else error + abs(log(spread)) for error, spread in answers]
    if min(off) == inf:
        return None
    return Expectation(tuple(probe["ratios"]), tuple(one / FAILS for one in off))


def summed_up(answers: np.ndarray) -> tuple[float, float]:
    """Return how wrong answers (N, timesteps, 2) are, and how pale or strong; NaN where one is not finite.

    The first is the root of the mean error, the second the geometric mean of the spread, both averaged over
    the timesteps.
    """
    errors, spreads = answers[..., 0], answers[..., 1]
    if not np.isfinite(answers).all() or spreads.min() <= 0:
        return nan, nan
    return float(np.sqrt(errors.mean(0)).mean()), float(np.exp(np.log(spreads).mean()))


def derivatives(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return those of `off` and of the logarithm of the spread by each of the answers (N, timesteps, 2).

    Where the spread is 1, which is a kink, it counts for none.
    """
    errors, spreads = answers[..., 0], answers[..., 1]
    none, by_spread = np.zeros_like(errors), 1 / spreads / spreads.size
    by_error = none + 0.5 / np.sqrt(errors.mean(0)) / errors.size
    by_off = np.stack([by_error, np.sign(np.log(spreads).mean()) * by_spread], -1) / FAILS
    return by_off, np.stack([none, by_spread], -1)


def agreement(expected: Expectation, drawn: Sequence[tuple[float, float]]) -> float | None:
    """Return the rank correlation of the probe with drawn (ratio, loss); None where too few tell anything."""
    from scipy.stats import spearmanr  # which few plans need

    known = [(expected.at(ratio), loss) for ratio, loss in drawn if isfinite(loss)]
    if len(known) < AGREES_FROM or len({loss for _, loss in known}) < 2 or len({off for off, _ in known}) < 2:
        return None
    return float(spearmanr(*zip(*known, strict=True)).statistic)


def expected_text(expected: Expectation) -> str:
    """Return where the probe expects the best ratio, and between which ratios images are sound."""
    window = expected.window()
    if window is None:
        return f"no ratio to survive, the least bad near {value_text(expected.best)}"
    if window == (None, None):
        return "every ratio to survive"
    ends = [
        value_text(round(expected.ratios[last] if end is None else end, 2))
        for end, last in zip(window, (0, -1), strict=True)
    ]
    return f"the best near {value_text(expected.best)}, and sound images from {' to '.join(ends)}"


def drawn_losses(results: "Results") -> list[tuple[float, float]]:
    """Return (ratio, mean loss) of what was drawn in a search of one ratio, ascending."""
    (name,) = results.parameters
    losses = results.images.assign(loss=lambda rows: image_losses(rows["verdict"], rows["defect"]))
    return [*losses.groupby(name)["loss"].mean().items()]


def agreement_text(results: "Results") -> tuple[str, str] | None:
    """Return what was expected and by what, and how the drawn ratios bear it out; None where nothing was."""
    expected = expectation_of(results.facts.probe)
    if expected is None or len(results.parameters) != 1:
        return None
    found = agreement(expected, drawn_losses(results))
    told = expected_text(expected)
    if expected.source != PROBE:
        told += f", from {expected.source}"
    if found is None:
        return told, f"too little is drawn to tell whether that is so{differences(expected)}"
    said = f"rank correlation {found:.2f} with what was drawn{differences(expected)}"
    if found < LEAST_AGREEMENT:
        said += ", which contradicts it: do not rely on it"
    return told, said


def differences(expected: Expectation) -> str:
    """Return what was otherwise in the earlier study, as the end of a sentence; empty where nothing was."""
    return f" (there it was otherwise: {', '.join(expected.differs)})" if expected.differs else ""
