"""A study is read as Optuna reads it, in every part, and many times as fast."""

import math
import shutil

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from gridsearch.results.shared.optuna_private import storage_of
from gridsearch.results.shared.optuna_tables import QuickStorage, database_of

SPACES = {
    "ratio": optuna.distributions.FloatDistribution(0, 1, step=0.25),
    "model": optuna.distributions.CategoricalDistribution(["a", "ü", None, 1.5]),
    "steps": optuna.distributions.IntDistribution(1, 100, log=True),
}


def filled(url: str) -> optuna.Study:
    """A study of trials in every state, beside another study in the same database."""
    other = optuna.create_study(storage=url, study_name="other")
    study = optuna.create_study(storage=url, study_name="one", directions=["minimize"] * 2)
    for i in range(12):
        params = {"steps": 1 + i, "ratio": i % 5 / 4, "model": ["a", "ü", None, 1.5][i % 4]}
        rows = {"images": [{"blur": 0.1 + i, "none": None, "text": "\N{SNOWMAN} \\ \"'"}], "big": 2**70}
        made = create_trial(
            state=TrialState.COMPLETE if i % 3 else TrialState.FAIL,
            values=[math.inf, i] if i % 3 else None,
            params=params,
            distributions=SPACES,
            user_attrs={"rung 0000": rows, "rung 0001": {"seconds": {"render": 1e-7}}},
            system_attrs={"lease": "a worker"},
            intermediate_values={} if i % 2 else {0: math.nan, 7: -math.inf, 3: 0.1},
        )
        study.add_trial(made)
        other.add_trial(create_trial(value=i))
    study.enqueue_trial({"ratio": 0.5})
    running = study.ask()
    running.set_user_attr("rung 0000", {"images": []})
    study.ask(SPACES)
    return study


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    made = tmp_path_factory.mktemp("study") / "study.db"
    filled(f"sqlite:///{made}")
    return made


@pytest.fixture
def two(file, tmp_path):
    """The same database as Optuna opens it, and as this program does."""
    url = f"sqlite:///{shutil.copy(file, tmp_path)}"
    return RDBStorage(url), QuickStorage(url)


def plain(trials) -> list[str]:
    """All that trials hold, where NaN equals itself."""
    return sorted(repr(sorted(vars(trial).items())) for trial in trials)


def test_every_part_of_every_trial_is_as_optuna_reads_it(two):
    theirs, ours = (optuna.load_study(study_name="one", storage=storage) for storage in two)
    assert plain(ours.get_trials()) == plain(theirs.get_trials())
    assert len(ours.get_trials()) == 14
    assert {trial.state for trial in ours.get_trials()} > {TrialState.RUNNING, TrialState.FAIL}
    assert isinstance(database_of(storage_of(ours)), QuickStorage)


def test_trials_are_added_as_optuna_adds_them_and_none_whose_values_are_of_another_kind(two):
    """The first trial has all its parameters checked, the second one that is new, the third none."""
    trials = [
        create_trial(
            state=TrialState.RUNNING, params=dict(ratio=0.5, model="ü"), distributions=without("steps")
        ),
        create_trial(
            state=TrialState.RUNNING, params=dict(steps=7, ratio=0.75), distributions=without("model")
        ),
        create_trial(value=2.0, params=dict(ratio=0.25, model=None, steps=3), distributions=SPACES),
    ]
    found = []
    for storage in two:
        number = storage.create_new_study([StudyDirection.MINIMIZE])
        for trial in trials:
            storage.create_new_trial(number, trial)
        other = {"model": optuna.distributions.FloatDistribution(0, 1)}
        with pytest.raises(ValueError, match="distribution"):
            storage.create_new_trial(
                number, create_trial(value=1.0, params={"model": 0.5}, distributions=other)
            )
        found.append([vars(trial) | {"_trial_id": None} for trial in storage.get_all_trials(number)])
    assert found[0] == found[1]
    assert [trial["_params"] for trial in found[1]] == [trial.params for trial in trials]


def test_a_study_in_the_place_of_a_deleted_one_may_have_values_of_another_kind(two):
    _, storage = two
    found = []
    for params, space in (({"ratio": 0.5}, SPACES["ratio"]), ({"ratio": None}, SPACES["model"])):
        found.append(storage.create_new_study([StudyDirection.MINIMIZE]))
        for _ in range(2):
            trial = create_trial(value=0.0, params=params, distributions={"ratio": space})
            number = storage.create_new_trial(found[-1], trial)
        assert storage.get_trial(number).params == params
        storage.delete_study(found[-1])
    assert found[0] == found[1]


def without(name):
    return {other: space for other, space in SPACES.items() if other != name}


@pytest.mark.parametrize("states", [None, (TrialState.COMPLETE,), (TrialState.RUNNING, TrialState.WAITING)])
@pytest.mark.parametrize(("known", "above"), [(set(), -1), ({1, 5, 99}, 8), ({20}, 8), (set(), 1000)])
def test_the_trials_that_are_asked_for_are_the_same(two, states, known, above):
    theirs, ours = (
        storage._get_trials(storage.get_study_id_from_name("one"), states, known, above) for storage in two
    )
    assert plain(ours) == plain(theirs)


def test_what_has_changed_since_the_first_look_is_seen(two):
    theirs, ours = (optuna.load_study(study_name="one", storage=storage) for storage in two)
    ours.get_trials()
    theirs.tell(12, [1.0, 2.0])
    theirs.ask()
    assert plain(ours.get_trials()) == plain(theirs.get_trials())
    assert ours.get_trials()[12].values == [1.0, 2.0]
