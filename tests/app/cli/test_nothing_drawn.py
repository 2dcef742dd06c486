"""What is said of a run whose every trial failed before a picture was drawn."""

from dataclasses import replace

import pytest
from optuna.trial import TrialState, create_trial

from gridsearch import load
from gridsearch.base.errors import BadInput
from gridsearch.results import store
from tests.helpers.program import gridsearch
from tests.helpers.stored import stored_run


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """The references are known, and their pictures are gone."""
    here = tmp_path_factory.mktemp("failed")
    facts = store.read_study(stored_run(here / "run")).facts
    for row in facts.references:
        (here / "run" / row["file"]).unlink()
    trial = create_trial(state=TrialState.FAIL, user_attrs={store.REASON: "out of memory"})
    store.write_study(here / "run", replace(facts, planned=1), [trial])
    return here


@pytest.mark.parametrize("command", [["report"], ["score"], ["compare"], ["export", "-o", "x.safetensors"]])
def test_every_command_says_that_no_trial_is_complete(failed, command):
    name, *options = command
    done = gridsearch(name, "run", *options, cwd=failed)
    assert "complete yet" in done.stdout + done.stderr
    assert done.returncode == (0 if name in ("report", "score") else 2)


def test_what_is_gone_of_the_references_is_drawn_again_by_the_run(failed):
    assert gridsearch("score", "run", cwd=failed).returncode == 0
    assert store.read_study(failed / "run").facts.references == []


def test_a_notebook_is_told_the_same_with_no_word_of_options(failed):
    with pytest.raises(BadInput, match="complete yet") as caught:
        load(failed / "run").export(failed / "x.safetensors")
    assert "--" not in "".join(caught.value.lines)
