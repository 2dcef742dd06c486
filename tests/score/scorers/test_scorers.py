"""Plug-in scorers and thresholds, in a run and in one that is scored again; on the toy checkpoints."""

import re
import shutil
from dataclasses import fields, replace

import pandas as pd
import pytest

from gridsearch.base.errors import BadInput
from gridsearch.experiment.experiment import load_experiment
from gridsearch.experiment.tables import ThresholdTable
from gridsearch.report.build import build
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.score.verdict import Thresholds as Gates
from gridsearch.search.budget import Budget
from gridsearch.search.plan import make_plan
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from tests.docs.pages import REPOSITORY
from tests.helpers import small_run
from tests.helpers.plugin_package import install
from tests.helpers.small_run import FILE, Quiet, gridsearch

CODE = """
def seeded(rgb, case):
    return case.seed * 10

def redness(rgb, case, scale=1.0):
    return scale * rgb[..., 0].mean()

def moody(rgb, case):
    if case.text == "a star":
        raise RuntimeError("no stars today")
    return 1

def zero(rgb, case):
    return 0
"""


class Noting(Quiet):
    """Keeps what it is told."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def not_counted(_):
    return lambda: None


def experiment(toy, **changes):
    """A small run's, of three ratios."""
    merge = [{"models": ["base", "burnt"], "ratio": {"low": 0.0, "high": 1.0, "step": 0.5}}]
    return small_run.experiment(toy, **{"merge": merge} | changes)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A package of scorers on the path of this module's tests."""
    folder = tmp_path_factory.mktemp("package")
    install(folder, "run_scorers", CODE, {name: name for name in ("seeded", "redness", "moody", "zero")})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


def scored_by(*scorers, **others):
    return {"references": ["base"], "scorer": list(scorers)} | others


@pytest.fixture(scope="module")
def plain(toy, installed, tmp_path_factory):
    """A finished run without plug-ins."""
    out = tmp_path_factory.mktemp("plain") / "small"
    run_experiment(experiment(toy), FILE, out, Budget(), Quiet())
    return out


@pytest.fixture
def copy(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "copy")


WEIGHED = {"name": "redness", "weight": 100, "direction": "lower", "scale": 2.0}


@pytest.fixture(scope="module")
def weighed(toy, installed, tmp_path_factory):
    """A finished run with plug-ins, one of which counts and one of which fails, and what it noted."""
    out = tmp_path_factory.mktemp("weighed") / "small"
    listener = Noting()
    scorers = ({"name": "seeded"}, WEIGHED, {"name": "moody"})
    run_experiment(experiment(toy, score=scored_by(*scorers)), FILE, out, Budget(), listener)
    build(load_results(out))
    return out, listener.notes


def test_a_scorer_is_a_column_of_images_and_its_mean_one_of_trials(weighed):
    images, trials = (pd.read_csv(weighed[0] / f"{name}.csv") for name in ("images", "trials"))
    names = ["seeded", "redness", "moody"]
    assert list(images.columns)[list(images.columns).index("entropy") + 1 :][:3] == names
    assert (images["seeded"] == 10 * images["seed"]).all()
    for row in trials.itertuples():
        own = images[images["trial"] == row.trial]
        assert row.seeded == pytest.approx(own["seeded"].mean())
        assert row.redness == pytest.approx(own["redness"].mean())
    references = load_results(weighed[0]).references
    assert (references["seeded"] == 10 * references["seed"]).all()


def test_a_scorer_that_raises_leaves_its_cells_empty_and_is_told_of_once(weighed):
    out, notes = weighed
    images = pd.read_csv(out / "images.csv")
    assert (images["moody"].isna() == (images["prompt"] == "a star")).all()
    assert (pd.read_csv(out / "trials.csv")["moody"] == 1).all()
    (note,) = [note for note in notes if "moody" in note]
    assert note == (
        "The scorer moody has no value for references/base.p2_s1.png: RuntimeError: no stars today. "
        "Its cell is empty."
    )
    assert (load_results(out).trials["state"] == "COMPLETE").all()


def test_a_weight_adds_to_the_defect_and_changes_no_verdict(weighed, plain):
    with_it, without = load_results(weighed[0]), load_results(plain)
    assert with_it.images["verdict"].tolist() == without.images["verdict"].tolist()
    more = with_it.images["defect"] - without.images["defect"]
    assert (more >= -1e-9).all()
    assert (more > 0.1).any()
    assert with_it.trials["survived"].tolist() == without.trials["survived"].tolist()


