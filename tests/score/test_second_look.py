"""The second look: what it adds to the gate's logit, its reason, and that it must be installed."""

import importlib.util
from dataclasses import replace
from math import exp

import numpy as np
import pytest
from skimage import data

from benchmarks.verdicts.harms import flowed
from benchmarks.verdicts.visitors import birches
from gridsearch.base.errors import BadInput
from gridsearch.experiment.tables import Scoring
from gridsearch.score.band import POPULATION
from gridsearch.score.gate import evidence
from gridsearch.score.measure import measure
from gridsearch.score.scorers import lite0
from gridsearch.score.second_look import head_logit, measure_twice
from gridsearch.score.verdict import OK, verdict_of
from gridsearch.search.trial.standard import open_standard
from tests.helpers.pictures import scene, to_bytes


def burnt(rgb):
    return to_bytes((rgb.astype(np.float32) - 128) * 6 + 128)


def snow(rgb):
    return to_bytes(rgb + np.random.default_rng(0).normal(0, 25, rgb.shape).astype(np.float32))


@pytest.fixture(scope="module")
def metrics():
    return measure(scene(256, 300))


@pytest.mark.parametrize(
    ("own", "shared", "adds"), [(2, None, 1.4), (20, None, 5.6), (2, 3, -0.7), (2, -3, 1.4)]
)
def test_the_logits_add_up(metrics, own, shared, adds):
    reference = None if shared is None else replace(metrics, second_look=shared)
    blind = evidence(metrics, reference and metrics)
    looked = evidence(replace(metrics, second_look=own), reference)
    assert -8 < blind.beyond < 8
    assert looked.beyond == pytest.approx(blind.beyond + adds)
    assert looked.way == blind.way


def test_the_reason_says_that_it_decides(metrics):
    assert verdict_of(metrics, POPULATION) == OK
    odds = exp(evidence(metrics, None).beyond + 0.7 * 8)
    verdict = verdict_of(replace(metrics, second_look=8.0), POPULATION)
    assert verdict.name != "ok"
    assert (
        verdict.reason == f"the second look decides: with it the odds are {odds:.1f} to 1 that it is broken"
    )


@pytest.mark.parametrize(("change", "name", "acquitted"), [(burnt, "burnt", False), (snow, "noise", True)])
def test_it_acquits_no_tones(change, name, acquitted):
    broken = measure(change(scene(256, 300)))
    assert verdict_of(broken, POPULATION).name == name
    looked = verdict_of(replace(broken, second_look=-20.0), POPULATION)
    assert looked.name == ("ok" if acquitted else name)


def test_a_head_is_a_clipped_sum():
    table = {"middle": [1, 2, 3], "spread": [1, 2, 1], "weights": [2, -1, 1], "intercept": [0.5]}
    table = {name: np.array(values, np.float32) for name, values in table.items()}
    assert head_logit(np.array([2, 4, 100], np.float32), table) == 2 - 1 + 5 + 0.5


def test_it_must_be_installed(monkeypatch):
    monkeypatch.setattr(lite0, "PACKAGE", "no_such_package_here")
    with pytest.raises(BadInput, match=r"no-such-package-here, which is not installed") as refused:
        open_standard(Scoring(second_look=True))
    assert "pip install 'gridsearch[second-look]'" in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 4
    assert open_standard(Scoring()).measured is measure


@pytest.mark.skipif(not importlib.util.find_spec(lite0.PACKAGE), reason="EfficientNet-Lite0 is not installed")
def test_it_passes_a_sky_and_refuses_flowed_birches():
    rng = np.random.default_rng(0)
    wood = to_bytes(birches((320, 320), rng))
    paint = to_bytes(flowed(wood.astype(np.float32), 0.5, rng))
    pictures = (
        (data.hubble_deep_field()[:436, :500], "noise", "ok"),
        (wood, "ok", "ok"),
        (paint, "ok", "noise"),
    )
    for picture, blind, looked in pictures:
        metrics = measure_twice(picture)
        assert verdict_of(replace(metrics, second_look=np.nan), POPULATION).name == blind
        assert verdict_of(metrics, POPULATION).name == looked
