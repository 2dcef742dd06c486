"""A person's taste: which of two pictures they prefer, learned from their answers to blind pairs.

A picture's worth is the sum of its traits, each times a weight. Of two pictures with worths u and v the first
is preferred with the chance 1 / (1 + exp(v - u)), as by Bradley and Terry (1952). The weights have a Gaussian
prior, whose deviation is the one with the greatest evidence, and their posterior is taken as Gaussian about
its mode (MacKay 1992, *The evidence framework applied to classification networks*).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import scipy
from numpy.typing import NDArray

from gridsearch.score.metrics import METRIC_SCALES, Metrics

_Array = NDArray[np.float64]
Traits = Mapping[str, float]  # what is not there counts as 0

FARTHEST = 4.0  # spreads from typical pictures; a trait farther out is not told from one there
BRIGHTNESS = 110.0, 40.0  # levels of mean luma: typical, and a spread
FEATURE_SPREADS = 3.0  # spreads that a backbone's features, of length 1, count as
DEVIATIONS = (0.1, 0.25, 0.5, 1.0, 2.0)  # of a weight, per spread: the priors that are compared
FOLDS = 10  # of the pairs, each held out once
NO_GUESS = 1e-9  # of the logarithm of the odds: less is rounding
SURE = 0.05  # a taste has a say if so many held-out pairs would be guessed right by luck less often
PREFERRED = {"first": 1.0, "second": 0.0, "equal": 0.5}  # answer -> how much it speaks for the first
_C = np.sqrt(np.pi * np.log(2) / 2)  # of Houlsby et al. 2011


def traits_of(metrics: Metrics, features: _Array | None = None, backbone: str = "") -> dict[str, float]:
    """Return the traits of a picture: its metrics in spreads from typical ones, their squares, its features.

    With the squares a taste can prefer a middle, and not only more or less. An undefined metric is no trait.
    The features (D,) are known by the key of their backbone.
    """
    found = {
        name: (scale.forward(value) - scale.forward(scale.typical)) / scale.spread_in_run
        for name, scale in METRIC_SCALES.items()
        if not isnan(value := getattr(metrics, name))
    }
    if not isnan(metrics.brightness):
        found["brightness"] = (metrics.brightness - BRIGHTNESS[0]) / BRIGHTNESS[1]
    found = {name: float(np.clip(value, -FARTHEST, FARTHEST)) for name, value in found.items()}
    found |= {f"{name} squared": value**2 / 2 for name, value in found.items()}
    seen = () if features is None else features
    return found | {f"{backbone} {i}": FEATURE_SPREADS * float(value) for i, value in enumerate(seen)}


@dataclass(frozen=True)
class JudgedPair:
    """A blind pair and its answer; `names` tell its two pictures from all others."""

    first: Traits
    second: Traits
    answer: str  # one of PREFERRED
    names: tuple[str, str]


@dataclass(frozen=True)
class Taste:
    """A taste that was learned from so many pairs.

    Attributes:
        weights: of the traits, in natural logarithms of the odds.
        tested: the pairs with a preference that were guessed by the taste of other pairs.
        right: how many of those guesses were right.
    """

    weights: Mapping[str, float]
    pairs: int
    tested: int
    right: int

    @property
    def knows(self) -> bool:
        """Whether its guesses are better than luck."""
        return bool(self.tested and scipy.stats.binom.sf(self.right - 1, self.tested, 0.5) < SURE)

    def worth(self, traits: Traits) -> float:
        """Return the logarithm of the odds that this picture is preferred to one without any traits."""
        return sum(self.weights.get(name, 0.0) * value for name, value in traits.items())


def taste_text(taste: Taste) -> str:
    """Return in a sentence how well a taste is known."""
    if not taste.pairs:
        return "Your taste is not known: you have judged no pairs, so it has no say."
    known = f"{taste.right} of {taste.tested} held-out pairs"
    if not taste.knows:
        return f"Your taste is not known yet from {taste.pairs} pairs: it guessed {known}, so it has no say."
    return f"Your taste, learned from {taste.pairs} pairs, guessed {known}."


def learn(pairs: Sequence[JudgedPair]) -> Taste:
    """Return the taste that the answers show, tested on pairs that were held out in turn.

    Pairs that share a picture are held out together, so that no picture is known from its other pairs.
    """
    if not pairs:
        return Taste({}, 0, 0, 0)
    names = trait_names(pairs)
    differences, answers = differences_of(pairs, names)
    found = best_posterior(differences, answers)
    right = tested = 0
    for held in _folds([pair.names for pair in pairs]):
        decided = held & (answers != PREFERRED["equal"])
        others = taste_posterior(differences[~held], answers[~held], found.deviation)
        guesses = differences[decided] @ others.weights
        tested += int(decided.sum())
        right += int((guesses * (answers[decided] - 0.5) > NO_GUESS).sum())
    return Taste(dict(zip(names, found.weights.tolist(), strict=True)), len(pairs), tested, right)


def trait_names(pairs: Sequence[JudgedPair]) -> list[str]:
    """Return the names of all traits, in alphabetical order."""
    return sorted({name for pair in pairs for traits in (pair.first, pair.second) for name in traits})


def differences_of(pairs: Sequence[JudgedPair], names: Sequence[str]) -> tuple[_Array, _Array]:
    """Return each first picture's traits less the second's (N, D), and what the answers say (N,)."""
    rows = [[p.first.get(name, 0.0) - p.second.get(name, 0.0) for name in names] for p in pairs]
    return np.array(rows).reshape(len(pairs), len(names)), np.array([PREFERRED[p.answer] for p in pairs])


def _folds(names: Sequence[tuple[str, str]]) -> Iterator[NDArray[np.bool_]]:
    """Yield which pairs (N,) to hold out, some at a time; those of one group stay together."""
    number = {name: i for i, name in enumerate(dict.fromkeys(name for pair in names for name in pair))}
    ends = np.array([[number[name] for name in pair] for pair in names])
    graph = scipy.sparse.coo_array((np.ones(len(ends)), ends.T), shape=(len(number), len(number)))
    count, groups = scipy.sparse.csgraph.connected_components(graph, directed=False)
    fold = np.random.default_rng(0).permutation(count)[groups[ends[:, 0]]] % FOLDS
    for one in range(min(FOLDS, count) if count > 1 else 0):
        yield fold == one


# -- the model


@dataclass(frozen=True)
class TastePosterior:
    """The weights by the answers: independent along `axes`, about their most probable values."""

    axes: _Array  # (R, D), of length 1 and at right angles; along all others the prior is unchanged
    mean: _Array  # (R,)
    covariance: NDArray[np.floating]  # (R, R)
    deviation: float  # of the prior
    evidence: float  # logarithm of the chance of these answers

    @property
    def weights(self) -> _Array:
        """The most probable weights (D,)."""
        return self.deviation * self.mean @ self.axes

    def variance(self, differences: _Array) -> _Array:
        """Return the variance (N,) of the difference in worth of pairs, whose traits differ by (N, D)."""
        scaled = self.deviation * differences
        known = scaled @ self.axes.T
        unknown = np.maximum((scaled**2).sum(axis=1) - (known**2).sum(axis=1), 0.0)
        return np.einsum("nr,rs,ns->n", known, self.covariance, known) + unknown


def taste_posterior(differences: _Array, answers: _Array, deviation: float) -> TastePosterior:
    """Return the posterior of the weights.

    Args:
        differences: (N, D), of each pair the first one's traits less the second's.
        answers: (N,), how much each speaks for the first, 0 to 1.
        deviation: of the prior of each weight.
    """
    left, sizes, axes = np.linalg.svd(deviation * differences, full_matrices=False)
    along = left * sizes  # (N, R)

    def height(at: _Array) -> float:
        logits = along @ at
        return float(answers @ logits - np.logaddexp(0, logits).sum() - at @ at / 2)

    mean, precision = np.zeros(len(sizes)), np.eye(len(sizes), dtype=np.float64)
    for _ in range(100):
        chances = scipy.special.expit(along @ mean)
        precision = (along.T * (chances * (1 - chances))) @ along + np.eye(len(sizes))
        step = np.linalg.solve(precision, along.T @ (answers - chances) - mean)
        while height(mean + step) < height(mean) and np.abs(step).max() > 1e-9:
            step /= 2
        mean = mean + step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    evidence = height(mean) - np.linalg.slogdet(precision)[1] / 2
    return TastePosterior(axes, mean, np.linalg.inv(precision), deviation, float(evidence))


def best_posterior(differences: _Array, answers: _Array) -> TastePosterior:
    """Return the posterior whose prior has the greatest evidence."""
    found = [taste_posterior(differences, answers, deviation) for deviation in DEVIATIONS]
    return max(found, key=lambda one: one.evidence)


def information(found: TastePosterior, differences: _Array) -> _Array:
    """Return how much the answer to each pair (N, D) would tell of the weights, in bits.

    That is the mutual information of the two, as Houlsby et al. 2011 (*Bayesian active learning for
    classification and preference learning*, equation 3) approximate it for a probit, to which a logistic
    function is close whose argument is scaled by √(π / 8).
    """
    mean = differences @ found.weights * np.sqrt(np.pi / 8)
    variance = found.variance(differences) * np.pi / 8
    chance = scipy.stats.norm.cdf(mean / np.sqrt(variance + 1))
    entropy = (scipy.special.entr(chance) + scipy.special.entr(1 - chance)) / np.log(2)
    expected = _C * np.exp(-(mean**2) / (2 * (variance + _C**2))) / np.sqrt(variance + _C**2)
    return np.asarray(entropy - expected)
