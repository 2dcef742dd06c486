"""Blur and noise as two goals: the trials that no other beats on both."""

import numpy as np
import pandas as pd

from gridsearch.results.analysis.answer import FrontPoint
from gridsearch.score.metrics import GOALS

_CASE = ["prompt_id", "seed"]


def front(
    trials: pd.DataFrame, images: pd.DataFrame, references: pd.DataFrame, share: float
) -> tuple[FrontPoint, ...]:
    """Return the Pareto front of mean blur and noise in excess of the references, by blur.

    Trials that keep `share` of their images come before all others (Deb et al. 2002, constrained domination);
    where none does, there is no front. The means are those of sound images: a blank one is free of noise.
    Sharper or cleaner than a sound reference is no gain.

    Args:
        trials: whole ones: trial, survived.
        images, references: prompt_id, seed, verdict, blur, noise.
    """
    alive = trials[trials["survived"] >= share]
    rows = images[images["trial"].isin(alive["trial"]) & (images["verdict"] == "ok")]
    sound = references[references["verdict"] == "ok"]
    excess = pd.DataFrame({"trial": rows["trial"]} | {name: _excess(rows, sound, name) for name in GOALS})
    means = excess.groupby("trial")[list(GOALS)].mean().dropna()
    if means.empty:
        return ()
    points = means.to_numpy()
    on = means[[not _beaten(point, points) for point in points]].sort_values(list(GOALS))
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


def _beaten(point: np.ndarray, points: np.ndarray) -> bool:
    return bool(((points <= point).all(axis=1) & (points < point).any(axis=1)).any())


def _knee(points: np.ndarray) -> int | None:
    """Return the point farthest below the line between the ends, both goals scaled to 0..1 (Das 1999)."""
    if len(points) < 3:
        return None
    span = np.ptp(points, axis=0)
    if not span.all():
        return None
    scaled = (points - points.min(axis=0)) / span  # from (0, 1) to (1, 0)
    return int((1 - scaled.sum(axis=1)).argmax())
