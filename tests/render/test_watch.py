"""The trace says what was predicted, and a picture does not notice that its neighbours were stopped."""

import numpy as np
import pytest
import torch

from gridsearch.render.cases import Case
from gridsearch.render.decode import film, preview, rgb_map
from gridsearch.render.denoise.sampling import SAMPLERS
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.render.watch import (
    RUNAWAY,
    Expected,
    Trace,
    WatchSettings,
    expected_of,
    is_look,
    reason_to_stop,
    statistics,
    trace_of,
)
from tests.helpers.settings import sampling

CASES = [Case(f"p{seed}", "a circle", "", seed) for seed in (101, 102, 103)]


@pytest.fixture(scope="module")
def renderer(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


def trace(level=(10.0, 1.0), std=(1.0, 1.0), autocorrelation=(0.5, 0.5), finite=(True, True)):
    columns = (np.array(values, dtype=float) for values in (level, [0] * len(level), std, autocorrelation))
    return Trace(*columns, np.array(finite))


# -- the numbers


def test_statistics_of_latents_whose_numbers_are_known():
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(1, 4, 4, 4)
    ramp = torch.arange(8.0).repeat(1, 4, 8, 1)
    broken = torch.full((1, 4, 8, 8), torch.nan)
    mean, std, correlation, finite = statistics(torch.cat([checks, ramp, broken])).T
    torch.testing.assert_close(mean[:2], torch.tensor([0, 3.5]))
    torch.testing.assert_close(std[:2].square(), torch.tensor([256 / 255, 5.25 * 256 / 255]))
    # neighbours on the checkerboard differ by 2; on the ramp by 1 to the right and 0 down
    expected = torch.tensor([1 - 2 * 4 / (4 * 256 / 255), 1 - 1 / (4 * 5.25 * 256 / 255)])
    torch.testing.assert_close(correlation[:2], expected)
    assert finite.tolist() == [1, 1, 0]


def test_white_noise_does_not_correlate_with_itself():
    noise = torch.randn(50, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    correlation = statistics(noise)[:, 2]
    assert correlation.abs().max() < 3 / (4 * 64 * 64) ** 0.5 * 1.5


def test_the_trace_ends_at_the_picture_and_is_kept_as_a_row(renderer):
    (drawn,) = draw(renderer, CASES[:1], sampling(steps=20))
    assert len(drawn.trace) == drawn.calls == 20
    assert (np.diff(drawn.trace.level) < 0).all()
    again = trace_of(drawn.trace.as_row())
    for name, values in vars(drawn.trace).items():
        np.testing.assert_allclose(getattr(again, name), values, rtol=1e-5)


# -- what is hopeless

HEALTHY = expected_of(
    [trace((10.0, 1.0), (1.0, 1.0), (0.64, 0.64)), trace((10.0, 1.0), (2.0, 2.0), (0.81, 0.81))]
)


def test_expected_is_the_median_signal_the_largest_spread_and_the_lowest_correlation():
    assert HEALTHY.level.tolist() == pytest.approx([10.0, 1.0])
    assert HEALTHY.at("signal", 3.0) == pytest.approx((0.8 + 1.8) / 2)
    assert HEALTHY.at("spread", 0.1) == pytest.approx(2.0)
    assert HEALTHY.at("autocorrelation", 100.0) == pytest.approx(0.64)


def test_between_two_levels_the_logarithm_is_interpolated():
    expected = Expected(
        np.array([10.0, 1.0]), np.array([2.0, 4.0]), np.array([1.0, 1.0]), np.array([0.0, 0.0])
    )
    assert expected.at("signal", 10**0.5) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (trace(), None),
        (trace(std=(1.0, 0.05)), "blank"),
        (trace(std=(0.0, 0.0), autocorrelation=(np.nan, np.nan)), "blank"),
        (trace(std=(9.0, 4.9)), None),
        (trace(std=(1.0, 5.1)), "noise"),
        (trace(std=(1.0, 1.4), autocorrelation=(0.0, 0.25)), "noise"),
        (trace(autocorrelation=(0.0, 0.40)), None),
        (trace(std=(1.0, 0.8), autocorrelation=(0.0, 0.25)), None),
        (trace(finite=(True, False)), "nan"),
    ],
)
def test_a_trajectory_is_given_up_for_what_it_has_become(made, verdict):
    stop = reason_to_stop(made, HEALTHY, values=128 * 128)
    assert (stop and stop.verdict) == verdict
    if stop:
        assert stop.call == 1
        assert stop.reason