def test_a_run_can_be_resumed_with_its_scorers_and_not_without(weighed, toy):
    scorers = ({"name": "seeded"}, WEIGHED, {"name": "moody"})
    run_experiment(experiment(toy, score=scored_by(*scorers)), FILE, weighed[0], Budget(), Quiet())
    with pytest.raises(BadInput, match=r"changed since: \[score\]") as caught:
        run_experiment(experiment(toy), FILE, weighed[0], Budget(), Quiet())
    assert f"gridsearch score {weighed[0]} --experiment x.toml" in str(caught.value)


# -- before the run


@pytest.mark.parametrize("scorer", [{"name": "clip_agreement", "folder": "/no/where"}, {"name": "redish"}])
def test_plan_and_run_say_what_cannot_work_before_anything_is_drawn(toy, installed, tmp_path, scorer):
    what = experiment(toy, score=scored_by(scorer))
    for begin in (
        lambda: make_plan(what, tmp_path / "x"),
        lambda: run_experiment(what, FILE, tmp_path / "x", Budget(), Quiet()),
    ):
        with pytest.raises(BadInput, match=r"/no/where|'redness'"):
            begin()
    assert not (tmp_path / "x").exists()


def test_a_folder_is_looked_for_beside_the_experiment(toy, tmp_path):
    text = (toy.parent / "toy.toml").read_text().replace("toy/", f"{toy}/")
    (tmp_path / "x.toml").write_text(text + '\n[[score.scorer]]\nname = "clip_agreement"\nfolder = "clip"\n')
    with pytest.raises(BadInput, match=str(tmp_path / "clip")):
        make_plan(load_experiment(tmp_path / "x.toml"), tmp_path)


# -- scored again


def scoring(toy, *scorers, **others):
    return experiment(toy, score=scored_by(*scorers, **others)).score


def test_scored_again_by_other_scorers_it_is_as_if_it_had_been_run_so(copy, weighed, toy):
    scorers = ({"name": "seeded"}, WEIGHED, {"name": "moody"})
    notes = rescore(copy, not_counted, scoring(toy, *scorers))
    assert [note for note in notes if "moody" in note]
    again, first = load_results(copy), load_results(weighed[0])
    times = ["seconds_merge", "seconds_render", "seconds_score", "started", "finished"]
    pd.testing.assert_frame_equal(again.trials.drop(columns=times), first.trials.drop(columns=times))
    pd.testing.assert_frame_equal(again.images.drop(columns="seconds"), first.images.drop(columns="seconds"))
    pd.testing.assert_frame_equal(
        again.references.drop(columns="seconds"), first.references.drop(columns="seconds")
    )
    values = [[trial.value for trial in store.read_study(folder).trials] for folder in (copy, weighed[0])]
    assert values[0] == values[1]
    # and goes on as it is scored now
    run_experiment(experiment(toy, score=scored_by(*scorers)), FILE, copy, Budget(), Quiet())
    with pytest.raises(BadInput, match="changed since"):
        run_experiment(experiment(toy), FILE, copy, Budget(), Quiet())


def test_scored_again_without_an_experiment_it_keeps_its_own_scorers(weighed, tmp_path):
    copy = shutil.copytree(weighed[0], tmp_path / "copy")
    before = load_results(copy)
    rescore(copy, not_counted)
    pd.testing.assert_frame_equal(load_results(copy).images, before.images)
    pd.testing.assert_frame_equal(load_results(copy).trials, before.trials)


def test_scorers_that_are_left_out_leave_no_column(weighed, tmp_path, toy):
    copy = shutil.copytree(weighed[0], tmp_path / "copy")
    rescore(copy, not_counted, scoring(toy, {"name": "zero"}))
    images = load_results(copy).images
    assert "redness" not in images
    assert (images["zero"] == 0).all()


def test_other_thresholds_give_other_verdicts_and_the_studys_values_follow(copy, toy):
    before = load_results(copy)
    rescore(copy, not_counted, scoring(toy, thresholds={"blank_contrast": 128}))
    after = load_results(copy)
    assert set(after.images["verdict"]) == {"blank"}
    assert (after.trials["survived"] == 0).all()
    assert all(trial.value > 3 for trial in store.read_study(copy).trials)  # three images lost
    rescore(copy, not_counted, scoring(toy))
    pd.testing.assert_frame_equal(load_results(copy).images, before.images)


