"""The band: two sides, the population of references, and the one with the same prompt and seed."""

from dataclasses import astuple, replace
from math import isfinite, nan

import pytest

from gridsearch.score.band import POPULATION, band_of, deviation, excess
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRIC_SCALES
from tests.helpers.pictures import scene

REFERENCES = [measure(scene(128, seed)) for seed in range(8)]


@pytest.mark.parametrize("name", METRIC_SCALES)
@pytest.mark.parametrize("band", [POPULATION, band_of(REFERENCES)], ids=["population", "references"])
def test_a_band_is_left_on_both_sides(band, name):
    interval, scale = band[name], METRIC_SCALES[name]
    assert interval.low <= interval.typical < interval.high
    assert excess(name, interval.typical, interval) == 0
    assert deviation(name, interval.typical, interval) == pytest.approx(0)
    middle = scale.forward(interval.typical)
    for side in (-1, 1) if name != "clipped" else (1,):
        outside = scale.back(middle + side * 2 * interval.spread)
        assert deviation(name, outside, interval) == pytest.approx(2 * side)
        assert excess(name, outside, interval) == pytest.approx(1)


def test_no_reference_is_the_population():
    assert band_of([]) is POPULATION


def test_the_middle_is_the_median_and_one_odd_reference_does_not_move_it():
    contrasts = [40.0, 50.0, 60.0]
    references = [replace(REFERENCES[0], contrast=c) for c in contrasts]
    assert band_of(references)["contrast"].typical == pytest.approx(50)
    references[2] = replace(references[2], contrast=5000.0)
    assert band_of(references)["contrast"].typical == pytest.approx(50)


def test_references_that_differ_make_a_wider_band():
    alike = band_of([replace(REFERENCES[0], contrast=50.0)] * 8)
    differing = band_of([replace(REFERENCES[0], contrast=c) for c in (15.0, 50.0, 90.0, 110.0)] * 2)
    assert differing["contrast"].spread > alike["contrast"].spread > 0


def test_what_its_own_reference_has_is_inside():
    white_background = replace(REFERENCES[0], clipped=0.6, contrast=90.0)
    band = band_of(REFERENCES, white_background)
    population = band_of(REFERENCES)
    assert excess("clipped", 0.6, band["clipped"]) == 0 < excess("clipped", 0.6, population["clipped"])
    assert population["contrast"].typical < band["contrast"].typical < 90


def test_an_undefined_value_is_outside_unless_its_own_reference_has_none_either():
    without_blur = replace(REFERENCES[0], blur=nan)
    assert excess("blur", nan, band_of(REFERENCES)["blur"]) > 0
    assert excess("blur", nan, band_of(REFERENCES, without_blur).intervals["blur"]) == 0
    assert isfinite(sum(astuple(band_of([without_blur])["blur"])))
