"""Pictures say more than the study: that is told, and nothing of theirs is removed."""

import json
import shutil
from dataclasses import replace

import pytest
from optuna.trial import TrialState, create_trial

from gridsearch.base.errors import BadInput
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.resume import grown
from gridsearch.search.run import run_experiment
from tests.helpers.program import gridsearch
from tests.helpers.small_run import FILE, Noting, Quiet, experiment
from tests.helpers.stored import stored_run


def with_trials(folder, trials):
    """The folder with only these trials in its study."""
    store.write_study(folder, store.read_study(folder).facts, trials)
    return folder


def test_a_study_that_lost_its_last_trials_is_told_from_the_pictures(tmp_path):
    run = stored_run(tmp_path / "run")
    assert load_results(run).notes == ()
    trials = store.read_study(run).trials
    (note,) = load_results(with_trials(run, trials[:2])).notes
    assert "pictures of 3 trials (2 to 4) that its study does not know" in note

    with_trials(run, [])
    said = gridsearch("report", run).stdout
    assert said.index("note:") < said.index("No trial is complete yet.")
    assert "5 trials (0 to 4)" in said
    (note,) = json.loads(gridsearch("report", run, "--json").stdout)["notes"]
    assert "5 trials (0 to 4)" in note
    assert len([*(run / "images").iterdir()]) == 20
    assert "5 trials" in store.unrecorded_note(store.pictures_in(run), None, run)


@pytest.mark.parametrize(
    ("state", "taken", "told"),
    [
        (TrialState.WAITING, {}, True),  # of a grid, whose points all wait from the beginning
        (TrialState.WAITING, {"lease": "a worker"}, False),
        (TrialState.RUNNING, {}, False),
        (TrialState.FAIL, {}, False),
    ],
)
def test_a_kill_between_a_picture_and_its_row_is_no_loss(tmp_path, state, taken, told):
    run = stored_run(tmp_path / "run")
    *others, last = store.read_study(run).trials
    stub = create_trial(state=state, params=last.params, distributions=last.distributions, system_attrs=taken)
    killed = store.copied(stub, number=last.number)
    stored = replace(store.read_study(run), trials=[*others, killed])
    assert bool(store.unrecorded_note(store.pictures_in(run), stored, run)) == told
    if state == TrialState.WAITING:  # the same once prompts were added
        facts, trials, checks = grown(stored, stored.facts)
        trials = [store.copied(trial, number=number) for number, trial in enumerate(trials)]
        stored = replace(stored, facts=facts, trials=trials, checks=checks)
        assert bool(store.unrecorded_note(store.pictures_in(run), stored, run)) == told


@pytest.fixture
def copied(tmp_path):
    """Copies of a folder whose database a run has open, at two moments: "early" and "late"."""
    run = stored_run(tmp_path / "run")
    trials = store.read_study(run).trials
    with_trials(run, trials[:1])

    def copy(name):
        shutil.copytree(run, tmp_path / name)
        assert (tmp_path / name / "study.db-wal").stat().st_size > 0 or name == "early"

    with store.open_study(run, shared=True) as study:
        copy("early")
        study.add_trials(trials[1:3])
        store.checkpoint(run)
        study.add_trials(trials[3:])
        copy("late")
    return tmp_path


def test_what_a_lost_or_zeroed_log_held_is_told_and_one_of_another_moment_is_refused(copied):
    late, log = copied / "late", copied / "late" / "study.db-wal"
    (late / "study.db-shm").unlink()
    kept, size = log.read_bytes(), log.stat().st_size
    for damage in (log.unlink, lambda: log.write_bytes(bytes(size))):
        damage()
        found = load_results(late)
        assert found.trials["state"].eq("COMPLETE").sum() == 3  # up to the last checkpoint
        assert "pictures of 2 trials (3 to 4) that its study does not know" in found.notes[0]
    database = (copied / "early" / "study.db").read_bytes()
    (late / "study.db").write_bytes(database)
    log.write_bytes(kept)
    with pytest.raises(BadInput, match="log beside it do not belong together") as refused:
        load_results(late)
    assert "move study.db-wal" in refused.value.lines[-1]
    assert (late / "study.db").read_bytes() == database  # and is not spoiled
    log.unlink()
    assert load_results(late).trials["state"].eq("COMPLETE").sum() == 1
    (late / "study.db").write_bytes((copied / "run" / "study.db").read_bytes())
    assert load_results(late).notes == ()


@pytest.mark.night
def test_a_run_says_so_before_it_draws_and_removes_nothing(toy, tmp_path):
    what, run, stray = experiment(toy), tmp_path / "run", tmp_path / "run" / "images" / "t0099_p1_1.png"
    run_experiment(what, FILE, run, Budget(), Quiet())
    pictures = {path.name: path.read_bytes() for path in (run / "images").iterdir()}
    rows = load_results(run).images["digest"].tolist()
    with_trials(run, store.read_study(run).trials[:2])
    stray.write_bytes(b"a picture that nobody has a row of")

    class Told(Noting):
        drawn = 0

        def image(self, *_):
            assert any("its study does not know" in note for note in self.notes)
            self.drawn += 1

    told = Told()
    run_experiment(what, FILE, run, Budget(), told)
    assert told.drawn
    assert stray.is_file()
    assert load_results(run).images["digest"].tolist() == rows
    assert {name: (run / "images" / name).read_bytes() for name in pictures} == pictures
