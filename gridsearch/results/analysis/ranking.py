"""Comparison of trials: which are as good as another, which no other beats, and tests of pairs."""

from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from gridsearch.results.analysis.answer import FrontPoint
from gridsearch.score.metrics import GOALS

AS_GOOD = 0.75  # how probable it must be of a trial that it is not worse than the best by a margin
POWER = 0.8  # the chance with which so many prompts show a difference that they are said to show
NO_ERROR = 1e-9  # of a loss
MOST_EXACT = 50  # pairs; beyond them the normal approximation is as good
_CASE = ["prompt_id", "seed"]


def by_case(images: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return this value of the images as a table of cases × trials."""
    return images.pivot_table(index=_CASE, columns="trial", values=value)


def as_good_as(best: int, images: pd.DataFrame, trials: Collection[int], margin: float) -> tuple[int, ...]:
    """Return which of these trials are, prompt by prompt, not worse than the best by more than `margin`.

    By AS_GOOD, from Student's t over the prompts' mean losses on the same cases: what images of one
    prompt have in common is no evidence. With one prompt, or none in common, nothing is known.
    """
    losses = by_case(images, "loss")
    return tuple(one for one in trials if one != best and _no_worse(losses[one] - losses[best], margin))


def undecided(best: int, images: pd.DataFrame, trials: Collection[int], level: float) -> tuple[int, ...]:
    """Return which of these trials are not surely worse than the best, which may owe its place to luck.

    By Student's t over the prompts' mean losses, at `level` for all trials together (Bonferroni), as the best
    was chosen among them. With one prompt none is surely worse.
    """
    losses = by_case(images, "loss")
    tail = (1 - level) / max(len(trials), 1)
    return tuple(one for one in trials if _not_above(losses[one] - losses[best], 0.0) > tail)


def prompts_to_tell(best: int, images: pd.DataFrame, trials: Collection[int], level: float) -> int | None:
    """Return how many prompts would tell half of these trials from the best, at `level` in POWER of cases.

    If their differences are as they look; None where nothing differs, or of one prompt.
    """
    losses = by_case(images, "loss")
    found = [_mean_error_prompts(losses[one] - losses[best]) for one in trials]
    reach = scipy.stats.norm.ppf(level) + scipy.stats.norm.ppf(POWER)
    wanted = [
        prompts * (reach * error / abs(mean)) ** 2 for mean, error, prompts in found if prompts > 1 and mean
    ]
    return int(np.ceil(np.median(wanted))) if wanted else None


def _no_worse(differences: pd.Series, margin: float) -> bool:
    prompts = differences.dropna().index.get_level_values("prompt_id").nunique()
    return prompts > 1 and _not_above(differences, margin) >= AS_GOOD


def _not_above(differences: pd.Series, margin: float) -> float:
    """Return how probable it is that the prompts' mean difference is at most `margin`; 1 of one prompt."""
    mean, error, prompts = _mean_error_prompts(differences)
    return float(scipy.stats.t.cdf((margin - mean) / error, prompts - 1)) if prompts > 1 else 1.0


def _mean_error_prompts(differences: pd.Series) -> tuple[float, float, int]:
    """Return the mean of the prompts' mean differences, its standard error, and how many prompts they are."""
    by_prompt = differences.dropna().groupby("prompt_id").mean()
    prompts = len(by_prompt)
    scatter = float(by_prompt.std(ddof=1)) if prompts > 1 else np.inf
    return float(by_prompt.mean()), max(scatter / np.sqrt(max(prompts, 1)), NO_ERROR), prompts


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
