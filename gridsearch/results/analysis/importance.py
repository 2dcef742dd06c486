"""Importance of each searched value: how much of the difference between trials goes with it alone."""

import numpy as np
import pandas as pd

from gridsearch.base.words import is_number
from gridsearch.results.analysis.answer import Neighbour

ENOUGH = 12  # trials; with fewer, shares are noise
FEW_VALUES = 8  # a number with more of them is cut into bins
NEAREST = 5  # neighbours of the best trial
PER_BIN = 12  # trials in a bin, so that its mean is worth comparing


def importances(trials: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Return the share of the variance of `loss` that goes with each parameter alone, largest first.

    That is the first-order index of a variance decomposition (Sobol' 1993), estimated from bins of equal
    numbers of trials, and corrected for what bins of pure noise would explain (epsilon squared, Kelley 1935):
    0 where a value does not matter. What is missing to 1 goes with values together, or is noise. Values that
    the sampler chose together share what they explain.

    A parameter that never changes has no share; none has where fewer than two change, or trials are too few.
    `loss` is the mean of a trial's images'.
    """
    varied = [name for name in names if trials[name].nunique() > 1]
    if len(varied) < 2 or len(trials) < ENOUGH or not np.ptp(trials["loss"].to_numpy()):
        return ()
    shares = {name: _share(trials["loss"], _groups(trials[name])) for name in varied}
    return tuple(sorted(shares.items(), key=lambda item: -item[1]))


def _groups(values: pd.Series) -> pd.Series:
    """Return the group of each trial: its value, or its bin. A trial without one is left out."""
    if not all(map(is_number, values.dropna())) or values.nunique() <= FEW_VALUES:
        return values
    return pd.qcut(values.astype(float), _bins(int(values.notna().sum())), duplicates="drop")


def _bins(trials: int) -> int:
    return int(np.clip(trials // PER_BIN, 3, FEW_VALUES))


def by_chance(trials: int) -> float:
    """Return the share that a number without any effect reaches in one case of twenty or so.

    Twice the deviation of epsilon squared of pure noise, which is that of chi squared over the trials.
    """
    return 2 * float(np.sqrt(2 * (_bins(trials) - 1))) / trials


def _share(loss: pd.Series, groups: pd.Series) -> float:
    """Return epsilon squared of a one-way analysis of variance, not below 0."""
    known = groups.notna()
    loss, groups = loss[known], groups[known]
    means = loss.groupby(groups, observed=True).transform("mean")
    free = len(loss) - groups.nunique()
    total = float(((loss - loss.mean()) ** 2).sum())
    if free < 1 or total == 0:
        return 0.0
    within = float(((loss - means) ** 2).sum())
    explained = total - within - (groups.nunique() - 1) * within / free
    return max(0.0, explained / total)


def neighbours(trial: int, trials: pd.DataFrame, names: tuple[str, ...]) -> tuple[Neighbour, ...]:
    """Return the nearest trials, stopped ones too; numbers count by range, unequal words are 1 apart."""
    here = trials.set_index("trial").loc[trial]
    square = sum(_apart(trials[name], here[name]) ** 2 for name in names)
    near = trials.assign(distance=np.sqrt(square / len(names)))
    near = near[near["trial"] != trial].sort_values("distance", kind="stable").head(NEAREST)
    return tuple(
        Neighbour(int(row["trial"]), float(row["distance"]), float(row["survived"]), float(row["defect"]))
        for _, row in near.iterrows()
    )


def _apart(values: pd.Series, here: object) -> pd.Series:
    if is_number(here) and all(map(is_number, values.dropna())):
        values = values.astype(float)
        return ((values - here).abs() / (values.max() - values.min() or 1.0)).fillna(1.0)
    return (values != here).astype(float)
