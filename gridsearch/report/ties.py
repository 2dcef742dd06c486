"""Which trials cannot be told from the best one."""

import numpy as np
import pandas as pd

from gridsearch.signed_rank import signed_rank_p


def tied_with(best: int, defects: pd.DataFrame, alpha: float = 0.05) -> tuple[int, ...]:
    """The trials whose defects do not differ from the best's, case by case, at the family-wise level `alpha`.

    The Wilcoxon signed-rank test on paired cases, corrected by Holm's step-down for the comparison of many
    treatments with one (Demšar 2006, sections 3.1.3 and 3.2.2). Few cases leave nothing to tell: with n of
    them no p-value is below 2 / 2**n.

    Args:
        best: the trial compared with, one of the columns.
        defects: cases × trials.
    """
    others = [trial for trial in defects.columns if trial != best]
    p_values = [_paired_p(defects[best], defects[other]) for other in others]
    return tuple(int(trial) for trial, p in zip(others, holm(p_values), strict=True) if p >= alpha)


def _paired_p(a: pd.Series, b: pd.Series) -> float:
    return signed_rank_p((a - b).dropna())


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    count = len(p_values)
    order = np.argsort(p_values)
    stepped = np.asarray(p_values)[order] * (count - np.arange(count))
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted.tolist()
