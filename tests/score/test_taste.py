"""A taste against optimisation and integration by other means, and what it claims to know."""

from math import isnan

import numpy as np
import pytest
import scipy

from gridsearch.score.metrics import METRICS, UNDEFINED, Metrics
from gridsearch.score.taste import (
    FARTHEST,
    JudgedPair,
    Taste,
    best_posterior,
    information,
    learn,
    taste_posterior,
    traits_of,
)

TYPICAL = Metrics(**{name: m.scale.typical if m.scale else 100.0 for name, m in METRICS.items()})


def answered(count, weights, seed=0, wrong=0.1, names=lambda i: (f"a{i}", f"b{i}")):
    """Pairs of random traits, as a person with these weights answers them."""
    rng, found = np.random.default_rng(seed), []
    for i in range(count):
        two = [dict(zip(weights, rng.normal(size=len(weights)), strict=True)) for _ in range(2)]
        first, second = (sum(weights[k] * v for k, v in traits.items()) for traits in two)
        prefers_first = (first > second) != (rng.random() < wrong)
        found.append(JudgedPair(*two, "first" if prefers_first else "second", names(i)))
    return found


def _mixed(loss, at, a, b):
    return loss(at + a + b) - loss(at + a - b) - loss(at - a + b) + loss(at - a - b)


@pytest.mark.parametrize("shape", [(30, 4), (5, 12)])
def test_the_posterior_is_the_mode_and_its_curvature(shape):
    """Against a general optimiser and finite differences, with more pairs than traits and with fewer."""
    rng = np.random.default_rng(1)
    differences, answers, deviation = rng.normal(size=shape), rng.choice([0.0, 0.5, 1.0], shape[0]), 0.7

    def loss(w):
        logits = differences @ w
        chances = scipy.special.expit(logits)
        likelihood = answers * np.log(chances) + (1 - answers) * np.log(1 - chances)
        return -likelihood.sum() + (w**2).sum() / (2 * deviation**2)

    top = scipy.optimize.minimize(loss, np.zeros(shape[1]), tol=1e-12).x
    step = 1e-3 * np.eye(shape[1])
    hessian = np.array([[_mixed(loss, top, a, b) / 4e-6 for b in step] for a in step])
    found = taste_posterior(differences, answers, deviation)
    assert found.weights == pytest.approx(top, abs=1e-4)
    others = rng.normal(size=(6, shape[1]))
    expected = np.einsum("nd,de,ne->n", others, np.linalg.inv(hessian), others)
    assert found.variance(others) == pytest.approx(expected, rel=1e-3)
    prior = shape[1] * np.log(deviation) + np.linalg.slogdet(hessian)[1] / 2
    assert found.evidence == pytest.approx(-loss(top) - prior, abs=1e-3)


def test_what_a_pair_would_tell_is_its_mutual_information():
    """Against numerical integration; the approximation is good to a few hundredths of a bit."""
    rng = np.random.default_rng(2)
    found = best_posterior(rng.normal(size=(8, 3)), rng.choice([0.0, 1.0], 8))
    pairs = 3 * rng.normal(size=(5, 3))

    def entropy(p):
        return (scipy.special.entr(p) + scipy.special.entr(1 - p)) / np.log(2)

    z = np.linspace(-8, 8, 4001)
    weights = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    for told, mean, variance in zip(
        information(found, pairs), pairs @ found.weights, found.variance(pairs), strict=True
    ):
        chances = scipy.special.expit(mean + np.sqrt(variance) * z)
        assert told == pytest.approx(entropy(weights @ chances) - weights @ entropy(chances), abs=0.03)


def test_without_answers_nothing_is_known_and_the_most_different_pair_tells_most():
    assert learn([]) == Taste({}, 0, 0, 0)
    assert not learn([]).knows
    pairs = np.array([[0.1, 0.0], [3.0, -2.0], [1.0, 0.0]])
    assert information(best_posterior(np.empty((0, 2)), np.empty(0)), pairs).argmax() == 1


def test_a_consistent_person_is_known_and_one_who_tosses_a_coin_is_not():
    weights = {"contrast": 2.0, "noise": -1.0, "blur": 0.0}
    person = learn(answered(60, weights))
    assert person.knows
    assert person.right > 0.75 * person.tested
    assert person.weights["contrast"] > -person.weights["noise"] > 0
    coins = [learn(answered(40, weights, seed, wrong=0.5)) for seed in range(20)]
    assert sum(one.knows for one in coins) <= 3  # 5% are expected
    few = learn(answered(4, weights, wrong=0.0))
    assert not few.knows  # four of four are luck in one case of sixteen


def test_pairs_that_share_a_picture_are_held_out_together():
    """Each answer is twice there, of pictures that share no trait with others: nothing can be guessed."""
    rng = np.random.default_rng(0)
    pairs = [
        JudgedPair({f"only{i}": 1.0}, {}, answer, (f"a{i}", f"b{i}"))
        for i, answer in enumerate(rng.choice(["first", "second"], 30))
        for _ in range(2)
    ]
    found = learn(pairs)
    assert (found.tested, found.right) == (60, 0)
    assert (
        learn([pair for pair in pairs if pair.names[0] == "a3"]).tested == 0
    )  # there is nothing to hold out


def test_an_equal_pair_is_learned_from_and_not_counted_as_a_guess():
    pairs = answered(30, {"contrast": 1.0})
    equal = [JudgedPair(pair.first, pair.second, "equal", pair.names) for pair in pairs]
    assert learn([*pairs, *equal]).tested == 30
    assert abs(learn([*pairs, *equal]).weights["contrast"]) < abs(learn(pairs).weights["contrast"])


def test_traits_are_distances_from_typical_pictures_in_spreads_and_half_their_squares():
    found = traits_of(TYPICAL)
    assert all(abs(value) < 1e-9 for name, value in found.items() if "brightness" not in name)
    assert found["brightness"] == pytest.approx(-0.25)
    contrast = METRICS["contrast"].scale
    value = contrast.back(contrast.forward(contrast.typical) - 2 * contrast.spread_in_run)
    pale = traits_of(Metrics(**(vars(TYPICAL) | {"contrast": value, "clipped": 1.0, "blur": np.nan})))
    assert (pale["contrast"], pale["contrast squared"]) == pytest.approx((-2, 2))
    assert pale["clipped"] == FARTHEST
    assert "blur" not in pale
    assert traits_of(UNDEFINED) == {}
    seen = traits_of(UNDEFINED, np.array([0.6, 0.8]), "ab12")
    assert seen == pytest.approx({"ab12 0": 1.8, "ab12 1": 2.4})
    assert not isnan(Taste({"ab12 1": 2.0, "contrast": 1.0}, 9, 9, 9).worth(seen))
