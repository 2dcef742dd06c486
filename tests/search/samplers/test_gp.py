"""The search by a Gaussian process: its line, its doses, its process against the textbook's formulas."""

from functools import partial

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from gridsearch.results import store
from gridsearch.results.analysis.probe import FAILS
from gridsearch.results.analysis.sensitivity import Sensitivity, SensitivityMap
from gridsearch.results.shared.optuna_private import SearchSpaceTransform
from gridsearch.search.samplers.box import box_of, log_improvement, on_steps, untried
from gridsearch.search.samplers.dose import SeenTrials, possible_doses, possible_weights
from gridsearch.search.samplers.gp import (
    MANY,
    Gp,
    Learnt,
    cube_places,
    next_on_line,
    told_by,
)
from gridsearch.search.samplers.surrogate import LEAST_NOISE, LENGTH, fit_surrogate


def test_the_line_is_halved_where_the_dial_turns_or_points():
    def after(*known):
        at, dials = (np.array(one, dtype=float) for one in zip(*known, strict=True))
        return next_on_line(at, dials, 0.02)

    assert after((0.5, -2)) == 0.75
    assert after((0.5, 2)) == 0.25
    assert after((0.5, 2), (0.25, -4)) == 0.375
    assert after((0.5, -2), (0.25, 4)) == 0.375  # models in the other order
    assert after((0.5, np.nan), (0.25, -4)) == 0.75  # one that is under way
    assert after(*((at, 1) for at in np.arange(0.01, 1, 0.015))) is None


def test_places_are_those_of_optuna():
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    for _ in range(20):
        trial = study.ask()
        trial.suggest_float("a", -0.5, 1.5, step=0.25)
        trial.suggest_float("b", 0.1, 0.7)
        trial.suggest_int("c", 10, 30, step=5)
        study.tell(trial, 0.0)
    space = study.trials[0].distributions
    cube = SearchSpaceTransform(space, transform_0_1=True)
    expected = [cube.transform(trial.params) for trial in study.trials]
    assert cube_places(study.trials, cube, space) == pytest.approx(np.array(expected), abs=1e-12)
    assert cube_places([], cube, space).shape == (0, 3)


def test_what_was_tried_is_not_proposed_again():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 6)] * 2), -1).reshape(-1, 2)
    assert untried(grid[10:30], grid[:20]) == pytest.approx(grid[20:30])
    assert untried(grid[10:20], grid) == pytest.approx(grid[10:20])
    assert untried(grid[:5], grid[5:]) == pytest.approx(grid[:5])


def seen_at(places, dials):
    count = len(places)
    line = np.ptp(places, axis=1) < 0.02
    return SeenTrials(places, np.arange(count, dtype=float), dials, np.ones(count, dtype=bool), line)


@pytest.mark.parametrize("sign", [1, -1])
def test_dials_tell_the_weights_of_the_dose(sign):
    """A dial that rises, however bent, with 0.7 of one number and 0.3 of another, and none of the third."""
    rng = np.random.default_rng(0)
    true = np.array([0.7, 0.3, 0.0])
    places = np.r_[np.repeat(np.linspace(0, 1, 41)[:, None], 3, 1), rng.random((12, 3))]
    found = possible_doses(seen_at(places, sign * (places @ true) ** 3))
    weights = found.weights(rng)
    assert found.doses == pytest.approx(places @ true, abs=0.03)
    assert weights[0] == pytest.approx(true, abs=0.05)
    assert weights.mean(0) == pytest.approx(weights[0], abs=0.05)  # the others scatter around the likeliest
    assert (weights >= 0).all()
    unknown = possible_doses(seen_at(places, np.full(len(places), np.nan)))
    assert unknown.doses == pytest.approx(places.mean(1))
    assert unknown.weights(rng) == pytest.approx(np.full((1, 3), 1 / 3))


def test_trials_off_the_line_tell_how_a_dial_bends_between_two_of_it():
    """Of a dial whose logarithm is the dose, the line knows three values: a straight line is off by 0.06."""
    rng = np.random.default_rng(5)
    true = np.array([0.5, 0.3, 0.2, 0.0])
    places = np.r_[np.repeat([[0.0], [0.5], [1.0]], 4, 1), rng.random((16, 4))]
    dials = np.exp(2 * places @ true)
    straight = np.interp(dials, np.exp([0.0, 1.0, 2.0]), [0.0, 0.5, 1.0])
    found = possible_doses(seen_at(places, dials))
    assert np.abs(straight - places @ true).max() > 0.05
    assert np.abs(found.doses - places @ true).max() < 0.02
    assert found.likeliest == pytest.approx(true, abs=0.02)