def test_a_weight_without_a_healthy_reference_is_told_and_adds_nothing(copy, toy):
    before = load_results(copy)
    (note,) = rescore(copy, not_counted, scoring(toy, {"name": "zero", "weight": 5, "direction": "higher"}))
    assert note.startswith("The scorer zero adds nothing to the defect")
    assert load_results(copy).images["defect"].tolist() == pytest.approx(before.images["defect"].tolist())


def test_a_weight_of_one_prompt_changes_the_defects_of_its_images_alone(copy, toy):
    before = load_results(copy).images
    own = {"name": "redness", "direction": "lower", "prompt_weights": {"p1": 5}, "one_sided": False}
    rescore(copy, not_counted, scoring(toy, own, {"name": "some", "scorer": "seeded", "prompts": ["p2"]}))
    after = load_results(copy).images
    of_it = after["prompt_id"] == "p1"
    changed = (after["defect"] - before["defect"]).abs() > 1e-9
    assert (changed == of_it).all()
    assert after["verdict"].tolist() == before["verdict"].tolist()
    assert (after["some"].notna() == (after["prompt_id"] == "p2")).all()


@pytest.mark.night
def test_references_can_be_fewer_and_none_that_were_not_drawn(toy, tmp_path):
    both = {"references": ["base", "burnt"]}
    prompt = [{"text": "a circle"}]
    run_experiment(experiment(toy, score=both, prompt=prompt), FILE, tmp_path / "x", Budget(), Quiet())
    run_experiment(experiment(toy, prompt=prompt), FILE, tmp_path / "one", Budget(), Quiet())
    only = experiment(toy, prompt=prompt)
    rescore(tmp_path / "x", not_counted, only.score)
    fewer, one = load_results(tmp_path / "x"), load_results(tmp_path / "one")
    assert fewer.images["defect"].tolist() == pytest.approx(one.images["defect"].tolist())
    assert fewer.images["reason"].tolist() == one.images["reason"].tolist()
    run_experiment(only, FILE, tmp_path / "x", Budget(), Quiet())  # goes on
    rescore(tmp_path / "x", not_counted, experiment(toy, score=both).score)  # none is lost
    with pytest.raises(BadInput, match="no renders of burnt alone"):
        rescore(tmp_path / "one", not_counted, experiment(toy, score=both).score)


@pytest.mark.night
def test_a_run_from_before_there_were_scorers_is_resumed_and_scored_again(copy, toy):
    stored = store.read_study(copy)
    facts, trials = stored.facts, stored.trials
    settings = facts.experiment | {"score": {"references": ["base"]}}
    for rows in (facts.references, *(store.images_of(trial) for trial in trials)):
        for row in rows:
            del row["scorers"], row["unscored"]
    store.write_study(copy, replace(facts, experiment=settings), trials)
    before = load_results(copy)
    run_experiment(experiment(toy), FILE, copy, Budget(), Quiet())
    rescore(copy, not_counted)
    pd.testing.assert_frame_equal(load_results(copy).images, before.images)


def test_the_command_takes_the_score_table_of_an_experiment(copy, toy, tmp_path):
    text = """name = "other"
        models = { base = "gone.safetensors", burnt = "gone.safetensors" }
        merge = [{ models = ["base", "burnt"], ratio = 0.5 }]
        prompt = [{ text = "something else" }]
        [score]
        references = ["base"]
        [[score.scorer]]
        name = "blur_effect"
        weight = 0.5
        direction = "lower"
        """
    (tmp_path / "new.toml").write_text(text)
    gridsearch("score", copy, "--experiment", tmp_path / "new.toml")
    images = pd.read_csv(copy / "images.csv")
    assert images["blur_effect"].between(0, 1).any()
    assert load_results(copy).settings["name"] == "small"


def test_thresholds_of_an_experiment_are_those_of_the_gates():
    given = {field.name for field in fields(Gates)}
    assert set(ThresholdTable.model_fields) == given
    assert ThresholdTable().model_dump(exclude_none=True) == {}


def test_the_docs_name_the_usual_thresholds():
    text = (REPOSITORY / "docs" / "scorers.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.MULTILINE))
    assert {name: float(value) for name, value in table.items()} == vars(Gates())
