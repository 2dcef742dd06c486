"""The first look as a probe expects it."""

from gridsearch.results.analysis.probe import Expectation
from gridsearch.search.samplers.axis import coarse_left, make_axis
from gridsearch.search.samplers.expectation import look_as_expected
from gridsearch.search.samplers.window import Seen

AXIS = make_axis(0.0, 1.0, 0.01)
TENTHS = [round(i / 10, 1) for i in range(11)]


def expects(best):
    """Off by the distance from the best ratio, and failing 0.25 from it."""
    ratios = tuple(round(i / 20, 2) for i in range(21))
    return Expectation(ratios, tuple(4 * abs(ratio - best) + 0.001 * ratio for ratio in ratios))


def test_the_best_comes_first_and_then_what_is_nearest_to_surviving():
    look = look_as_expected(expects(0.35), [], AXIS)
    assert look == [0.35, 0.3, 0.4, 0.2, 0.5, 0.1, 0.6, 0.0, 0.7, 0.8, 0.9, 1.0]
    seen = [Seen(0.35, 1.0, 0.0, 0.1), Seen(0.3)]
    assert look_as_expected(expects(0.35), seen, AXIS) == look[2:]


def test_it_leaves_out_nothing_of_the_usual_look():
    assert sorted(look_as_expected(expects(0.0), [], AXIS)) == TENTHS
    assert set(TENTHS) < set(look_as_expected(expects(0.35), [], AXIS))


def test_what_is_drawn_may_contradict_it_and_then_the_look_is_the_usual_one():
    losses = {0.35: 1.9, 0.3: 1.8, 0.4: 1.7, 0.9: 0.2}
    seen = [Seen(ratio, float(loss < 1), 0.0, loss) for ratio, loss in losses.items()]
    assert look_as_expected(expects(0.35), seen, AXIS) == coarse_left([*losses], AXIS)


def test_where_nothing_is_expected_to_fail_the_look_is_the_usual_one():
    flat = Expectation((0.0, 1.0), (0.2, 0.1))
    assert look_as_expected(flat, [], AXIS) == coarse_left([], AXIS)
