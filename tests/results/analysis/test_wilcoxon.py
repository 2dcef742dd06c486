"""The signed-rank test against SciPy's, and against all signs counted one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from gridsearch.results.analysis.ranking import signed_rank_p


def counted(differences, alternative) -> float:
    """Of all signs, the share whose rank sum is as extreme."""
    found = np.array([d for d in differences if d])
    ranks = rankdata(np.abs(found))
    sums = np.array(
        [ranks[np.array(s, dtype=bool)].sum() for s in itertools.product((0, 1), repeat=len(found))]
    )
    above = ranks[found > 0].sum()
    if alternative == "greater":
        return np.mean(sums >= above)
    middle = ranks.sum() / 2
    return np.mean(np.abs(sums - middle) >= abs(above - middle))


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9), st.sampled_from(["two-sided", "greater"]))
def test_ties_and_zeros_are_exact(differences, alternative):
    if not any(differences):
        assert signed_rank_p(differences, alternative) == 1
    else:
        assert signed_rank_p(differences, alternative) == pytest.approx(counted(differences, alternative))


@pytest.mark.parametrize("count", [6, 20, 50, 80])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_without_ties_it_is_scipys(count, alternative):
    differences = np.random.default_rng(count).normal(0.2, 1, count)
    method = "exact" if count <= 50 else "asymptotic"
    expected = wilcoxon(differences, alternative=alternative, method=method).pvalue
    assert signed_rank_p(differences, alternative) == pytest.approx(expected)
