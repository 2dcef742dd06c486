"""Wilcoxon's signed-rank test, exact for small samples with ties and zeros too.

SciPy's goes through all 2**n signs there, one by one: seconds for twelve pairs. Here their ranks' sums are
counted (Streitberg & Röhmel 1986), in no time.
"""

from typing import Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike

MOST_EXACT = 50  # pairs; beyond them the normal approximation is as good


def signed_rank_p(
    differences: ArrayLike, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Return the p-value of paired differences lying symmetrically about zero; 1 where all are 0.

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
