"""The real analysis of a simulated search, held against the truth."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.search.curve import true_best, true_window
from benchmarks.search.study import Found, Problem
from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.optimum import Sureness
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
    images, how = images_of(found), Sureness(LEVEL, RESAMPLES, of.seed)
    trials = images.groupby("at")["trial"].first().reset_index()
    trials["survived"] = (images["verdict"] == "ok").groupby(images["at"]).mean().to_numpy()
    whole = images["at"].value_counts().sort_index().to_numpy() == len(of.cases)
    curve = optimum.curve_of(trials[whole], images, SURVIVES, how)
    centre = optimum.doubt(curve, float(trials["at"][0]), how).smoothed
    doubt = optimum.doubt(curve, centre, how)
    low, high = (doubt.interval.low, doubt.interval.high) if doubt.interval else (0.0, 1.0)
    window, alive = survival(found)
    taken = alive[np.abs(alive - centre).argmin()] if len(alive) else np.inf
    return Judged(
        renders=found.renders,
        edges=_near(window, truth),
        edges_of_all=_near(window, (of.curve.low, of.curve.low + of.curve.width)),
        best=abs(centre - best) <= BEST + ROUNDING,
        taken=abs(taken - best) <= BEST + ROUNDING,
        covered=low <= best <= high if doubt.interval else None,
        width=high - low,
        error=centre - best,
    )


def images_of(found: Found) -> pd.DataFrame:
    """A row per image, with the ratio as `at`."""
    drawn = found.verdicts != ""
    trial, case = np.nonzero(drawn)
    verdicts, defects = found.verdicts[drawn], found.defects[drawn]
    table = {"trial": trial, "at": found.ratios[trial], "prompt_id": found.prompts[case], "verdict": verdicts}
    return pd.DataFrame(table | {"defect": defects, "loss": image_losses(verdicts, defects)})


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
    images = images_of(found)
    return find_window(pd.Series(kept, found.ratios), images, found.ratios[best], SURVIVES), alive


def _near(window: Window | None, truth: tuple[float, float] | None) -> bool:
    if window is None or truth is None:
        return False
    off = abs(window.low.at - truth[0]), abs(window.high.at - truth[1])
    return max(off) <= EDGE + ROUNDING
