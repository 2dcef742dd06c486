"""Blur against noise: each ratio's means, the parents' own, and no place for what has no edges."""

from html import escape

import numpy as np
import pytest

from gridsearch.report.figures.figure import figures
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import make_results


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return make_results(tmp_path_factory.mktemp("sweep"), ratios=(0.0, 0.4, 0.5, 0.6, 1.0))


def test_each_ratio_is_where_the_means_of_its_images_are(swept):
    figure = next(f for f in figures(swept, analyse(swept)) if f.id == "tradeoff")
    line, *parents = figure.data
    for x, y, ratio in zip(line["x"], line["y"], line["customdata"], strict=True):
        own = swept.images[swept.images["ratio"] == ratio]
        np.testing.assert_allclose([x, y], [own["blur"].mean(), own["noise"].mean()])
    # burnt's own renders are broken, and say nothing about healthy
    assert [parent["name"] for parent in parents] == [escape("base's own")]
    sound = swept.references[swept.references["model"] == "base"]
    np.testing.assert_allclose(parents[0]["x"] + parents[0]["y"], sound[["blur", "noise"]].mean())


def test_what_has_no_edges_is_named_and_not_drawn(swept):
    blank = swept.images.groupby("ratio")["blur"].count() == 0
    (ratio,) = blank[blank].index
    figure = next(f for f in figures(swept, analyse(swept)) if f.id == "tradeoff")
    assert ratio not in figure.data[0]["customdata"]
    assert f"no place here ({ratio:.2f})" in figure.about
