"""The curve that a probe expects, by hand."""

from math import inf, log

import numpy as np
import pytest

from gridsearch.results.analysis.probe import (
    FAILS,
    agreement,
    derivatives,
    expectation_of,
    expected_text,
    summed_up,
)

RATIOS = [0.0, 0.25, 0.5, 0.75, 1.0]


def probe(*off):
    """Answers that are so far off, all by their error."""
    return {
        "ratios": RATIOS,
        "error": [one if one is None else FAILS * one for one in off],
        "spread": [1] * 5,
    }


def test_answers_are_off_by_their_error_and_by_how_pale_or_strong_they_are():
    errors, spreads = [[0.04, 0.16], [0.12, 0.0]], [[0.5, 1.0], [2.0, 4.0]]
    error, spread = summed_up(np.stack([errors, spreads], -1))
    assert error == pytest.approx((0.08**0.5 + 0.08**0.5) / 2)  # the mean over two references, at each level
    assert spread == pytest.approx(4**0.25)
    found = expectation_of({"ratios": [0.0], "error": [error], "spread": [spread]})
    assert found.off == pytest.approx(((0.08**0.5 + log(4) / 4) / FAILS,))
    assert np.isnan(summed_up(np.full((1, 1, 2), inf))).all()


@pytest.mark.parametrize("strong", [0.6, 1.5])
def test_the_derivatives_are_those_of_finite_differences(strong):
    """Along a line through answers: of the curve that a report shows, and of the logarithm of the spread."""
    rng = np.random.default_rng(0)
    answers = np.stack([rng.uniform(0.02, 0.3, (3, 2)), rng.uniform(0.9, 1.1, (3, 2)) * strong], -1)
    way = rng.normal(size=answers.shape) * answers

    def curve(step):
        error, spread = summed_up(answers + step * way)
        found = expectation_of({"ratios": [0.0], "error": [error], "spread": [spread]})
        return np.array([found.off[0], log(spread)])

    differences = (curve(1e-5) - curve(-1e-5)) / 2e-5
    assert [(one * way).sum() for one in derivatives(answers)] == pytest.approx(differences, rel=1e-6)


def test_a_window_ends_where_the_line_between_two_ratios_reaches_one():
    found = expectation_of(probe(3.0, 1.5, 0.5, 0.75, 1.75))
    assert found.best == 0.5
    assert found.window() == pytest.approx((0.375, 0.8125))
    assert expected_text(found) == "the best near 0.50, and sound images from 0.38 to 0.81"
    assert expectation_of(probe(0.5, 0.6, 0.7, 0.8, 2.0)).window() == (None, pytest.approx(0.75 + 0.25 / 6))
    assert expectation_of(probe(2.0, 3.0, 1.5, 2.0, 2.0)).window() is None


def test_an_answer_that_is_not_finite_is_as_far_off_as_can_be():
    found = expectation_of(probe(None, 0.5, 0.5, 0.75, 1.5))
    assert found.off[0] == inf
    assert found.window() == pytest.approx((0.25, 0.75 + 0.25 / 3))
    assert expectation_of(probe(*[None] * 5)) is None
    assert expectation_of(None) is None


def test_each_run_of_sound_ratios_has_its_best_and_the_best_run_comes_first():
    assert expectation_of(probe(0.6, 0.9, 2.0, 0.2, 2.0)).peaks() == [0.75, 0.0]
    assert expectation_of(probe(3.0, 2.0, 1.5, 2.0, 2.0)).peaks() == [0.5]


def test_it_agrees_by_the_order_of_what_is_drawn_and_is_contradicted_by_the_reverse():
    found = expectation_of(probe(3.0, 2.0, 1.0, 0.5, 1.5))
    losses = [(0.0, 1.9), (0.5, 0.4), (0.75, 0.1), (1.0, 1.5)]  # ranks 4 2 1 3, as expected
    assert agreement(found, losses) == pytest.approx(1.0)
    assert agreement(found, losses[:3]) is None
    reverse = [(0.0, 0.1), (0.5, 1.5), (0.75, 1.9), (1.0, 0.4)]
    assert agreement(found, reverse) == pytest.approx(-1.0)
    assert found.holds(losses)
    assert found.holds(reverse[:3])
    assert not found.holds(reverse)
