"""The plan: what the run will do, and whether there is room for it."""

import shutil
from collections import namedtuple

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

import gridsearch.search.plan
from gridsearch.base.errors import BadInput
from gridsearch.base.machine import LocalWorkers
from gridsearch.experiment.experiment import load_experiment
from gridsearch.results import store
from gridsearch.search.plan import make_plan
from gridsearch.search.prepare import prepare
from tests.helpers.small_run import FILE, experiment


@pytest.fixture
def demo(toy):
    return load_experiment(toy.parent / "toy.toml")


def test_the_demo_is_counted_right(demo, tmp_path):
    plan = make_plan(demo, tmp_path / "not" / "there")
    assert (plan.trials, plan.cases, plan.references, plan.images) == (21, 32, 32, 21 * 32 + 32 + 32)
    # One live copy in float32: twice the bytes of the half-precision file, less its header.
    assert plan.memory.host == pytest.approx(2 * plan.parents.first.bytes, rel=0.03)
    assert plan.seconds == plan.fewest_seconds > 0
    assert any("predict different things" in warning for warning in plan.warnings)


def test_what_checks_the_answer_is_counted_too(demo, tmp_path):
    """Of eight prompts `window` holds two back: four seeds each, on which three leaders are drawn."""
    search = demo.search.model_copy(update={"sampler": "window"})
    plan = make_plan(demo.model_copy(update={"search": search}), tmp_path)
    assert (plan.cases, plan.held_out, plan.references) == (24, 8, 32)
    assert plan.checks == 3 * 8 + 24
    assert plan.glances == 10  # every twentieth that is no tenth
    assert plan.images == plan.trials * 24 + plan.glances + 32 + plan.checks
    assert plan.fewest < plan.trials
    assert 0 < plan.fewest_seconds < plan.seconds


def test_workers_take_memory_each_and_are_faster_where_each_has_a_gpu(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(gridsearch.search.plan, "seconds_per_image", lambda *_: 1.0)
    alone, three, apart = (
        make_plan(demo, tmp_path, workers=hands)
        for hands in (LocalWorkers(1, ()), LocalWorkers(3, ()), LocalWorkers(3, ("0", "1")))
    )
    assert three.memory.host == 3 * alone.memory.host
    assert (three.seconds, apart.seconds) == (alone.seconds, alone.seconds / 2)


def test_a_timed_plan_rests_on_an_image_that_was_drawn(demo, tmp_path):
    read = []

    class Told:
        def reading(self, name, total):
            read.append(name)
            return lambda _: None

    plan = make_plan(demo, tmp_path / "x", timed=Told())
    assert read == ["base", "burnt"]
    assert plan.seconds_from.startswith("one image drawn now")
    assert plan.seconds > 0
    assert not (tmp_path / "x").exists()


def test_a_sampler_that_does_not_suit_and_weights_that_cancel_are_refused(demo, tmp_path):
    search = demo.search.model_copy(update={"sampler": "nsga2", "trials": 5})
    with pytest.raises(BadInput, match="cannot search this"):
        make_plan(demo.model_copy(update={"search": search}), tmp_path)


def test_too_small_a_disk_is_said_before_the_night(demo, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(1000, 1000, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match="disk is too small: 736 images"):
        make_plan(demo, tmp_path)


def test_a_plan_says_what_is_left_and_refuses_what_a_run_refuses(toy, tmp_path, monkeypatch):
    # the speed of a busy machine would differ from one plan to the next
    monkeypatch.setattr(gridsearch.search.plan, "seconds_per_image", lambda *_: 1.0)
    asked = experiment(toy, search={"sampler": "grid"})
    facts = prepare(asked, FILE, tmp_path, lambda *_: lambda _: None).facts
    places = {"ratio": FloatDistribution(0.0, 1.0, step=0.25)}
    done = [create_trial(value=0.1, params={"ratio": at}, distributions=places) for at in (0.0, 0.5, 1.0)]
    store.write_study(tmp_path, facts, done)
    before, plan = make_plan(asked, tmp_path / "new"), make_plan(asked, tmp_path)
    assert (before.ended, before.left) == (0, 5)
    assert (plan.ended, plan.left) == (3, 2)
    assert 0 < plan.seconds < before.seconds
    render = asked.render.model_copy(update={"cfg": 7.0})
    with pytest.raises(BadInput, match="different experiment"):
        make_plan(asked.model_copy(update={"render": render}), tmp_path)


def test_a_run_of_an_earlier_version_goes_on_with_its_own_sampler_where_none_is_named(toy, tmp_path):
    merge = [{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.05}}]
    earlier, now = experiment(toy, merge=merge, search={"sampler": "grid"}), experiment(toy, merge=merge)
    hashing = lambda *_: lambda _: None  # noqa: E731
    store.write_study(tmp_path, prepare(earlier, FILE, tmp_path, hashing).facts)
    assert now.search.sampler == "window"
    assert prepare(now, FILE, tmp_path, hashing).experiment.search.sampler == "grid"
