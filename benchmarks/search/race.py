"""One trial as a race: its images come one batch after the other, and it is stopped once it cannot win."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, wilcoxon

from gridsearch.loss import SURVIVES

GATE = 0.02  # probability at which a trial that still has a chance is stopped
WORSE = 0.02  # level of the test against the best
LEAST = 6  # images before anything is decided
BATCH = 2


@dataclass(frozen=True)
class Race:
    """When trials are stopped.

    Attributes:
        order: the cases in the order in which they are drawn, the same for all trials.
        gate: stop what does not survive.
        worse: stop what is clearly worse than the best, too.
    """

    order: NDArray[np.int64]
    gate: bool = True
    worse: bool = True


def run_race(race: Race, losses: NDArray[np.float64], best: NDArray[np.float64] | None) -> int:
    """How many images are drawn before the trial is stopped, or all.

    Args:
        losses: of all cases at this ratio; only those drawn are looked at.
        best: of all cases at the best ratio so far; None where there is none.
    """
    count = len(losses)
    for drawn in range(BATCH, count, BATCH):
        if drawn < LEAST:
            continue
        so_far = race.order[:drawn]
        if race.gate and hopeless(losses[so_far]):
            return drawn
        if race.worse and best is not None and clearly_worse(losses[so_far], best[so_far], count):
            return drawn
    return count


def hopeless(losses: NDArray[np.float64]) -> bool:
    """So few are sound that a share of `SURVIVES` is unlikely."""
    sound = int((losses < 1).sum())
    return bool(binom.cdf(sound, len(losses), SURVIVES) < GATE)


def clearly_worse(losses: NDArray[np.float64], best: NDArray[np.float64], count: int) -> bool:
    """Worse than the best on the same cases, and known to survive or not: an edge must not be left open."""
    sound = int((losses < 1).sum())
    open_still = sound < SURVIVES * count <= sound + count - len(losses)
    difference = losses - best
    if open_still or not (difference != 0).any():
        return False
    return bool(wilcoxon(difference, alternative="greater").pvalue < WORSE)
