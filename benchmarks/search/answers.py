"""What the real analysis says of a simulated search, held against the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.search.curve import true_best, true_window
from benchmarks.search.study import Found, Problem
from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.window import Window, find_window
from gridsearch.score.score import SURVIVES, image_losses

LEVEL, RESAMPLES = 0.95, 1000
EDGE, BEST = 0.01, 0.02  # what is near enough, in ratios
ROUNDING = 1e-9


@dataclass(frozen=True)
class Judged:
    """One study against its truth.

    Attributes:
        renders: how many, confirmation included.
        edges: both edges of the window are within EDGE of what the same cases have without noise.
        edges_of_all: the same against the medians of all prompts, of which these cases are a sample.
        best: the smoothed optimum is within BEST of the least expected loss over all prompts.
        taken: the same of the surviving trial next to it.
        covered: the interval holds that optimum; None where there is no interval.
        width: of the interval.
        error: of the smoothed optimum, signed.
    """

    renders: int
    edges: bool
    edges_of_all: bool
    best: bool
    taken: bool
    covered: bool | None
    width: float
    error: float


def judge(of: Problem, found: Found) -> Judged:
    """Hold what was found against the truth."""
    truth, best = true_window(of.cases), true_best(of.curve, of.seed)
    losses = by_prompt(found)
    centre, draws = optimum.optimum(found.ratios, *losses, RESAMPLES, of.seed)
    low, high = optimum.interval(found.ratios, centre, draws, LEVEL)
    window, alive = survival(found)
    taken = alive[np.abs(alive - centre).argmin()] if len(alive) else np.inf
    return Judged(
        renders=found.renders,
        edges=_near(window, truth),
        edges_of_all=_near(window, (of.curve.low, of.curve.low + of.curve.width)),
        best=abs(centre - best) <= BEST + ROUNDING,
        taken=abs(taken - best) <= BEST + ROUNDING,
        covered=low <= best <= high if len(draws) else None,
        width=high - low,
        error=centre - best,
    )


def by_prompt(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """(sums of losses, numbers of images), each prompts × ratios."""
    drawn = found.verdicts != ""
    losses = np.where(drawn, image_losses(found.verdicts, found.defects), 0.0)
    prompts = range(found.prompts.max() + 1)
    cells = [[table[:, found.prompts == one].sum(axis=1) for one in prompts] for table in (losses, drawn)]
    return np.array(cells[0]), np.array(cells[1], dtype=float)


def survival(found: Found) -> tuple[Window | None, np.ndarray]:
    """The window around the best whole trial, and all whole trials' ratios that survive."""
    drawn = found.verdicts != ""
    kept = (found.verdicts == "ok").sum(axis=1) / drawn.sum(axis=1)
    defects = np.nanmean(found.defects, axis=1)
    whole = np.flatnonzero(drawn.all(axis=1))
    alive = found.ratios[whole[kept[whole] >= SURVIVES]]
    if not len(alive):
        return None, alive
    best = min(whole, key=lambda trial: (-kept[trial], defects[trial]))
    images = pd.DataFrame(
        {
            "at": np.repeat(found.ratios, drawn.sum(axis=1)),
            "prompt_id": np.broadcast_to(found.prompts, drawn.shape)[drawn],
            "verdict": found.verdicts[drawn],
            "defect": found.defects[drawn],
        }
    )
    return find_window(pd.Series(kept, found.ratios), images, found.ratios[best], SURVIVES), alive


def _near(window: Window | None, truth: tuple[float, float] | None) -> bool:
    if window is None or truth is None:
        return False
    off = abs(window.low.at - truth[0]), abs(window.high.at - truth[1])
    return max(off) <= EDGE + ROUNDING
