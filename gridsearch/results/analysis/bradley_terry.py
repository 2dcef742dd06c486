"""Strengths of trials from a person's blind choices: Bradley and Terry (1952) with Davidson's ties (1970).

Of trials with strengths a and b (natural logarithms), the first is preferred with a probability in proportion
to exp(a), the second to exp(b), and they are equal in proportion to exp(t + (a + b) / 2). The three are a
multinomial logit, so the likelihood is concave in strengths and t together, and has one top
(R. R. Davidson, On extending the Bradley-Terry model to accommodate ties, JASA 65, 1970).

A trial that wins all its pairs has no finite estimate, and twenty pairs of five trials make that common. So
each strength has a normal prior about 0 (Gelman et al., Bayesian Data Analysis, chapter 4: its mode, and the
normal distribution about that, are the estimate and its doubt). Pairs of one prompt resemble one another: the
doubt is widened by how much more their scores add up by prompt than they would by themselves (a design
effect; Liang & Zeger 1986).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy

PRIOR = 1.0  # deviation of a strength: of two leaders' pairs, one rarely wins more than 94%
DRAWS = 20_000  # of the strengths, for the chance to be the best
SAME_STRENGTH = 1e-9  # of a strength: no difference
MOVES = 0.8  # how probable it must be that a trial is liked best, for the recommendation to move to it
ONE_SIDED = 0.01  # p-value at which a side was chosen for its own sake
ANSWERS = ("first", "second", "equal")


@dataclass(frozen=True)
class Preference:
    """A trial's results in blind pairs.

    Attributes:
        strength: natural logarithm, 0 is the mean of the trials that were judged; log(2) above another is
            preferred to it twice as often as not.
        low, high: hold the strength with the verdict's level.
        chance: how probable it is that no other one judged is stronger.
        name: the trial in words.
    """

    trial: int
    wins: int
    losses: int
    ties: int
    strength: float
    low: float
    high: float
    chance: float
    name: str = ""

    @property
    def pairs(self) -> int:
        return self.wins + self.losses + self.ties


@dataclass(frozen=True)
class Human:
    """A person's verdict on blind pairs.

    Attributes:
        pairs: how many were judged.
        since: when the first one was, ISO 8601.
        level: of the strengths' intervals.
        trials: strongest first.
        winner: the trial that is recommended because the person prefers it; None if they decided nothing.
        instead_of: the trial that would be recommended without them; the winner itself where they agree.
        left, decided: how often the left image was preferred, of the pairs that were not equal.
        agreeing: of these, the pairs whose stronger trial was preferred.
        note: what limits it, a plain sentence; empty where nothing does.
    """

    pairs: int
    since: str
    level: float
    trials: tuple[Preference, ...]
    winner: int | None
    instead_of: int
    left: int
    decided: int
    agreeing: int
    note: str

    def preference(self, trial: int) -> Preference:
        return next(found for found in self.trials if found.trial == trial)


def human_verdict(
    judgements: pd.DataFrame, best: int, tied: Collection[int], level: float = 0.95
) -> Human | None:
    """Return the verdict of a person's judgements; None where there are none.

    The metrics cannot tell the leaders apart, so the person's preference decides among them, if they judged
    the one that the metrics recommend. Preferences among other trials are only reported.

    Args:
        judgements: rows of `Results.judgements`.
        best: the trial that the metrics recommend; those in `tied` cannot be told from it.
    """
    if judgements.empty:
        return None
    trials = preferences(judgements, level)
    winner, note = _winner([found for found in trials if found.trial in {best, *tied}], best)
    decided = judgements[judgements["answer"] != "equal"]
    first, second = (decided[side].map({one.trial: one.strength for one in trials}) for side in ANSWERS[:2])
    is_left = decided["answer"] == "first"
    left = int(is_left.sum())
    if len(decided) and scipy.stats.binomtest(left, len(decided)).pvalue < ONE_SIDED:
        note += f" You chose the left image in {left} of {len(decided)} pairs."
        note += " Sides are random, so this is unlikely to be chance."
    return Human(
        pairs=len(judgements),
        since=str(judgements["time"].iloc[0]),
        level=level,
        trials=trials,
        winner=winner,
        instead_of=best,
        left=left,
        decided=len(decided),
        agreeing=int((first - second).where(is_left, second - first).gt(0).sum()),
        note=note.lstrip(),
    )


def _winner(leaders: Sequence[Preference], best: int) -> tuple[int | None, str]:
    """Return the leader to take and a note on the choice; `leaders` are strongest first."""
    own = next((found for found in leaders if found.trial == best), None)
    if own is None:
        note = "The trial that the metrics recommend now was not among your pairs, so it stays recommended."
        return None, note
    if len(leaders) < 2:
        return None, "No other trial that you judged ties with the best one, so the metrics' choice stays."
    if leaders[0].strength - own.strength > SAME_STRENGTH:
        if leaders[0].chance >= MOVES:
            return leaders[0].trial, ""
        return None, f"No trial is liked best with {MOVES:.0%} certainty, so the metrics' choice stays."
    if any(abs(found.strength - own.strength) <= SAME_STRENGTH for found in leaders if found is not own):
        return None, "You like another trial as much as the metrics' choice, so that choice stays."
    return best, ""


# -- the model


def preferences(
    judgements: pd.DataFrame, level: float = 0.95, prior: float = PRIOR, seed: int = 0
) -> tuple[Preference, ...]:
    """Return each judged trial's strength, its interval and its chance to be the best; strongest first.

    Args:
        prior: the deviation of the strengths' normal prior; infinite for none.
        seed: of the draws that count how often each is the best.
    """
    trials = sorted({*judgements["first"], *judgements["second"]})
    number = {trial: i for i, trial in enumerate(trials)}
    first, second = (judgements[side].map(number).to_numpy() for side in ("first", "second"))
    answers = judgements["answer"].map(ANSWERS.index).to_numpy()
    prompts = judgements["prompt_id"].astype("category").cat.codes.to_numpy()
    strengths, covariance = fit(first, second, answers, len(trials), prior, prompts)
    reach = scipy.stats.norm.ppf((1 + level) / 2) * np.sqrt(np.diag(covariance))
    counts = np.zeros((len(trials), 3), dtype=int)  # wins, losses and ties
    np.add.at(counts, (first, answers), 1)
    np.add.at(counts, (second, np.array([1, 0, 2])[answers]), 1)
    chances = _chances(strengths, covariance, seed)
    columns = (counts, strengths, strengths - reach, strengths + reach, chances)
    found = [
        Preference(int(trial), *wins_losses_ties, *figures)
        for trial, wins_losses_ties, *figures in zip(trials, *(c.tolist() for c in columns), strict=True)
    ]
    return tuple(sorted(found, key=lambda one: (-round(one.strength, 9), one.trial)))


def fit(
    first: np.ndarray,
    second: np.ndarray,
    answers: np.ndarray,
    count: int,
    prior: float = PRIOR,
    prompts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the strengths (`count`,), of mean 0, and their covariance (`count`, `count`).

    Args:
        first, second: numbers of the two trials of each pair, below `count`.
        answers: 0 where the first was preferred, 1 the second, 2 neither. Without any 2, no ties can be.
        prompts: the number of each pair's prompt; None where all pairs are independent.
    """
    ties = bool((answers == 2).any())
    rows = np.arange(len(answers))
    options = np.zeros((len(answers), 3, count + 1))  # of each answer its logit, a sum over (strengths, t)
    options[rows, 0, first] = options[rows, 1, second] = 1
    options[:, 2] = options[:, :2].mean(axis=1)
    options[:, 2, count] = 1
    options = options[:, : 3 if ties else 2, : count + ties]
    chosen = options[rows, answers].sum(axis=0)
    # the readiness to say "equal" has the same prior, so that it is finite where nothing else was said
    precision = np.full(count + ties, prior**-2)

    def slope(at: np.ndarray) -> np.ndarray:
        """Return the gradient of the posterior density's logarithm, with the sign turned."""
        shares = scipy.special.softmax(options @ at, axis=1)
        return np.einsum("po,pok->k", shares, options) - chosen + precision * at

    def information(at: np.ndarray) -> np.ndarray:
        shares = scipy.special.softmax(options @ at, axis=1)
        expected = np.einsum("po,pok->pk", shares, options)
        second_moment = np.einsum("po,pok,pol->kl", shares, options, options)
        return second_moment - expected.T @ expected + np.diag(precision)

    top = scipy.optimize.root(slope, np.zeros(count + ties), jac=information, tol=1e-12).x
    centred = np.eye(count) - 1 / count
    inverse = np.linalg.pinv(information(top), hermitian=True)
    covariance = centred @ inverse[:count, :count] @ centred
    shares = scipy.special.softmax(options @ top, axis=1)
    scores = options[rows, answers] - np.einsum("po,pok->pk", shares, options)
    return centred @ top[:count], covariance * _design_effect(scores, inverse, prompts)


def _design_effect(scores: np.ndarray, inverse: np.ndarray, prompts: np.ndarray | None) -> float:
    """Return how much more the estimate varies, since pairs of one prompt are alike; 1 at least."""
    if prompts is None or len(found := np.unique(prompts)) < 2:
        return 1.0
    sums = np.stack([scores[prompts == one].sum(axis=0) for one in found])
    apart, together = (float(np.einsum("ij,jk,ik->", s, inverse, s)) for s in (scores, sums))
    return max(1.0, together / apart * len(found) / (len(found) - 1))


def _chances(strengths: np.ndarray, covariance: np.ndarray, seed: int) -> np.ndarray:
    """Return how often each is the strongest in draws from the normal distribution about the estimate."""
    if len(strengths) == 2:  # known without drawing
        deviation = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
        first = float(scipy.stats.norm.cdf((strengths[0] - strengths[1]) / deviation))
        return np.array([first, 1 - first])
    draws = np.random.default_rng(seed).multivariate_normal(strengths, covariance, DRAWS, method="eigh")
    return np.bincount(draws.argmax(axis=1), minlength=len(strengths)) / DRAWS
