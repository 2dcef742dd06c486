"""The plan on curves whose window is known: what is found, with how few, by how many at once."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridsearch.search.samplers.axis import coarse_left, make_axis
from gridsearch.search.samplers.window import (
    FINEST,
    PARTED,
    Seen,
    at_edge,
    best_seen,
    finest_of,
    next_ratio,
    next_ratios,
    smoothed_best,
    widest_gaps,
)

AXIS = make_axis(0.0, 1.0, 0.01)
TENTHS_AND_31 = sorted([*AXIS.values[::10], 0.31])
LIMIT = 200


def curve(low, high, dial=True):
    """Sound from low to high and nowhere else; the dial is 0 in the middle, the loss least there."""
    middle = (low + high) / 2

    def tried(ratio):
        alive = low <= ratio <= high
        loss = abs(ratio - middle) if alive else 1.9
        return Seen(
            ratio, float(alive), math.tanh((ratio - middle) * 3) if dial else math.nan, loss, not alive
        )

    return tried


def search(tried, axis=AXIS, workers=1, seed=0, seen=(), finest=FINEST):
    """Search with so many workers, whoever is ready first at random; returns what was seen, in order."""
    rng = np.random.default_rng(seed)
    seen, at_work = list(seen), []
    for _ in range(LIMIT):
        plan = next_ratios(seen, axis, finest)
        if plan and len(at_work) < workers:
            at_work.append(len(seen))
            seen.append(Seen(plan[0]))
        elif at_work:
            done = at_work.pop(rng.integers(len(at_work)))
            seen[done] = tried(seen[done].ratio)
        else:
            return seen
    raise AssertionError("no end")


def edges(seen):
    """(outside, inside, inside, outside) of the run of survivors around the best."""
    known = sorted((one for one in seen if not math.isnan(one.survived)), key=lambda one: one.ratio)
    first = last = known.index(best_seen(known))
    while first > 0 and known[first - 1].survived >= 0.5:
        first -= 1
    while last < len(known) - 1 and known[last + 1].survived >= 0.5:
        last += 1
    return tuple(known[i].ratio for i in (first - 1, first, last, last + 1))


def test_the_first_look_is_both_ends_and_the_thirds_and_then_from_the_middle_outwards():
    assert next_ratios([], AXIS) == [0.0, 1.0, 0.3, 0.7, 0.5, 0.4, 0.6, 0.2, 0.8, 0.1, 0.9]


def test_a_coarse_step_is_looked_at_whole_and_then_it_is_done():
    axis = make_axis(0.2, 1.0, 0.25)
    seen = search(curve(0.4, 0.5), axis)
    assert sorted(one.ratio for one in seen) == [0.2, 0.45, 0.7, 0.95]


def test_without_a_step_the_resolution_is_a_hundredth_of_the_range():
    axis = make_axis(0.0, 0.5, None)
    assert (len(axis.values), axis.values[1]) == (101, 0.005)


@settings(max_examples=40, deadline=None)
@given(
    width=st.floats(0.02, 0.6),
    place=st.floats(0.0, 1.0),
    workers=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_both_edges_are_found_to_a_step_or_two_of_a_wide_window_whoever_searches(width, place, workers, seed):
    low = 0.02 + place * (0.96 - width)
    seen = search(curve(low, low + width), workers=workers, seed=seed)
    outside, inside, last, beyond = edges(seen)
    assert outside < low <= inside <= last <= low + width < beyond
    steps = round(100 * (inside - outside)), round(100 * (beyond - last))
    assert set(steps) <= ({1, 2} if last - inside > 0.055 else {1})
    ratios = [one.ratio for one in seen]
    assert len(set(ratios)) == len(ratios)
    assert len(ratios) <= 32 + 2 * workers
    # and the middle of the window is known as closely as it is worth
    gap = max(0.01, PARTED * FINEST * width / 2) + 1e-9
    assert min(abs(one.ratio - (low + width / 2)) for one in seen) <= gap


def test_no_worker_waits_while_an_edge_is_open():
    seen = [curve(0.42, 0.47)(ratio) for ratio in coarse_left([], AXIS)]
    seen += [Seen(ratio) for ratio in next_ratios(seen, AXIS)[:1]]
    for _ in range(7):
        plan = next_ratios(seen, AXIS)
        assert plan
        seen.append(Seen(plan[0]))
    assert all(0.4 < one.ratio < 0.5 for one in seen[11:])


def the_other_way_round(tried):
    """The same models given in the other order: burnt at low ratios."""
    return lambda ratio: replace(tried(round(1 - ratio, 10)), ratio=ratio)


@pytest.mark.parametrize("order", [lambda tried: tried, the_other_way_round])
def test_a_narrow_window_between_coarse_ratios_is_found_along_the_dial(order):
    seen = search(order(curve(0.334, 0.346)))
    assert best_seen(seen).ratio in (0.34, 0.66)
    assert best_seen(seen).survived
    assert len(seen) <= 18


def test_with_a_noisy_dial_each_turn_is_followed():
    truth = curve(0.734, 0.746)
    wrong = {0.2: 0.5, 0.3: -0.4}

    def tried(ratio):
        one = truth(ratio)
        return replace(one, dial=wrong.get(ratio, one.dial))

    assert best_seen(search(tried)).ratio == 0.74


def test_a_window_at_the_end_of_the_range_has_one_edge():
    seen = search(curve(-0.1, 0.057))
    alive = [one.ratio for one in seen if one.survived]
    assert (min(alive), max(alive)) == (0.0, 0.05)
    assert 0.06 in [one.ratio for one in seen]


@pytest.mark.parametrize("dial", [-1.0, 1.0, math.nan])
def test_where_nothing_survives_it_ends_soon(dial):
    seen = search(lambda ratio: Seen(ratio, 0.0, dial, 1.8 + 0.1 * abs(ratio - 0.33), True))
    assert 0.33 in [one.ratio for one in seen]
    assert len(seen) < 25


def test_a_second_window_has_its_edges_found_too():
    left, right = curve(0.18, 0.22), curve(0.68, 0.73)

    def tried(ratio):
        one = right(ratio)
        return one if one.survived else replace(left(ratio), survived=0.9 * left(ratio).survived)

    ratios = {one.ratio for one in search(tried)}
    assert {0.67, 0.68, 0.73, 0.74} <= ratios  # the better one
    assert {0.17, 0.18, 0.22, 0.23} <= ratios


@pytest.mark.parametrize(
    ("step", "low", "high", "taken"),
    [
        (0.01, 0.35, 0.45, 2),  # wide: two steps tell as much
        (0.01, 0.36, 0.40, 1),  # narrow: they would be half of it
        (0.02, 0.26, 0.54, 1),  # steps that are not fine
    ],
)
def test_an_edge_is_parted_to_two_steps_where_these_are_fine_and_the_window_wide(step, low, high, taken):
    axis = make_axis(0.0, 1.0, step)
    outside = high + 2 * step
    known = [*coarse_left([], axis), low - step, low, high, outside]
    seen = [Seen(ratio, float(low - 1e-9 <= ratio <= high), loss=1.0) for ratio in known]
    between = [one for one in next_ratios(seen, axis) if high + 1e-9 < one < outside - 1e-9]
    assert between == pytest.approx([high + step] if taken == 1 else [])
    # unless one side is but glanced at: that comes first
    glanced = [replace(one, glanced=one.ratio == outside, partial=one.ratio == outside) for one in seen]
    assert (outside in next_ratios(glanced, axis)) is (taken == 2)


def test_an_edge_is_parted_where_the_shares_that_survive_cross():
    seen = [Seen(ratio, float(ratio in (0.4, 0.5)), loss=1.0) for ratio in coarse_left([], AXIS)]
    assert next_ratio(seen, AXIS) == 0.35
    seen.append(Seen(0.35, 0.7, loss=1.0))  # the line from .35, .7 to .3, 0 is at a half at .3357
    assert 0.34 in next_ratios(seen, AXIS)
    seen.append(Seen(0.34, 0.55, loss=1.0))  # from there at .3364: no nearer than a quarter of the gap
    assert 0.33 in next_ratios(seen, AXIS)
    assert [one for one in (0.33, 0.345, 0.45, 0.56, 0.8) if at_edge(seen, one)] == [0.33, 0.56]


@pytest.mark.parametrize(("at", "alive"), [(0.3, (0.31, 0.4)), (0.5, (0.4, 0.6))])
def test_what_an_edge_or_a_hole_rests_on_is_looked_at_again(at, alive):
    """Once, and not while it is: .3 where nothing is left between, .5 between two that survive at once."""
    seen = [Seen(ratio, float(ratio in alive), loss=1.0) for ratio in TENTHS_AND_31]
    seen = [replace(one, partial=True, glanced=True) if one.ratio == at else one for one in seen]
    assert (next_ratio(seen, AXIS) == at) is (at == 0.5)
    assert at in next_ratios(seen, AXIS)
    assert at not in next_ratios([*seen, Seen(at)], AXIS)
    assert at not in next_ratios([*seen, Seen(at, 0.4, loss=1.0, partial=True)], AXIS)


def test_what_failed_is_gone_around():
    broken = {0.3, 0.35, 0.5}
    truth = curve(0.27, 0.56)
    seen = search(lambda ratio: Seen(ratio) if ratio in broken else truth(ratio))
    assert edges(seen) == pytest.approx((0.25, 0.27, 0.55, 0.57))  # two steps will do
    assert len({one.ratio for one in seen}) == len(seen)


def test_ratios_of_an_earlier_run_serve_where_they_lie():
    truth = curve(0.425, 0.585)
    earlier = [truth(ratio) for ratio in (0.0, 0.2013, 0.3988, 0.4251, 0.5, 0.6012, 1.0)]
    seen = search(truth, seen=earlier)
    outside, inside, last, beyond = edges(seen)
    assert (outside, inside) == (0.41, 0.4251)
    assert (last, beyond) == pytest.approx((0.58, 0.59))
    assert not {0.2, 0.4, 0.6} & {one.ratio for one in seen}  # a neighbour has been looked at


def test_one_that_was_stopped_early_is_never_the_best():
    seen = [Seen(0.4, 1.0, 0.0, 0.1, partial=True), Seen(0.5, 0.9, 0.0, 0.3)]
    assert best_seen(seen).ratio == 0.5


def test_the_smooth_best_is_not_a_lucky_ratio():
    rng = np.random.default_rng(0)
    ratios = np.linspace(0.3, 0.6, 16)
    losses = 10 * (ratios - 0.42) ** 2 + rng.normal(0, 0.005, 16)
    losses[12] -= 0.15
    run = [Seen(ratio, 1.0, 0.0, loss) for ratio, loss in zip(ratios, losses, strict=True)]
    assert smoothed_best(run, 0.3) == pytest.approx(0.42, abs=0.03)


def test_after_the_end_the_widest_gap_is_next():
    assert widest_gaps([Seen(0.0), Seen(0.6), Seen(1.0)], AXIS)[:2] == [0.3, 0.8]


@pytest.mark.parametrize(("cases", "spacing"), [(1, 0.28), (16, 0.28), (64, 0.14)])
def test_with_many_cases_the_best_is_looked_for_more_finely(cases, spacing):
    assert finest_of(cases) == pytest.approx(spacing)


def test_a_trial_stopped_at_an_edge_goes_on_where_it_may_be_as_good_as_the_best():
    best = Seen(0.5, 1.0, 0.0, 0.3, prompts=16, losses=dict.fromkeys(range(16), 0.3))
    outside = [Seen(0.0, 0.0, -5.0), Seen(0.1, 0.0, -2.0), Seen(0.9, 0.0, 3.0)]

    def edge_trial(loss, edge=True):
        losses = dict.fromkeys(range(9), loss)
        return Seen(0.4, 1.0, 0.0, loss, partial=True, prompts=9, losses=losses, edge=edge)

    def plan(*given):
        return [ratio for ratio in next_ratios([*outside, edge_trial(*given), best], AXIS) if ratio == 0.4]

    assert plan(0.75) == [0.4]  # worse by 0.45: by less than 1.5 / 9**0.5
    assert plan(0.85) == []
    assert plan(0.75, False) == []  # a race stopped it as clearly worse
    between = Seen(0.45, 1.0, 0.0, 0.5, prompts=16, losses=dict.fromkeys(range(16), 0.5))
    assert 0.4 not in next_ratios([*outside, between, best, edge_trial(0.75)], AXIS)  # nor next to the best


@pytest.mark.parametrize("width", [0.02, 0.12, 0.2, 0.4])
def test_with_one_prompt_it_takes_a_quarter_of_the_grid_at_most(width):
    seen = search(curve(0.31, 0.31 + width), finest=finest_of(1))
    assert len(seen) <= 101 / 4
