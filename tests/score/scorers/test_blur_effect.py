"""Crété's blur effect as a scorer."""

from math import isnan

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import blur_effect as of_scikit_image

from gridsearch.score.scorers.blur_effect import blur_effect
from tests.helpers.pictures import gained, scene


def blurred(picture, sigma):
    return gaussian_filter(picture, (sigma, sigma, 0))


def test_it_is_scikit_images():
    picture = scene(256, 3)
    assert blur_effect(picture, None) == pytest.approx(of_scikit_image(picture, channel_axis=2), abs=0.01)


def test_it_rises_with_blur():
    values = [blur_effect(blurred(scene(256, 3), sigma), None) for sigma in (0, 1, 2, 4)]
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.2
    assert 0 <= values[0] < values[-1] <= 1


def test_a_picture_at_512_and_at_1024_px_gets_comparable_numbers():
    assert blur_effect(scene(512, 3), None) == pytest.approx(blur_effect(scene(1024, 3), None), abs=0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "picture",
    [
        np.full((64, 64, 3), 128, np.uint8),
        gained(scene(64, 3), 0.02),
        np.random.default_rng(0).integers(127, 130, (64, 64, 3), dtype=np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        scene(64, 3)[:5],
    ],
    ids=["grey", "blank", "faint noise", "one pixel", "a strip"],
)
def test_where_there_is_nothing_to_blur_it_is_undefined(picture):
    assert isnan(blur_effect(picture, None))
