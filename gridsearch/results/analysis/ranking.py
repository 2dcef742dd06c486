"""Comparison of trials: which one of a curve to recommend, which tie with it, and which no other beats."""

from typing import Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from gridsearch.results.analysis.answer import FrontPoint
from gridsearch.results.analysis.window import run_around
from gridsearch.score.metrics import GOALS

MOST_EXACT = 50  # pairs; beyond them the normal approximation is as good
_CASE = ["prompt_id", "seed"]


def recommended(
    trials: pd.DataFrame, images: pd.DataFrame, smoothed: float | None, share: float
) -> pd.Series:
    """Return, of the trials that cannot be told from the best by rank, the one nearest to the smooth optimum.

    A rank is made on these prompts, and of many ratios one is lucky; the curve leans on its neighbours too.
    On simulated curves the trial next to the optimum is nearer to the truth than the best by rank.

    Args:
        trials: a row per trial that may win, with `at`, its ratio; ascending.
        smoothed: where the smooth curve is least; None where there is none to trust, and the rank decides.
        share: what a trial must keep of its images to be recommended for its place alone.
    """
    leader = middle_of_the_best(trials, images)
    if smoothed is None or leader["survived"] < share:
        return leader
    best = int(leader["trial"])
    equals = trials[trials["trial"].isin([best, *tied_survivors(best, trials, images, share)])]
    near = equals.assign(distance=(equals["at"] - smoothed).abs().round(10), lost=-equals["survived"])
    return near.sort_values(["distance", "lost", "defect"]).iloc[0].drop(["distance", "lost"])


def by_case(images: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return this value of the images as a table of cases × trials."""
    return images.pivot_table(index=_CASE, columns="trial", values=value)


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
    if trial == leader or not {trial, leader} <= set(cases):
        return trial == leader
    difference = (cases[trial] - cases[leader]).groupby("prompt_id").mean().dropna()
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() <= error + 1e-9)


def tied_survivors(best: int, trials: pd.DataFrame, images: pd.DataFrame, share: float) -> tuple[int, ...]:
    """Return the ties of the best among the trials that survive; one that does not is out without a test."""
    alive = trials.loc[(trials["survived"] >= share) | (trials["trial"] == best), "trial"]
    return tied_with(best, by_case(images[images["trial"].isin(alive)], "defect"))


def tied_with(best: int, defects: pd.DataFrame, alpha: float = 0.05) -> tuple[int, ...]:
    """Return the trials whose defects do not differ from the best's, at the family-wise level `alpha`.

    The Wilcoxon signed-rank test on paired cases, corrected by Holm's step-down for the comparison of many
    treatments with one (Demšar 2006, sections 3.1.3 and 3.2.2). Few cases leave nothing to tell: with n of
    them no p-value is below 2 / 2**n. The defects are of cases × trials.
    """
    others = [trial for trial in defects.columns if trial != best]
    p_values = [signed_rank_p((defects[best] - defects[other]).dropna()) for other in others]
    return tuple(int(trial) for trial, p in zip(others, holm(p_values), strict=True) if p >= alpha)


def holm(p_values: list[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the order given."""
    order, adjusted = np.argsort(p_values), np.empty(len(p_values))
    stepped = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted.tolist()


def signed_rank_p(
    differences: ArrayLike, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Return the p-value of Wilcoxon's signed-rank test, exact for small samples with ties and zeros too.

    That is of paired differences lying symmetrically about zero; 1 where all are 0. SciPy's goes through all
    2**n signs there, one by one: seconds for twelve pairs. Here their ranks' sums are counted (Streitberg &
    Röhmel 1986), in no time.

    Args:
        differences: one a pair; zeros are left out (Wilcoxon 1945), NaN is not allowed.
        alternative: "greater" asks whether they lie above zero.
    """
    found = np.asarray(differences, dtype=float)
    found = found[found != 0]
    if not len(found):
        return 1.0
    if len(found) > MOST_EXACT:
        return float(scipy.stats.wilcoxon(found, alternative=alternative, method="asymptotic").pvalue)
    ranks = np.rint(2 * scipy.stats.rankdata(np.abs(found))).astype(int)  # twice, as ties share half ranks
    chances = np.ones(1)  # of each sum of the ranks above zero
    for rank in ranks:
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    above = int(ranks[found > 0].sum())
    if alternative == "greater":
        return float(min(1.0, chances[above:].sum()))
    tail = min(above, int(ranks.sum()) - above)
    return float(min(1.0, 2 * chances[: tail + 1].sum()))


# -- blur and noise as two goals


def front(
    trials: pd.DataFrame, images: pd.DataFrame, references: pd.DataFrame, share: float
) -> tuple[FrontPoint, ...]:
    """Return the Pareto front of mean blur and noise in excess of the references, by blur.

    Trials that keep `share` of their images come before all others (Deb et al. 2002, constrained domination);
    where none does, there is no front. The means are those of sound images: a blank one is free of noise.
    Sharper or cleaner than a sound reference is no gain.
    """
    alive = trials[trials["survived"] >= share]
    rows = images[images["trial"].isin(alive["trial"]) & (images["verdict"] == "ok")]
    sound = references[references["verdict"] == "ok"]
    excess = pd.DataFrame({"trial": rows["trial"]} | {name: _excess(rows, sound, name) for name in GOALS})
    means = excess.groupby("trial")[list(GOALS)].mean().dropna()
    if means.empty:
        return ()
    points = means.to_numpy()
    beaten = [((points <= one).all(axis=1) & (points < one).any(axis=1)).any() for one in points]
    on = means[~np.array(beaten)].sort_values(list(GOALS))
    knee = _knee(on.to_numpy())
    survived = trials.set_index("trial")["survived"]
    return tuple(
        FrontPoint(int(trial), float(row["blur"]), float(row["noise"]), float(survived[trial]), i == knee)
        for i, (trial, row) in enumerate(on.iterrows())
    )


def _excess(images: pd.DataFrame, sound: pd.DataFrame, name: str) -> pd.Series:
    """Return how far each image lies above the references of its case, or above the mean of all."""
    if sound[name].notna().sum() == 0:
        return images[name]
    own = sound.groupby(_CASE)[name].mean().rename("own")
    healthy = images[_CASE].join(own, on=_CASE)["own"].fillna(sound[name].mean())
    return (images[name] - healthy).clip(lower=0)


def _knee(points: np.ndarray) -> int | None:
    """Return the point farthest below the line between the ends, both goals scaled to 0..1 (Das 1999)."""
    if len(points) < 3:
        return None
    span = np.ptp(points, axis=0)
    if not span.all():
        return None
    scaled = (points - points.min(axis=0)) / span  # from (0, 1) to (1, 0)
    return int((1 - scaled.sum(axis=1)).argmax())
