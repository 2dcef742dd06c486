"""The map of blocks: derivatives by two backward passes, against finite differences of its answers."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.parents import open_parents
from gridsearch.results.analysis.probe import FAILS, expectation_of, summed_up
from gridsearch.results.analysis.sensitivity import Sensitivity, SensitivityMap, map_of
from gridsearch.search.trial import sensitivity
from gridsearch.search.trial.sensitivity import probe_blocks, searched_ratios
from gridsearch.search.trial.setup import load_setup
from tests.helpers.small_run import Quiet, experiment, settings

BLOCKS = [{"models": ["base", "burnt"], "ratio": {"blocks": {"low": 0.0, "high": 1.0}}}]
STEP = 0.05


@pytest.mark.night
def test_the_map_is_that_of_finite_differences(toy, tmp_path):
    what = experiment(toy, merge=BLOCKS, search={"sampler": "gp", "trials": 9})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    asked = sensitivity.ask_models(setup)
    found = map_of(probe_blocks(setup, asked))
    place = {one.name: found.share for one in found.ratios}

    def answer(at):
        """The curve that a probe shows, and the logarithm of its spread."""
        error, spread = summed_up(sensitivity.answer(setup, asked, at))
        expected = expectation_of({"ratios": [0.0], "error": [error], "spread": [spread]})
        return np.array([expected.off[0], np.log(spread)])

    assert answer(place) == pytest.approx([found.off, np.log(found.spread)])
    differences = np.array(
        [
            (answer(place | {name: at + STEP}) - answer(place | {name: at - STEP})) / (2 * STEP)
            for name, at in place.items()
        ]
    )
    told = np.array([[one.off, one.spread] for one in found.ratios])
    cosines = (told * differences).sum(0) / np.linalg.norm(told, axis=0) / np.linalg.norm(differences, axis=0)
    assert len(found.ratios) == 20
    assert (cosines > 0.9).all()
    assert not setup.renderer.pipe.unet.is_gradient_checkpointing
    assert not any(one.requires_grad for one in setup.renderer.pipe.unet.parameters())


def test_answers_that_are_not_finite_are_never_the_best(toy, monkeypatch):
    setup = SimpleNamespace(experiment=experiment(toy, merge=BLOCKS, search={"sampler": "gp", "trials": 9}))
    monkeypatch.setattr(sensitivity, "answer", lambda *_: np.full((1, 1, 2), np.nan))
    with pytest.raises(RunFailed, match="finite numbers"):
        probe_blocks(setup, ())


def test_the_ratios_worth_searching_do_most_of_it_together():
    ratios = [Sensitivity(name, off, 0.0, 1.0) for name, off in (("a", 0.1), ("b", -0.5), ("c", 0.4))]
    assert SensitivityMap(0.5, 0.1, 1.0, tuple(ratios)).worth_searching() == ["b", "c"]


def test_what_was_drawn_bears_it_out_by_correlation():
    ratios = [
        Sensitivity(str(i), 0.1, spread, 1.0, drawn)
        for i, (spread, drawn) in enumerate([(0, 1), (1, 4), (2, 4)])
    ]
    found = SensitivityMap(0.5, 0.1, 1.0, tuple(ratios))
    assert found.borne_out() == pytest.approx(3 / np.sqrt(2 * 6))
    assert found.rows()[1] == {"name": "1", "off": 0.1, "spread": 1, "change": 1.0, "drawn": 4}
    undrawn = SensitivityMap(0.5, 0.1, 1.0, (Sensitivity("a", 0.1, 0.2, 1.0),))
    assert undrawn.borne_out() is None
    assert "drawn" not in undrawn.rows()[0]


def test_a_ratio_makes_answers_wrong_beside_making_them_stronger():
    """A merge that is too pale gets less far off by what makes it stronger."""
    error, spread = 0.3, 0.8
    slopes = {"x": {"off": (0.2 - 0.5) / FAILS, "spread": 0.5, "change": 1.0}}
    found = map_of({"ratios": [0.0, 0.5], "error": [error, 0.1], "spread": [0.1, spread], "slopes": slopes})
    assert (found.share, found.spread) == (0.5, spread)
    assert found.off == pytest.approx((0.1 - np.log(spread)) / FAILS)
    assert found.wrong(found.ratios[0]) == pytest.approx(0.2)
    assert map_of({"ratios": [0.0], "error": [error], "spread": [spread]}) is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "Fewer than two ratios"),
        ({"merge": BLOCKS, "render": {"cfg": {"low": 1.0, "high": 4.0}}}, "render.cfg is searched too"),
    ],
)
def test_what_has_no_map_is_refused(toy, changes, why):
    changes = changes | (
        {"render": settings(toy)["render"] | changes["render"]} if "render" in changes else {}
    )
    what = parse_experiment(
        settings(toy, search={"sampler": "random", "trials": 9}, **changes), Path(), "test"
    )
    with pytest.raises(BadInput, match=why):
        searched_ratios(what)
