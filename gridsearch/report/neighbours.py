"""The trials nearest to the best one, where many values are searched at once."""

import numpy as np
import pandas as pd

from gridsearch.report.answer import Neighbour
from gridsearch.report.labels import is_number

NEAREST = 5  # of the best trial


def neighbours(trial: int, trials: pd.DataFrame, names: tuple[str, ...]) -> tuple[Neighbour, ...]:
    """The nearest trials, stopped ones too; numbers scaled to their ranges, unequal words are 1 apart.

    Args:
        trial: the one in the middle.
        trials: with the parameters `names`, survived and defect.
    """
    here = trials.set_index("trial").loc[trial]
    square = sum(_apart(trials[name], here[name]) ** 2 for name in names)
    near = trials.assign(distance=np.sqrt(square / len(names)))
    near = near[near["trial"] != trial].sort_values("distance", kind="stable").head(NEAREST)
    return tuple(
        Neighbour(int(row["trial"]), float(row["distance"]), float(row["survived"]), float(row["defect"]))
        for _, row in near.iterrows()
    )


def _apart(values: pd.Series, here: object) -> pd.Series:
    if is_number(here) and all(is_number(value) for value in values.dropna()):
        span = values.astype(float).max() - values.astype(float).min()
        return ((values.astype(float) - here).abs() / (span or 1.0)).fillna(1.0)
    return (values != here).astype(float)