def test_the_evidence_is_the_likelihood_of_the_doses():
    """Beside a constant, that of a normal distribution whose covariance is the weights' and the doubts'."""
    rng = np.random.default_rng(3)
    places, off = rng.random((5, 3)), rng.normal(0, 0.1, 5)
    doubt = np.diag(rng.uniform(0.02, 0.1, 5) ** 2) + 0.001

    def likelihood(scatter, doubt):
        covariance = scatter**2 * places @ places.T + doubt
        return -0.5 * (off @ np.linalg.solve(covariance, off) + np.linalg.slogdet(covariance)[1])

    supposed = [(0.1, doubt), (0.5, doubt), (0.5, 4 * doubt)]
    found = [possible_weights(places, off, two, np.full(3, 1 / 3), one).evidence for one, two in supposed]
    assert np.diff(found) == pytest.approx(np.diff([likelihood(*one) for one in supposed]))


def test_a_map_is_followed_as_far_as_dials_bear_it_out():
    rng = np.random.default_rng(4)
    true = np.repeat([0.16, 0.04], [5, 5])
    places = np.r_[np.repeat(np.linspace(0, 1, 11)[:, None], 10, 1), rng.random((6, 10))]
    right, wrong = (
        possible_doses(seen_at(places, places @ true - 0.5), told).likeliest for told in (true, true[::-1])
    )
    none = possible_doses(seen_at(places, places @ true - 0.5)).likeliest
    assert right == pytest.approx(true, abs=0.01)
    assert np.abs(wrong - true).sum() < 1.2 * np.abs(none - true).sum()
    assert np.abs(none - true).sum() > 0.2


def test_a_map_tells_the_weights_of_the_dose_and_what_matters_beside():
    """The merge is too strong, so being less strong makes up for being more wrong."""
    ratios = [Sensitivity("b", (0.3 + 0.6) / FAILS, 0.6, 1.0), Sensitivity("a", -0.1 / FAILS, 0.0, 1.0)]
    ratios += [Sensitivity("c", -0.2 / FAILS, -0.2, 1.0)]
    found = told_by(SensitivityMap(0.5, 0.1, 1.1, tuple(ratios)), ["a", "b", "c"])
    assert found[0] == pytest.approx([0.0, 1.0, 0.0])
    assert found[1] == pytest.approx(np.array([0.1 + 0.4 / 3, 0.3 + 0.4 / 3, 0.4 / 3]) / 0.8)
    assert told_by(SensitivityMap(0.5, 0.1, 1.1, tuple(ratios)), ["a", "d"]) is None


def covariance_of(model, some, others):
    scales = np.array([LENGTH**-2] * 3 + [model.scale])
    return np.exp(-0.5 * scales * (some[:, None] - others[None]) ** 2) @ model.heights


def test_the_process_predicts_what_the_textbook_says():
    rng = np.random.default_rng(1)
    places = rng.random((15, 4))
    losses = (places[:, 0] - 0.3) ** 2 + 0.1 * np.sin(9 * places[:, 3])
    model, new = fit_surrogate(places, losses), rng.random((5, 4))
    covariance = partial(covariance_of, model)
    own = model.factor @ model.factor.T
    noise = np.diag(own - covariance(places, places))
    assert own - np.diag(noise) == pytest.approx(covariance(places, places))
    assert noise == pytest.approx(noise[0])
    assert noise[0] > LEAST_NOISE
    across, inverse = covariance(new, places), np.linalg.inv(own)
    mean = losses.mean() + across @ inverse @ (losses - losses.mean())
    left = np.diag(covariance(new, new) - across @ inverse @ across.T)
    found = model.predict(new[:, :-1], new[:, -1])
    assert found[0] == pytest.approx(mean, abs=1e-3 * losses.std())
    assert found[1] == pytest.approx(losses.std() * np.sqrt(left), rel=1e-3)
    assert model.predict(places[:, :-1], places[:, -1])[0] == pytest.approx(losses, abs=0.02)


