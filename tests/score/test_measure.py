"""Each metric against what mathematics says it must read."""

import time
from dataclasses import asdict
from math import isnan

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr
from scipy.stats import spearmanr

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import colourfulness, entropy, measure
from tests.helpers.pictures import grey, scene, to_bytes

PICTURES = {"drawn 512": scene(512, 1), "drawn 384": scene(384, 2), "drawn 64": scene(64, 3)}


@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("turned", [False, True])
def test_blur_is_the_sigma_of_a_gaussian_edge(sigma, turned):
    edge = np.broadcast_to(40 + 170 * ndtr((np.arange(512) - 255.5) / sigma), (512, 512))
    assert measure(grey(edge.T if turned else edge)).blur == pytest.approx(sigma, rel=0.05)


def test_blur_of_a_step_is_the_least_there_is():
    step = np.where(np.arange(256) < 128, 50, 200) * np.ones((256, 1))
    assert measure(grey(step)).blur == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("sigma", [1.5, 5.0, 20.0])
@pytest.mark.parametrize("side", [64, 512])
def test_noise_is_the_sigma_of_white_noise_on_flat_grey(sigma, side):
    white = np.random.default_rng(0).normal(128, sigma, (side, side))
    assert measure(grey(white)).noise == pytest.approx(sigma, rel=0.1)


def test_noise_with_coarse_grains_is_seen():
    grains = np.random.default_rng(0).normal(128, 8, (128, 128)).repeat(4, axis=0).repeat(4, axis=1)
    assert measure(grey(grains)).noise > 2


def test_a_gradient_has_no_noise():
    assert measure(grey(np.add.outer(np.arange(100), np.arange(100)) + 20)).noise < 0.01


def test_contrast_of_half_and_half_is_half_the_difference():
    halves = np.where(np.arange(100) < 50, 60, 160) * np.ones((100, 1))
    assert measure(grey(halves)).contrast == pytest.approx(50)


def test_clipped_counts_channel_values_at_both_ends():
    picture = np.full((10, 10, 3), 128, dtype=np.uint8)
    picture[:5, :, 0], picture[0, :, 1] = 8, 247
    picture[9, :, 2] = 246  # just inside
    assert measure(picture).clipped == pytest.approx(60 / 300)


def test_entropy_counts_levels():
    assert entropy(np.arange(256.0)) == pytest.approx(8)
    assert entropy(np.array([3.0, 3.0, 9.0, 9.0])) == pytest.approx(1)
    assert entropy(np.full(5, 7.0)) == pytest.approx(0)


def test_colourfulness_of_one_colour_is_its_distance_from_grey():
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 200
    assert colourfulness(red) == pytest.approx(0.3 * np.hypot(200, 100))
    assert colourfulness(grey(np.arange(16.0).reshape(4, 4))) == pytest.approx(0, abs=1e-4)


def test_a_flat_picture_has_no_blur_rather_than_a_good_one():
    flat = measure(np.full((64, 64, 3), 128, dtype=np.uint8))
    assert isnan(flat.blur)
    assert isnan(flat.autocorrelation)
    assert (flat.contrast, flat.detail, flat.entropy) == pytest.approx((0, 0, 0), abs=1e-4)


@pytest.mark.parametrize("name", PICTURES)
def test_blur_ranks_blur_and_hardly_minds_noise(name):
    picture = PICTURES[name].astype(float)
    sigmas = np.array([0.0, 0.6, 1.0, 1.5, 2.0, 3.0]) * max(picture.shape[0] / 256, 1)
    blurred = [measure(to_bytes(gaussian_filter(picture, (s, s, 0)))).blur for s in sigmas]
    noise = np.random.default_rng(0).standard_normal(picture.shape)
    noisy = [measure(to_bytes(picture + s * noise)).blur for s in (0, 2, 4, 8, 16)]
    assert spearmanr(sigmas, blurred).statistic >= 0.98
    assert np.ptp(noisy) < (blurred[-1] - blurred[0]) / 5


@pytest.mark.parametrize("name", PICTURES)
def test_noise_ranks_noise_and_hardly_minds_blur(name):
    picture = PICTURES[name].astype(float)
    noise = np.random.default_rng(0).standard_normal(picture.shape)
    sigmas = np.array([0, 2, 4, 8, 16, 32])
    noisy = [measure(to_bytes(picture + s * noise)).noise for s in sigmas]
    blurred = [measure(to_bytes(gaussian_filter(picture, (s, s, 0)))).noise for s in (0, 1, 2, 4)]
    assert spearmanr(sigmas, noisy).statistic >= 0.98
    assert np.ptp(blurred) < (noisy[-1] - noisy[0]) / 5


def test_one_picture_at_512_and_1024_reads_nearly_the_same():
    large = scene(1024, 4)
    small = np.asarray(Image.fromarray(large).resize((512, 512), Image.Resampling.BOX))
    a, b = asdict(measure(large)), asdict(measure(small))
    assert a == pytest.approx(b, rel=0.1, abs=0.1, nan_ok=True)


@pytest.mark.parametrize("side", [1024, 768])
@pytest.mark.parametrize("seed", range(2))
def test_one_picture_drawn_at_several_sizes_reads_nearly_the_same(seed, side):
    found, expected = (asdict(measure(scene(size, seed))) for size in (side, 512))
    loose = {"edge_length", "edge_colour"}  # a pixel joins two edges, or does not
    for name, value in expected.items():
        rel, least = (0.25, 0.5) if name in loose else (0.12, 0.1)
        assert found[name] == pytest.approx(value, rel=rel, abs=least, nan_ok=True), name


def test_noise_of_a_large_picture_reads_as_it_does_in_the_small_one():
    large = to_bytes(scene(1024, 4) + 12 * np.random.default_rng(0).standard_normal((1024, 1024, 3)))
    small = np.asarray(Image.fromarray(large).resize((512, 512), Image.Resampling.LANCZOS))
    assert measure(large).noise == pytest.approx(measure(small).noise, rel=0.25)
    assert measure(large).noise > 2


def test_all_metrics_of_a_1024_px_picture_take_under_150_ms_of_one_core():
    picture = scene(1024, 0)
    spent = []
    for _ in range(5):
        began = time.process_time()  # of all threads; what else the machine does hardly counts
        measure(picture)
        spent.append(time.process_time() - began)
    assert min(spent) < 0.15


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 8), np.uint8),
        ((8, 8, 4), np.uint8),
        ((0, 8, 3), np.uint8),
        ((8, 8, 3), np.float32),
    ],
)
def test_other_arrays_are_refused(shape, dtype):
    with pytest.raises(BadInput, match="Not an RGB picture"):
        measure(np.zeros(shape, dtype))
