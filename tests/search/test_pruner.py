"""When a trial is stopped: hand-counted chances, and Optuna's own paired test."""

import optuna
import pytest
from optuna.trial import TrialState

from gridsearch.search.pruner import Racing


def study_with(*best: float) -> optuna.Study:
    """A study with one whole trial of these losses."""
    study = optuna.create_study(pruner=Racing())
    trial = study.ask()
    for step, loss in enumerate(best):
        trial.report(loss, step)
    study.tell(trial, sum(best))
    return study


def reason(study: optuna.Study, losses, edges=False) -> str | None:
    trial = study.ask()
    for step, loss in enumerate(losses):
        trial.report(loss, step)
    found = Racing(edges).reason(study, study._storage.get_trial(trial._trial_id))
    study.tell(trial, state=TrialState.PRUNED)
    return found


@pytest.mark.parametrize(
    ("sound", "drawn", "stops"),
    # chances of so few sound ones or fewer, where each is sound with one in two:
    # 1/32, 1/64; 7/256, 10/512; 46/2048, 79/4096
    [(0, 5, False), (0, 6, True), (1, 8, False), (1, 9, True), (2, 11, False), (2, 12, True)],
)
def test_a_trial_is_hopeless_where_one_that_survives_would_look_so_less_than_one_time_in_fifty(
    sound, drawn, stops
):
    losses = [0.3] * sound + [1.5] * (drawn - sound)
    assert (reason(optuna.create_study(), losses) is not None) == stops


def test_the_reason_says_how_many_were_sound():
    assert reason(optuna.create_study(), [1.5] * 6) == "0 of the first 6 images sound"


def test_a_trial_that_is_worse_image_by_image_is_stopped_after_six():
    # all of six differences have one sign: p = 1/64; of five, 1/32
    study = study_with(*[0.1] * 12)
    worse = [0.5, 0.6, 0.4, 0.55, 0.45, 0.35]
    assert reason(study, worse[:5]) is None
    assert reason(study, worse) == "worse than trial 0 on the same 6 images"
    assert reason(study, [0.05, 0.6, 0.08, 0.55, 0.02, 0.35]) is None


def test_where_edges_matter_a_trial_is_drawn_until_it_is_known_whether_it_survives():
    study = study_with(*[0.1] * 12)
    mixed = [0.5, 1.6, 0.4, 1.55, 0.45, 1.35]  # worse throughout, three of six sound
    assert reason(study, mixed) == "worse than trial 0 on the same 6 images"
    assert reason(study, mixed, edges=True) is None
    assert reason(study, [0.5, 0.6, 0.4, 0.55, 0.45, 0.35], edges=True) is not None  # it survives


def test_nothing_is_compared_with_a_trial_that_was_stopped():
    study = optuna.create_study()
    assert reason(study, [1.5] * 6) is not None
    assert reason(study, [0.9] * 8) is None
