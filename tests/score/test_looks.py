"""The looks of a picture, by hand and against plain loops."""

from dataclasses import replace
from math import isnan, log

import numpy as np
import pytest
import scipy

from gridsearch.score.gate import value_of
from gridsearch.score.layers import energies, evenness, shapes, spans, sparseness
from gridsearch.score.looks import looks_of
from gridsearch.score.measure import luma_of
from gridsearch.score.metrics import UNDEFINED
from tests.helpers.pictures import grey


def looks(picture):
    return looks_of(picture, luma_of(picture))


def lines(*spans, side=128):
    """White, with black lines 2 px wide from and to these columns, each on its own row."""
    plane = np.full((side, side), 255.0)
    for row, (start, end) in enumerate(spans):
        plane[10 + 8 * row : 12 + 8 * row, start:end] = 0
    return grey(plane)


def test_spans_are_those_of_a_plain_loop():
    plane = np.random.default_rng(0).normal(0, 50, (7, 9)).astype(np.float32)
    for y, x in np.ndindex(plane.shape):
        window = plane[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        assert spans(plane, 2)[y, x] == window.max() - window.min()


def test_details_hold_all_of_the_deviation():
    """A Haar transform is orthogonal: its details' energies add up to the variance."""
    plane = np.random.default_rng(1).normal(0, 30, (64, 64)).astype(np.float32)
    assert sum(e.mean() for e in energies(plane, 6)) == pytest.approx(plane.var(), rel=1e-4)


def test_large_shapes_hold_all_the_contrast_of_halves_and_none_of_a_checkerboard():
    halves = np.repeat([0.0, 200.0], 32)[None].repeat(64, 0).astype(np.float32)
    checks = (200.0 * (np.indices((64, 64)).sum(0) % 2)).astype(np.float32)
    assert shapes([halves]) == pytest.approx(1, abs=1e-4)
    assert shapes([checks]) == pytest.approx(0, abs=1e-4)


def test_noise_is_even_and_dense_where_a_dot_is_not():
    noise = np.random.default_rng(2).normal(0, 20, (256, 256)).astype(np.float32)
    dot = np.zeros((256, 256), np.float32)
    dot[101:103, 101:103] = 200
    even, rare = (next(energies(plane, 1)) for plane in (noise, dot))
    assert sparseness(even) == pytest.approx(log(5 / 3), abs=0.05)  # of a chi-square of 3 degrees of freedom
    assert sparseness(rare) > 5
    assert evenness(scipy.ndimage.uniform_filter(even, 8)) > -0.1 > evenness(rare)


def test_a_line_in_pieces_has_short_edges():
    whole, pieces = looks(lines((0, 128))), looks(lines(*[(20 * k, 20 * k + 16) for k in range(6)]))
    assert whole["edge_length"] == pytest.approx(127 / 128)  # one above and one below the line
    assert 16 / 128 < pieces["edge_length"] < 40 / 128  # around each piece
    assert isnan(looks(grey(np.full((64, 64), 90.0)))["edge_length"])


def test_paper_and_night_are_told_from_what_clips_amid_detail():
    plane = np.full((64, 64), 255.0)
    plane[:, 32:] = 0
    found = looks(grey(plane))
    # Within 2 px of the border a place is not flat: 4 of the 64 columns.
    assert (found["white"], found["black"]) == (30 / 64, 30 / 64)
    assert found["clipped_picture"] == found["clipped_detail"] == pytest.approx(4 / 64)
    assert found["clipped_colour"] == found["primaries"] == found["middle_tones"] == 0


def test_coloured_rims_on_white_are_colour_on_edges():
    picture = np.full((64, 64, 3), 255, np.uint8)
    rimmed = picture.copy()
    rimmed[20:44, 20:22] = (255, 60, 60)
    filled = picture.copy()
    filled[20:44, 20:44] = (255, 60, 60)
    assert looks(rimmed)["edge_colour"] > looks(filled)["edge_colour"] + 20
    assert looks(rimmed)["colour_shapes"] < 0.6 < looks(filled)["colour_shapes"]


def test_a_trait_may_be_the_ratio_of_two_metrics_a_tenth_of_a_level_added_to_both():
    metrics = replace(UNDEFINED, detail_2=1.9, contrast=3.9)
    assert value_of(metrics, "detail_2/contrast") == pytest.approx(0.5)
    assert value_of(metrics, "detail_2") == 1.9