def test_what_is_expected_of_a_place_changes_no_other_expectation_but_how_sure_it_is():
    rng = np.random.default_rng(3)
    places, going, new = rng.random((15, 4)), rng.random((3, 4)), rng.random((5, 4))
    model = fit_surrogate(places, (places[:, 0] - 0.3) ** 2 + 0.1 * np.sin(9 * places[:, 3]))
    told = model.with_expected(going)
    covariance = partial(covariance_of, model)
    both = np.r_[places, going]
    own, across = covariance(both, both) + model.noise * np.eye(18), covariance(new, both)
    left = np.diag(covariance(new, new) - across @ np.linalg.inv(own) @ across.T)
    (mean, _), (after, sure) = (one.predict(new[:, :-1], new[:, -1]) for one in (model, told))
    assert after == pytest.approx(mean, abs=1e-9)
    assert sure == pytest.approx(model.spread * np.sqrt(left), rel=1e-3)


def test_expected_improvement_is_its_average_and_goes_on_where_it_vanishes():
    draws = np.random.default_rng(2).normal(0.5, 0.2, 400_000)
    assert np.exp(log_improvement(np.array([0.5]), np.array([0.2]), 0.4))[0] == pytest.approx(
        np.maximum(0.4 - draws, 0).mean(), rel=0.02
    )
    far = log_improvement(np.array([1.0, 8.0, 9.0]), np.full(3, 0.1), 0.4)
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()


def test_the_box_follows_successes_and_failures():
    steps = np.full(8, 101.0)

    def side(*losses):
        places = np.r_[np.full((1, 8), 0.5), np.random.default_rng(0).random((len(losses), 8))]
        seen = seen_at(places, np.zeros(len(places)))
        return box_of(SeenTrials(places, np.r_[1.0, losses], seen.dials, seen.alive, seen.line), steps)

    assert side() == 0.4
    assert side(0.9, 0.8, 0.7) == 0.8
    assert side(1, 1, 1, 1) == 0.2
    assert side(*[1] * 15) == 0.4 / 2**3
    assert side(*[1] * 16) == 0.4  # narrower than three steps: begun anew


def test_places_are_those_of_the_steps():
    found = on_steps(np.array([[-1.0, 0.34, 0.34], [2.0, 0.99, 1.2]]), np.array([5.0, 3.0, np.inf]))
    assert found == pytest.approx(np.array([[0.1, 0.5, 0.34], [0.9, 5 / 6, 1.0]]))


def test_many_proposals_are_different_and_each_follows_from_what_has_ended_and_is_under_way():
    """What was asked of the same trials before tells nothing."""
    rng, steps = np.random.default_rng(6), np.full(4, 21.0)
    places = on_steps(np.r_[np.repeat([[0.3], [0.5], [0.7]], 4, 1), rng.random((12, 4))], steps)
    doses = places @ [0.5, 0.3, 0.2, 0.0]
    losses = 4 * (doses - 0.5) ** 2 + 0.5 * (places[:, 0] - 0.8) ** 2
    seen = SeenTrials(places, losses, doses - 0.5, np.ones(15), np.arange(15) < 3)
    learnt, pending = Learnt(seen, steps, None, seed=0), on_steps(rng.random((MANY, 4)), steps)
    for number in range(20):
        place = learnt.next_place(pending, np.random.default_rng([0, number]))
        assert np.abs(np.r_[places, pending] - place).max(1).min() > 1e-6
        pending = np.r_[pending, place[None]]
    alone = Learnt(seen, steps, None, seed=0).next_place(pending[:-1], np.random.default_rng([0, 19]))
    assert alone == pytest.approx(place, abs=1e-12)


@pytest.mark.night
def test_two_numbers_are_found_by_many_workers():
    """Three trials at a time: none is asked for twice, and the valley's best is near after forty."""
    study = optuna.create_study()

    def ask():
        number = len(study.trials)
        study.sampler = Gp(0, RandomSampler(seed=number))
        trial = study.ask()
        return trial, [trial.suggest_float(name, 0.0, 1.0, step=0.01) for name in "xy"]

    def tell(trial, x, y):
        dose = (x + 2 * y) / 3
        loss = min(80 * (dose - 0.7) ** 2, 1.5) + 0.5 * (y - 0.9) ** 2
        dial = float(np.clip(30 * (dose - 0.7), -3, 3))
        trial.set_user_attr(store.SUMMARY, {"loss": loss, "dial": dial, "survived": float(loss < 0.6)})
        study.tell(trial, 9 * loss)

    going = [ask() for _ in range(3)]
    while len(study.trials) < 40:
        trial, (x, y) = going.pop(0)
        tell(trial, x, y)
        going.append(ask())
    ended = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert min(trial.user_attrs[store.SUMMARY]["loss"] for trial in ended) < 0.02
    asked = [tuple(trial.params.values()) for trial in study.trials]
    assert len(set(asked)) > 35
