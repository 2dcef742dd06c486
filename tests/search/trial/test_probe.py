"""A probe in a run: it is asked once, orders what is drawn first, and stands in the report."""

from dataclasses import asdict

import numpy as np
import pytest

import gridsearch.search.plan
from gridsearch.base.errors import BadInput
from gridsearch.merge.parents import open_parents
from gridsearch.report.build import build
from gridsearch.results import store
from gridsearch.results.analysis.sensitivity import map_of
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.plan import make_plan
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.probe import probe_merges
from gridsearch.search.trial.setup import draw_parent, load_setup
from tests.helpers.small_run import FILE, Noting, Quiet, experiment, settings

EPSILON = {"steps": 2, "prediction_type": "epsilon", "zero_terminal_snr": False}
SEARCH = {"sampler": "window", "probe": True}


def test_a_models_own_merge_answers_as_the_model_itself_and_others_do_not(toy, tmp_path):
    """In its own mode, ratio 0 is the model that drew the references, to the last bit."""
    what = experiment(toy, render=settings(toy)["render"] | EPSILON, score={"references": ["base"]})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    rows = [row | {"verdict": "ok"} for row in draw_parent(setup, "base", setup.cases)]
    order = [case.id for case in setup.cases]
    found = probe_merges(setup, rows, order, "ratio", [0.0, 0.5])
    assert (found["error"][0], found["spread"][0]) == (0.0, 1.0)
    assert found["error"][1] > 0.2
    assert found["references"] == len(order) == 3
    assert (
        found["calls"] == 3 * 3 * 2 * 2
    )  # of the model and two merges, at two levels, with and without prompt


def test_a_plan_counts_it(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(gridsearch.search.plan, "seconds_per_image", lambda *_: 1.0)
    plain, probed = (
        make_plan(experiment(toy, search=search), tmp_path) for search in ({"sampler": "window"}, SEARCH)
    )
    assert (plain.probed, plain.probe_images) == (0, 0.0)
    assert probed.probed == 5
    assert probed.probe_images == (5 + 1) * 8 * 2 / 2  # the ratios and the model itself; two steps an image
    assert probed.seconds - plain.seconds == pytest.approx(probed.probe_images)


def test_it_follows_one_number_alone(toy, tmp_path):
    render = settings(toy)["render"] | {"prediction_type": ["epsilon", "v_prediction"]}
    with pytest.raises(BadInput, match="cannot search this"):
        make_plan(experiment(toy, search=SEARCH, render=render), tmp_path)


@pytest.mark.night
def test_a_run_asks_once_draws_the_expected_best_first_and_reports_both_curves(toy, tmp_path):
    merge = [{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.1}}]
    what = experiment(toy, merge=merge, search=SEARCH, score={"references": ["base"]})
    first = Noting()
    run_experiment(what, FILE, tmp_path / "r", Budget(trials=2), first)
    stored = store.read_study(tmp_path / "r")
    expected = np.array(stored.facts.probe["error"]) + abs(np.log(stored.facts.probe["spread"]))
    assert stored.trials[0].params["ratio"] == pytest.approx(stored.facts.probe["ratios"][expected.argmin()])
    assert any(note.startswith("The probe expects") for note in first.notes)
    run_experiment(what, FILE, tmp_path / "r", Budget(), Noting())
    again = store.read_study(tmp_path / "r")
    assert asdict(again.facts)["probe"] == stored.facts.probe
    build(load_results(tmp_path / "r"))
    page = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "Expected before drawing" in page
    assert "rank correlation" in page


@pytest.mark.night
def test_a_run_of_blocks_begins_at_the_best_share_and_reports_its_map(toy, tmp_path):
    merge = [{"models": ["base", "burnt"], "ratio": {"blocks": {"low": 0.0, "high": 1.0, "step": 0.05}}}]
    search = {"sampler": "gp", "trials": 3, "probe": True}
    what = experiment(toy, merge=merge, search=search, score={"references": ["base"]})
    notes = Noting()
    run_experiment(what, FILE, tmp_path / "r", Budget(), notes)
    stored = store.read_study(tmp_path / "r")
    found = map_of(stored.facts.probe)
    assert [one.name for one in found.ratios] == [*what.searched()]
    assert [*stored.trials[0].params.values()] == pytest.approx([found.share] * 20)
    assert any("80% of the difference" in note for note in notes.notes)
    build(load_results(tmp_path / "r"))
    assert "Expected of each ratio before drawing" in (tmp_path / "r" / "report.html").read_text("utf-8")