def test_noise_is_not_called_stuck_before_pictures_have_formed():
    early = trace((20.0, 5.0), autocorrelation=(0.0, 0.0))
    assert reason_to_stop(early, HEALTHY, values=128 * 128) is None


def test_without_references_only_what_is_not_finite_is_hopeless():
    assert reason_to_stop(trace(std=(1.0, 99.0)), None, values=64) is None
    assert reason_to_stop(trace(finite=(False, True)), None, values=64).verdict == "nan"


def test_looks_start_at_the_share_and_come_every_tenth():
    assert [call + 1 for call in range(20) if is_look(call, 20, 0.4)] == [8, 10, 12, 14, 16, 18]
    assert [call + 1 for call in range(4) if is_look(call, 4, 0.5)] == [2, 3, 4]


# -- who is stopped


# what Karras' steps change is how long they are
@pytest.mark.parametrize(
    "sampler",
    [
        name if name in ("euler", "euler_a", "dpmpp_2m") else pytest.param(name, marks=pytest.mark.night)
        for name in SAMPLERS
        if not name.endswith("_karras")
    ],
)
def test_a_picture_does_not_notice_that_its_neighbours_were_stopped(renderer, sampler):
    """The middle one of three is given up; the others come out as if they had been alone."""
    settings = sampling("v_prediction", sampler, steps=6)
    alone = {d.case.id: d for case in CASES for d in draw(renderer, [case], settings)}
    spread = {name: d.trace.std[d.calls // 2] for name, d in alone.items()}
    highest = max(spread, key=spread.get)
    others = [value for name, value in spread.items() if name != highest]
    limit = (spread[highest] + max(others)) / 2 / RUNAWAY  # half way between them
    level = alone[highest].trace.level
    flat = np.zeros_like(level)
    expected = Expected(level, flat, np.where(level == level[len(level) // 2], limit, 1e9), flat - 9)
    watch = WatchSettings(expected, early_abort=(len(level) // 2 + 1) / len(level))
    found = {d.case.id: d for d in draw(renderer, CASES, settings, watch=watch)}
    assert [name for name, d in found.items() if d.stop] == [highest]
    assert len(found[highest].trace) < found[highest].calls
    for name in spread:
        if name != highest:
            difference = np.abs(found[name].pixels.astype(int) - alone[name].pixels)
            assert difference.max() <= 1


def test_a_stopped_picture_is_what_was_predicted_there(renderer):
    expected = Expected(np.array([10.0, 1.0]), np.zeros(2), np.full(2, 1e-3), np.zeros(2))
    (drawn,) = draw(
        renderer, CASES[:1], sampling(steps=20), watch=WatchSettings(expected, early_abort=0.4, film=True)
    )
    assert drawn.stop.verdict == "noise"
    assert len(drawn.trace) == 8
    assert drawn.finite
    frames = drawn.film.shape[1] // drawn.film.shape[0]
    assert frames == 3  # of calls 0, 3, 5, 8, ...


# -- previews


def test_previews_are_near_to_the_pictures(renderer):
    """Of the variance of small pictures, most is explained by a map that never saw one."""
    (drawn,) = draw(renderer, [CASES[0]], sampling(steps=20), watch=WatchSettings(film=True))
    assert drawn.film.shape == (96, 8 * 96, 3)
    small = drawn.pixels.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    last = drawn.film[6::12, 7 * 96 + 6 :: 12].astype(float)
    assert np.corrcoef(small.ravel(), last.ravel())[0, 1] > 0.7


def test_the_map_is_linear_in_the_latents_and_black_where_nothing_is_finite(renderer):
    mapping = rgb_map(renderer.pipe.vae)
    assert mapping.shape == (5, 3)
    zero = preview(torch.zeros(1, 4, 2, 2), mapping)
    assert np.abs(zero[0, 0, 0] - (mapping[-1].clamp(0, 1).numpy() * 255)).max() <= 1
    assert not preview(torch.full((1, 4, 2, 2), torch.nan), mapping).any()


def test_a_film_keeps_the_shape_of_its_frames():
    assert film(np.zeros((3, 96, 168, 3), np.uint8)).shape == (96, 3 * 168, 3)
