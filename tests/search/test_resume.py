"""A run that goes on: a change draws exactly what is missing, or is refused with the way out."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.report.build import build
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.search import prepare
from gridsearch.search.budget import Budget
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from gridsearch.search.workers.worker import work
from tests.helpers.small_run import FILE, TIMES, Noting, Quiet, experiment, settings

CIRCLE, STAR, RING = ({"text": f"a {name}", "seeds": [1, 2]} for name in ("circle", "star", "ring"))
TRIALS = 3
REPEATED = 4  # images of the best trial, once more at the end


class Watching(Quiet):
    """Keeps what is drawn, in order, and stops the run where it is told to."""

    def __init__(self, kill_after=None, fail_at=None):
        self.images, self.references = [], []
        self.kill_after, self.fail_at = kill_after, fail_at

    def reference(self, drawn):
        self.references.append(drawn.case.id)

    def image(self, case, _):
        if len(self.images) == self.kill_after:
            raise KeyboardInterrupt
        if len(self.images) == self.fail_at:
            self.fail_at = None
            raise RunFailed("no luck")
        self.images.append(case.id)


def what(toy, prompts=(CIRCLE, STAR), batch=2, high=1.0, **changes):
    ratio = {"low": 0.0, "high": high, "step": 0.5}
    merge = [{"models": ["base", "burnt"], "ratio": ratio, "extrapolate": True}]
    render = settings(toy)["render"] | {"batch": batch}
    return experiment(toy, prompt=list(prompts), merge=merge, render=render, **changes)


def go(experiment, out, **moments) -> Watching:
    watching = Watching(**moments)
    try:
        run_experiment(experiment, FILE, out, Budget(), watching)
    except KeyboardInterrupt:
        assert moments
    return watching


def refused(experiment, out) -> str:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(BadInput) as caught:
        run_experiment(experiment, FILE, out, Budget(), Quiet())
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    return "\n".join(caught.value.lines)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("resume") / "whole"
    go(what(toy), out)
    return out


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_a_finished_run_draws_nothing(toy, copy):
    again = go(what(toy), copy)
    assert (again.images, again.references) == ([], [])


def test_a_grown_grid_draws_the_new_ratio(toy, copy):
    drawn = {path: path.stat().st_mtime_ns for path in (copy / "images").iterdir()}
    grown = go(what(toy, high=1.5), copy)
    assert (len(grown.images), grown.references) == (4, [])
    results = load_results(copy)
    assert results.trials["ratio"].tolist() == [0.0, 1.0, 0.5, 1.5]
    assert results.finished
    assert {path: path.stat().st_mtime_ns for path in drawn} == drawn


@pytest.mark.night
def test_an_interrupted_trial_goes_on_after_its_last_whole_batch(toy, tmp_path, whole):
    out = tmp_path / "out"
    first = go(what(toy), out, kill_after=4 + 3)  # in the second batch of the second trial
    assert len(first.references) == 4
    stored = store.read_study(out).trials
    assert [len(store.images_of(trial)) for trial in stored] == [4, 2, 0]
    rest = go(what(toy), out)
    assert (len(rest.images), rest.references) == (TRIALS * 4 - 4 - 2 + REPEATED, [])
    for table in ("images", "trials"):
        ours, unbroken = (getattr(load_results(folder), table) for folder in (out, whole))
        columns = [name for name in (*TIMES, "seconds") if name in ours]
        pd.testing.assert_frame_equal(ours.drop(columns=columns), unbroken.drop(columns=columns))
    for file in load_results(whole).images["file"]:
        assert (out / file).read_bytes() == (whole / file).read_bytes()


def test_a_failed_trial_is_drawn_again_and_nothing_else(toy, tmp_path):
    one = what(toy, [{"text": "a circle", "seeds": [1]}])
    go(one, tmp_path / "out", fail_at=1)
    states = load_results(tmp_path / "out").trials.set_index("ratio")
    assert states["state"].to_dict() == {0.0: "COMPLETE", 1.0: "FAIL", 0.5: "COMPLETE"}
    assert states["reason"][1.0] == "no luck"
    again = go(one, tmp_path / "out")
    assert (len(again.images), again.references) == (1, [])
    assert load_results(tmp_path / "out").images.groupby("ratio").size().to_dict() == {0.0: 1, 0.5: 1, 1.0: 1}


@pytest.mark.night
def test_more_prompts_and_seeds_draw_only_themselves(toy, copy):
    kept = {path: path.read_bytes() for path in copy.rglob("*.png")}
    more = [CIRCLE | {"seeds": [1, 2, 3]}, STAR, RING]
    grown = go(what(toy, more), copy)
    new = {"p1_s3", "p3_s1", "p3_s2"}
    assert sorted(grown.images) == sorted([*new] * TRIALS)
    assert sorted(grown.references) == sorted(new)
    results = load_results(copy)
    assert results.finished
    assert results.images.groupby("trial").size().tolist() == [7] * TRIALS
    assert results.trials["images"].tolist() == [7] * TRIALS
    assert {path: path.read_bytes() for path in kept} == kept
    assert go(what(toy, more), copy).images == []


@pytest.mark.parametrize(
    "prompts",
    [[CIRCLE], [CIRCLE, STAR | {"text": "a moon"}], [CIRCLE, STAR | {"seeds": [1]}], [STAR, CIRCLE]],
)
def test_prompts_that_are_gone_or_changed_are_refused(toy, copy, prompts):
    said = refused(what(toy, prompts), copy)
    assert "changed since: the prompts." in said
    assert "Prompts and seeds may be added" in said


def test_other_bytes_under_the_same_name_are_refused(toy, copy, tmp_path):
    models = {}
    for name in ("base", "burnt"):
        models[name] = str(tmp_path / f"{name}.safetensors")
        shutil.copy(toy / f"{name}.safetensors", models[name])
    assert go(what(toy, models=models), copy).images == []  # elsewhere, and the same
    weights = bytearray(Path(models["burnt"]).read_bytes())
    weights[-1] ^= 1
    Path(models["burnt"]).write_bytes(weights)
    said = refused(what(toy, models=models), copy)
    assert "changed since: model burnt." in said
    assert f"--out {copy}-2" in said


def test_other_packages_are_told_to_a_run_and_refused_to_a_worker(toy, copy, monkeypatch):
    told = Noting()
    monkeypatch.setattr(prepare, "version", lambda name: "9.0+cpu" if name == "torch" else version(name))
    said = f"The run has torch {version('torch')} (here 9.0+cpu)."
    with pytest.raises(BadInput) as refused:
        work(what(toy), FILE, copy, "a worker", told)
    assert said in "\n".join(refused.value.lines)
    assert any(f"(torch {version('torch')} then, 9.0+cpu now)" in note for note in told.notes)
    run_experiment(what(toy), FILE, copy, Budget(), Quiet())
    assert work(what(toy), FILE, copy, "a worker", told) == "the run is done"  # it has the run's again


@pytest.mark.night
def test_window_ends_by_itself_and_checks_its_leaders_on_prompts_that_had_no_say(toy, tmp_path):
    search = {"sampler": "window", "confirm": 2, "racing": True}
    prompts = [CIRCLE, STAR, RING | {"held_out": True}]
    watching = Watching()
    checks = []
    watching.check = lambda *told: checks.append(told)
    run_experiment(what(toy, prompts, search=search), FILE, tmp_path / "out", Budget(), watching)
    results = load_results(tmp_path / "out")
    assert results.finished
    assert results.facts.held_out == ["p3"]
    assert set(results.images["prompt_id"]) == {"p1", "p2"}
    held_out, repeat = (results.checks_of(role) for role in ("held_out", "repeat"))
    assert set(held_out["prompt_id"]) == {"p3"}
    assert held_out.groupby("trial").size().tolist() == [2, 2]
    best = build(results).best.trial
    assert set(repeat["trial"]) == {best}
    # merged anew after other trials it draws the same, but for the rounding of batches of other sizes
    own = results.images[results.images["trial"] == best].set_index(["prompt_id", "seed"])["file"]
    again = repeat.set_index(["prompt_id", "seed"])["file"]
    assert set(own.index) == set(again.index)
    for case, file in own.items():
        one, other = (np.asarray(Image.open(tmp_path / "out" / name), int) for name in (file, again[case]))
        assert abs(one - other).max() <= 1
    assert all((tmp_path / "out" / file).is_file() for file in results.checks["file"])
    # ratio 0 and 1 are the parents' own files
    weights = results.trials.drop_duplicates("ratio").set_index("ratio")["weights"]  # some are drawn again
    assert weights[0.0] == results.facts.parents["base"]
    assert weights[1.0] == results.facts.parents["burnt"]
    assert weights.nunique() == len(weights)
    assert len(checks) == 3
    assert go(what(toy, prompts, search=search), tmp_path / "out").images == []
    assert json.loads((tmp_path / "out" / "best.json").read_text("utf-8"))["finished"]


def test_nothing_searched_is_one_trial_and_its_repeat(toy, tmp_path):
    fixed = [{"models": ["base", "burnt"], "ratio": 0.5}]
    prompts = [{"text": "a circle", "seeds": [1]}, {"text": "a star", "seeds": [1], "held_out": True}]
    run_experiment(experiment(toy, merge=fixed, prompt=prompts), FILE, tmp_path / "out", Budget(), Quiet())
    results = load_results(tmp_path / "out")
    assert (len(results.images), results.finished) == (1, True)
    assert results.checks["role"].tolist() == ["held_out", "repeat"]


@pytest.mark.night
def test_scored_again_a_stopped_trial_is_still_never_the_best(toy, tmp_path):
    out = tmp_path / "out"
    search = {"sampler": "grid", "racing": True}
    render = settings(toy)["render"] | {"steps": 8, "cfg": 3.5}
    prompts = [{"text": f"a {name}", "seeds": [1, 2, 3]} for name in ("circle", "star", "ring")]
    merge = [{"models": ["base", "burnt"], "ratio": [0.0, 0.5, 1.0]}]
    what = experiment(toy, prompt=prompts, merge=merge, search=search, render=render)
    run_experiment(what, FILE, out, Budget(), Quiet())
    before = store.read_study(out).trials
    stopped = [trial for trial in before if trial.state.name == "PRUNED"]
    assert stopped
    rescore(out, lambda _: lambda: None)
    after = {trial.number: trial for trial in store.read_study(out).trials}
    best = min(trial.value for trial in after.values() if trial.state.name == "COMPLETE")
    for trial in stopped:
        assert after[trial.number].value > best
        assert after[trial.number].value == pytest.approx(trial.value)
        assert after[trial.number].intermediate_values == pytest.approx(trial.intermediate_values)
