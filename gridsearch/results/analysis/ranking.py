"""Choice of the trial of a curve to recommend, and of those that tie with it."""

import numpy as np
import pandas as pd

from gridsearch.results.analysis.wilcoxon import signed_rank_p
from gridsearch.results.analysis.window import run_around


def recommended(
    trials: pd.DataFrame, images: pd.DataFrame, smoothed: float | None, share: float
) -> pd.Series:
    """Return, of the trials that cannot be told from the best by rank, the one nearest to the smooth optimum.

    A rank is made on these prompts, and of many ratios one is lucky; the curve leans on its neighbours too.
    On simulated curves the trial next to the optimum is nearer to the truth than the best by rank.

    Args:
        trials: a row per trial that may win, with `at`, its ratio; ascending.
        images: of these, with `at`.
        smoothed: where the smooth curve is least; None where there is none to trust, and the rank decides.
        share: what a trial must keep of its images to be recommended for its place alone.
    """
    leader = middle_of_the_best(trials, images)
    if smoothed is None or leader["survived"] < share:
        return leader
    alive = trials[trials["survived"] >= share]
    rows = images[images["trial"].isin(alive["trial"])]
    tied = tied_with(int(leader["trial"]), by_case(rows, "defect"))
    equals = alive[alive["trial"].isin([leader["trial"], *tied])]
    near = equals.assign(distance=(equals["at"] - smoothed).abs().round(10), lost=-equals["survived"])
    return near.sort_values(["distance", "lost", "defect"]).iloc[0].drop(["distance", "lost"])


def by_case(images: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return this value of the images as a table of cases × trials."""
    return images.pivot_table(index=["prompt_id", "seed"], columns="trial", values=value)


def middle_of_the_best(trials: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """Return the trial with the most survivors, then the least defect; of a run of equals, the middle one.

    Equals are neighbours along the ratio with the same survivors and a defect that is not worse by more
    than one standard error of the paired difference (Breiman et al. 1984, the one-standard-error rule).
    """
    trials = trials.reset_index(drop=True)
    leader = int(trials.sort_values(["survived", "defect"], ascending=[False, True]).index[0])
    cases = by_case(images, "defect")
    equal = [
        row["survived"] == trials["survived"][leader]
        and _no_worse(cases, int(row["trial"]), int(trials["trial"][leader]))
        for _, row in trials.iterrows()
    ]
    low, high = run_around(equal, leader)
    run = trials.iloc[low : high + 1]
    middle = (run["at"].iloc[0] + run["at"].iloc[-1]) / 2
    nearest = run.assign(distance=(run["at"] - middle).abs().round(10)).sort_values(["distance", "defect"])
    return nearest.iloc[0]


def _no_worse(cases: pd.DataFrame, trial: int, leader: int) -> bool:
    if trial == leader:
        return True
    if trial not in cases or leader not in cases:
        return False
    difference = (cases[trial] - cases[leader]).groupby("prompt_id").mean().dropna()
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() <= error + 1e-9)


def tied_with(best: int, defects: pd.DataFrame, alpha: float = 0.05) -> tuple[int, ...]:
    """Return the trials whose defects do not differ from the best's, at the family-wise level `alpha`.

    The Wilcoxon signed-rank test on paired cases, corrected by Holm's step-down for the comparison of many
    treatments with one (Demšar 2006, sections 3.1.3 and 3.2.2). Few cases leave nothing to tell: with n of
    them no p-value is below 2 / 2**n.

    Args:
        best: the trial compared with, one of the columns.
        defects: cases × trials.
    """
    others = [trial for trial in defects.columns if trial != best]
    p_values = [signed_rank_p((defects[best] - defects[other]).dropna()) for other in others]
    return tuple(int(trial) for trial, p in zip(others, holm(p_values), strict=True) if p >= alpha)


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given."""
    count = len(p_values)
    order = np.argsort(p_values)
    stepped = np.asarray(p_values)[order] * (count - np.arange(count))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted.tolist()
