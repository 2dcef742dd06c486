"""When a trial is stopped: hand-counted chances, exact totals over all looks, Optuna's paired test."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from scipy.stats import wilcoxon

from gridsearch.search.racing import WRONG, Racing, levels, stopping_counts

CASES = 16
SIZES = [7, 12, 16, 24, 32, 64, 200]


def study_with(*best: float) -> optuna.Study:
    """A study with one whole trial of these losses."""
    study = optuna.create_study()
    trial = study.ask()
    for step, loss in enumerate(best):
        trial.report(loss, step)
    study.tell(trial, sum(best))
    return study


def prompts(cases: int, seeds: int = 1) -> list[str]:
    """Of each image its prompt: each once before any again."""
    return [f"p{i % (cases // seeds)}" for i in range(cases)]


def reason(study: optuna.Study, losses, edges=False, cases=CASES, seeds=1) -> str | None:
    trial = study.ask()
    for step, loss in enumerate(losses):
        trial.report(loss, step)
    found = Racing(prompts(cases, seeds), edges).reason(study, study._storage.get_trial(trial._trial_id))
    study.tell(trial, state=TrialState.PRUNED)
    return found


def stopped(cases: int, sound_next) -> float:
    """The chance to be stopped at any look; `sound_next(drawn, sound)` is that of a sound image next."""
    most, total, going = stopping_counts(cases), 0.0, {0: 1.0}
    for drawn in range(cases):
        after: dict[int, float] = {}
        for sound, chance in going.items():
            p = sound_next(drawn, sound)
            after[sound + 1] = after.get(sound + 1, 0.0) + chance * p
            after[sound] = after.get(sound, 0.0) + chance * (1 - p)
        limit = most.get(drawn + 1, -1)
        total += sum(chance for sound, chance in after.items() if sound <= limit)
        going = {sound: chance for sound, chance in after.items() if sound > limit}
    return total


@pytest.mark.parametrize(
    ("sound", "drawn", "stops"),
    # 0 of 6: 1/64. 0 to 2 of 12 that were not 0 of 6: 79/4096 - 22/64/64, and 3.0% with the first look
    [(0, 5, False), (0, 6, True), (1, 6, False), (1, 11, False), (2, 12, True), (3, 12, False)],
)
def test_a_trial_of_sixteen_is_hopeless_with_none_of_six_or_two_of_twelve(sound, drawn, stops):
    losses = [0.3] * sound + [1.5] * (drawn - sound)
    assert (reason(optuna.create_study(), losses) is not None) == stops


@pytest.mark.parametrize("cases", SIZES)
def test_one_that_keeps_half_is_stopped_three_times_in_a_hundred_over_all_looks(cases):
    independent = stopped(cases, lambda drawn, sound: 0.5)
    half = (cases + 1) // 2
    urn = stopped(cases, lambda drawn, sound: (half - sound) / (cases - drawn))
    assert urn < independent <= WRONG == 0.03
    assert stopping_counts(cases)[6] == 0
    assert independent > 0.025 or len(stopping_counts(cases)) == 1  # what may be spent is


@pytest.mark.parametrize("cases", [24, 64])
def test_one_as_good_as_the_best_is_stopped_as_seldom(cases):
    assert sum(levels(cases).values()) <= WRONG + 1e-12
    losses = np.random.default_rng(0).normal(size=(4000, cases))
    ever = np.zeros(len(losses), dtype=bool)
    for drawn, level in levels(cases).items():
        found = wilcoxon(losses[:, :drawn], alternative="greater", zero_method="zsplit", axis=1)
        ever |= found.pvalue <= level
    assert 0.015 < ever.mean() < WRONG  # the looks share images, so it is less than their sum


def test_it_decides_at_every_sixth_image_however_they_come():
    study = optuna.create_study()
    losses = [1.5] * 6 + [0.3] * 4  # four of ten sound, but none of the first six
    assert [reason(study, losses[:drawn]) for drawn in (1, 4, 5)] == [None] * 3
    assert {reason(study, losses[:drawn]) for drawn in (6, 8, 10)} == {"0 of the first 6 images healthy"}
    assert reason(study, [0.3] + [1.5] * 7) is None  # one of eight: nothing before the twelfth
    assert reason(study, [1.5] * 6, cases=6) is None  # it is whole


def test_what_a_stopped_trial_reports_last_is_no_image():
    study = optuna.create_study()
    trial = study.ask()
    for step in range(5):
        trial.report(1.5, step)
    trial.report(9.0, 10**9)
    assert Racing(prompts(CASES)).reason(study, study._storage.get_trial(trial._trial_id)) is None


def test_a_trial_that_is_worse_image_by_image_is_stopped_after_six():
    study = study_with(*[0.1] * CASES)
    worse = [0.7, 0.8, 0.6, 0.75, 0.65, 0.55]  # all of six differences have one sign: p = 1/64; 3.45 in all
    assert reason(study, worse[:5]) is None
    assert reason(study, worse) == "worse than trial 0 on the same 6 images"
    assert reason(study, [*worse, 0.01]) == "worse than trial 0 on the same 6 images"
    assert reason(study, [0.05, 1.6, 0.08, 1.55, 0.02, 1.35]) is None


def test_one_that_is_a_little_worse_and_draws_what_the_best_fails_is_not_stopped():
    """It loses 0.1 on each of 15 images and wins 1.5 on the last: as good, and 15 signs of 16 against it."""
    study = study_with(*[0.1] * 15, 1.7)
    losses = [0.2] * 16
    assert sum(losses) == pytest.approx(15 * 0.1 + 1.7)
    assert wilcoxon([0.1] * 12, alternative="greater").pvalue == pytest.approx(0.5**12)
    assert all(reason(study, losses[:drawn]) is None for drawn in range(1, 16))
    assert reason(study, [0.4] * 12) is not None  # by 3.6 in all: three such do not make up


def test_seeds_of_one_prompt_are_one_piece_of_evidence():
    """Four prompts of eight seeds: p is 1/16 at the least. Six of four show 1/64 only once all were drawn."""
    study = study_with(*[0.1] * 32)
    worse = np.random.default_rng(0).uniform(0.65, 0.8, 32)
    assert all(reason(study, worse[:drawn], cases=32, seeds=8) is None for drawn in (6, 12, 18, 24, 30))
    study = study_with(*[0.1] * 24)
    assert reason(study, worse[:6], cases=24, seeds=4) == "worse than trial 0 on the same 6 images"


def test_the_best_of_many_trials_is_a_lucky_one():
    study = study_with(*[0.1] * CASES)
    worse = [0.7, 0.8, 0.6, 0.75, 0.65, 0.55]
    race = Racing(prompts(CASES))
    best = dict(enumerate([0.1] * CASES))
    assert race.worse(best, dict(enumerate(worse)), 1)
    assert not race.worse(best, dict(enumerate(worse)), 2)  # 1/64 is no longer within the level
    assert race.worse(best, dict(enumerate(worse * 2)), 3)
    study.tell(study.ask(), 5.0)
    assert reason(study, worse) is None


def test_where_edges_matter_a_trial_is_drawn_until_it_is_known_whether_it_survives():
    study = study_with(*[0.1] * CASES)
    mixed = [0.5, 1.6, 0.4, 1.55, 0.45, 1.35]  # worse throughout, three of six sound
    assert reason(study, mixed) == "worse than trial 0 on the same 6 images"
    assert reason(study, mixed, edges=True) is None
    assert reason(study, [0.7, 0.8, 0.6, 0.75, 0.65, 0.55], edges=True) is not None  # it survives


@pytest.mark.parametrize(
    ("drawn", "sound", "next_look"),
    # eight of sixteen survive, or a lead of six decides: with 5 or 1 of 6 sound two more of the same kind do
    [(0, 0, 6), (6, 5, 8), (6, 1, 8), (12, 7, 13), (13, 6, 15), (10, 8, 16), (8, 7, 16)],
)
def test_a_trial_at_an_edge_is_looked_at_when_it_can_next_be_decided(drawn, sound, next_look):
    assert Racing(prompts(CASES), True, at_edge=True).next_look(drawn, sound) == next_look
    assert Racing(prompts(CASES), True).next_look(drawn, sound) == CASES


@pytest.mark.parametrize(
    ("sound", "failed", "side"),
    [(7, 8, 0), (7, 9, -1), (1, 6, 0), (1, 7, -1), (0, 6, -1), (8, 8, 1), (6, 1, 0), (7, 1, 1), (6, 0, 1)],
)
def test_a_trial_at_an_edge_is_decided_by_a_lead_of_six_or_by_half_of_all(sound, failed, side):
    race = Racing(prompts(CASES), True, at_edge=True)
    assert race.side(sound + failed, sound) == side
    worse = dict(enumerate([0.2] * sound + [1.9] * failed)), dict.fromkeys(range(CASES), 0.1)
    assert (race.why(*worse, 1) is not None) is (side != 0)


def test_at_an_edge_one_that_survives_goes_on_while_it_is_no_worse_than_the_best():
    race, best = Racing(prompts(CASES), True, at_edge=True), dict.fromkeys(range(CASES), 0.3)
    assert not race.decided(dict(enumerate([0.2] * 7 + [0.9])), best)  # 7 * 0.1 against 0.6
    assert race.decided(dict(enumerate([0.2] * 7 + [1.1])), best)
    assert not race.decided(dict(enumerate([0.2] * 7 + [1.1])), {})


def test_at_an_edge_the_seeds_of_one_prompt_are_one_piece_of_evidence():
    """One seed of a prompt is worse by 0.9; seven seeds each of three others are better by 0.2."""
    losses = {step: 1.2 if step == 0 else 0.1 for step in range(0, 28) if step % 4 or not step}
    best = dict.fromkeys(range(32), 0.3)
    assert not Racing([f"p{step}" for step in range(32)], True, at_edge=True).decided(losses, best)
    assert Racing(prompts(32, 8), True, at_edge=True).decided(losses, best)  # 0.9 - 3 * 0.2


def test_nothing_is_compared_with_a_trial_that_was_stopped():
    study = optuna.create_study()
    assert reason(study, [1.5] * 6) is not None
    assert reason(study, [0.9] * 8) is None


def test_a_best_trial_of_a_version_without_races_is_no_pair_and_no_warning(recwarn):
    study = optuna.create_study()
    study.tell(study.ask(), 0.0)
    assert reason(study, [0.9] * 12) is None
    assert not [warning for warning in recwarn if "intermediate" in str(warning.message)]
