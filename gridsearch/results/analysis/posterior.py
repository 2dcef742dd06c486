"""The loss along the ratio as a posterior: how good each ratio is for all prompts, and where the best lies.

The loss is a smooth curve over each run of ratios that is worth a look; between two runs lie ratios that are
far worse. Seen of it are means over a few prompts, paired: what a prompt adds to all good ratios alike is
taken out of them first, which also makes a trial that was stopped early comparable with whole ones. The
curve's prior is a Gaussian process (Rasmussen & Williams 2006, ch. 2), with several lengths and heights that
are weighed by their marginal likelihood (their ch. 5): where the means differ by no more than their errors,
the curve is nearly flat, and no ratio is called best for its luck. An optimum may lie at an end.

Of several runs, each has its prompts paired by its own good ratios: a prompt may be sound in one window and
fail in another, which moves no optimum within either. Where no ratio is sound for most prompts, runs are
luck's, and prompts are paired by all. Runs are compared with one another at their own bests, prompt by
prompt. The errors of all this are estimated from few prompts, so draws are spread as Student's t is; those of
a curve with the degrees of freedom that its variances gain from ratios beside it (moderated t: Smyth 2004).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import NDArray

from gridsearch.results.analysis.tally import tally

if TYPE_CHECKING:  # a plan imports this module, and is spared pandas
    import pandas as pd

Array = NDArray[np.float64]

# A ratio is out whose loss is so much above the least, or this share of what lies between the best and the
# worst, where these are a cliff apart: where all prompts fail a curve is flat, and tells little of bends.
FAR, OUT = 1.0, 0.6
JUDGED = 6  # images of a ratio, from which on it may end a run
CLIFF = 0.6  # so far above a run's least, more makes no difference
# Of a loss: what a prompt adds is read off the good ratios. Weights fall by e with so much above the least,
# to REST: beyond an edge a prompt's loss tells where its own edge lies. Chosen on the curves of CORRELATED.
GOOD, REST = 0.2, 1e-3
SOUND = 0.6  # of a mean loss: of more, some prompts fail at every ratio
MOST_FAIL = 1.0  # of a mean loss: of more, most images failed, which count 1 to 2
POINTS = 51  # on which a curve is read, beside the ratios themselves
BEND_LENGTHS = (0.1, 0.2, 0.4, 0.8)  # of the curve's bends, as shares of its run
BEND_HEIGHTS = (
    0.003,
    0.01,
    0.03,
    0.1,
    0.3,
    1.0,
)  # of its bends, in losses; as likely before as they are high
FAINT = 0.005  # a weight that is left out
# Degrees of freedom of the variance about a ratio, with which its own is averaged, and how far it reaches, as
# a share of the run.
POOLED, ABOUT = 4.0, 0.1
LEAST_ERROR, UNKNOWN_ERROR = 0.02, 0.1  # of a prompt's loss: never less; with one prompt it is not known
# Errors of neighbouring means are alike: a prompt that fails at one ratio fails at the next. So much of that
# counts: all of it would leave a curve's shape to chance where most prompts fail, none of it makes intervals
# too narrow. Chosen on simulated curves (`python -m benchmarks.search --worlds`).
CORRELATED = 0.8
ROUGH = 1.5  # times the variance: prompts fail at steps, which no smooth curve follows; chosen on the same
# Over which a prompt's losses are alike, as shares of a run.
ALIKE_LENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
SAME = 1e-9  # of a loss or a ratio: no difference


@dataclass(frozen=True)
class Losses:
    """The images along a curve: their mean loss and their number by prompt and ratio.

    Attributes:
        ratios: J of them, ascending.
        mean, images: (prompts, J); 0 where nothing was drawn.
    """

    ratios: Array
    mean: Array
    images: Array

    @property
    def prompts(self) -> int:
        return len(self.mean)


@dataclass(frozen=True)
class Posterior:
    """The loss for all prompts at the ratios of all runs.

    Attributes:
        ratios: those that were drawn in a run, ascending.
        mean: the expected loss at each.
        draws: (draws, ratios) of the loss.
        runs: the run of each ratio.
        reaches: of each run the ratios between which its best may lie: see `_reach`.
        best, best_run: of each draw the place of its least, drawn or not, and the run that it lies in.
        without: (prompts, ratios), the expected losses had a prompt not been drawn.
        errors: (ratios,), the standard deviation of one prompt's loss about the common curve.
    """

    ratios: Array
    mean: Array
    draws: Array
    runs: NDArray[np.int64]
    reaches: list[tuple[float, float]]
    best: Array
    best_run: NDArray[np.int64]
    without: Array
    errors: Array

    def at(self, ratio: float) -> int:
        """Return the number of the drawn ratio that is nearest."""
        return int(np.abs(self.ratios - ratio).argmin())

    def no_worse(self, ratio: float, margin: float) -> Array:
        """Return how probable it is that each ratio's loss is at most by `margin` above that of this one."""
        return (self.draws <= self.draws[:, [self.at(ratio)]] + margin).mean(axis=0)


def losses_of(images: "pd.DataFrame") -> Losses:
    """Return the losses of images with columns at (the ratio), prompt_id and loss."""
    found = tally(images, images["loss"])
    return Losses(found.places, found.sums / np.maximum(found.counts, 1), found.counts)


def posterior(
    of: Losses, can_win: NDArray[np.bool_], draws: int, seed: int, prompts: int | None = None
) -> Posterior:
    """Return the posterior of the loss over the runs in which a ratio can win.

    Args:
        of: three ratios or more.
        can_win: of each ratio; where none can, all of them do.
        prompts: as though the same means were of so many prompts, two or more; None for all that there are.
    """
    rng = np.random.default_rng(seed)
    have, can_win = of.prompts, can_win if can_win.any() else np.ones_like(can_win)
    means, rest = paired_means(of)
    runs = runs_of(means, of.images.sum(axis=0))
    free = max((have if prompts is None else prompts) - 1, 1)
    apart = len(runs) > 1 and means[_judged(of.images.sum(axis=0))].min() <= SOUND
    share, curves, tops = have / prompts if prompts else 1.0, [], []
    for part in runs:
        if not can_win[part].any():
            continue
        own = Losses(of.ratios[part], of.mean[:, part], of.images[:, part])
        seen = paired_means(own) if apart else (means[part], rest[:, part])
        curve = _curve(own.ratios, *seen, share, draws, free + POOLED, rng)
        curves.append((part, curve))
        winning = np.flatnonzero(can_win[part])
        tops.append(part.start + int(winning[curve.mean[winning].argmin()]))
    stretch = np.sqrt(free / rng.chisquare(free, draws))[:, None]
    left = np.nan_to_num(rest)
    errors = left[:, tops] * np.sqrt(share / (have * max(have - 1, 1)))
    levels = means[tops] + rng.normal(size=(draws, have)) @ errors * stretch
    return _joined(curves, tops, means, levels, left, [_reach(of, means, part) for part, _ in curves])


def _joined(curves: list, tops: list, means: Array, levels: Array, rest: Array, reaches: list) -> Posterior:
    """Return the posterior of all runs: each curve counts from its best, whose loss is its level.

    Of a draw that is its own least, wherever that lies. A draw that counted from one ratio would have the
    errors there twice: they are in the level, and in how far the curve is above its least.
    """
    found, least = [], []
    others = max(len(rest) - 1, 1)
    for number, (part, curve) in enumerate(curves):
        top = tops[number] - part.start
        mean = means[tops[number]] + curve.mean - curve.mean[top]
        lowest = curve.draws.min(axis=1)
        level = levels[:, number] + (lowest - curve.draws[:, top]).mean()
        drawn = (level - lowest)[:, None] + curve.draws
        least.append(level - lowest + curve.least)
        left = (
            curve.without - curve.without[:, [top]] + means[tops[number]] - rest[:, [tops[number]]] / others
        )
        found.append((mean, drawn, left, np.full(len(mean), number)))
    mean, drawn, left, runs = zip(*found, strict=True)
    best_run = np.argmin(least, axis=0)
    places = np.stack([curve.best for _, curve in curves], axis=1)
    return Posterior(
        ratios=np.concatenate([curve.ratios for _, curve in curves]),
        mean=np.concatenate(mean),
        draws=np.concatenate(drawn, axis=1),
        runs=np.concatenate(runs),
        reaches=reaches,
        best=places[np.arange(len(places)), best_run],
        best_run=best_run,
        without=np.concatenate(left, axis=1),
        errors=np.concatenate([curve.errors for _, curve in curves]),
    )


# -- what is seen


def paired_means(of: Losses) -> tuple[Array, Array]:
    """Return each ratio's mean loss without what prompts add to the good ratios, and what is left.

    The least squares of an additive model of prompts and ratios, by the number of images and how good a ratio
    is; where every prompt was drawn at every ratio, plain means. What is left is (prompts, ratios), NaN where
    nothing was drawn. Where no ratio is sound for most prompts, all ratios count alike: the best are so by
    luck, and what a prompt adds is that it fails there.
    """
    means, rest = _additive(of, of.images)
    judged = _judged(of.images.sum(axis=0))
    if means[judged].min() > SOUND:
        return means, rest
    for _ in range(2):
        good = np.exp(-np.maximum(means - means[judged].min(), 0) / GOOD) + REST
        means, rest = _additive(of, of.images * good)
    return means, rest


def _judged(images: Array) -> NDArray[np.int64]:
    """Return the ratios that have enough images to say how good they are."""
    return np.flatnonzero(images >= min(JUDGED, images.max()))


def _additive(of: Losses, weights: Array) -> tuple[Array, Array]:
    """Return each ratio's mean loss without what prompts add, and what is left, by these weights."""
    sums, totals = weights * of.mean, weights.sum(axis=0)
    normal = np.diag(weights.sum(axis=1)) - (weights / totals) @ weights.T
    right = sums.sum(axis=1) - (weights / totals) @ sums.sum(axis=0)
    adds = np.linalg.lstsq(normal + 1.0, right, rcond=None)[0]  # + 1.0: they add up to 0
    means = (sums - weights * adds[:, None]).sum(axis=0) / totals
    return means, np.where(of.images > 0, of.mean - adds[:, None] - means, np.nan)


def error_variances(rest: Array, ratios: Array) -> Array:
    """Return the variance of one prompt's loss at each ratio of a run: its own averaged with those about it.

    Where no prompt that was drawn fails, others may: rarely amid such ratios, often beside an edge.
    """
    if len(rest) == 1:
        return np.full(rest.shape[1], UNKNOWN_ERROR**2)
    free = np.isfinite(rest).sum(axis=0) - 1.0
    own = np.nansum(rest**2, axis=0) / np.maximum(free, 1)
    apart = np.abs(ratios[:, None] - ratios) / max(ratios[-1] - ratios[0], SAME)
    weights = np.exp(-apart / ABOUT) * (free + SAME)
    pooled = np.maximum(weights @ own / weights.sum(axis=1), LEAST_ERROR**2)
    return (own * free + pooled * POOLED) / (free + POOLED)


def error_correlation(rest: Array, ratios: Array) -> Array:
    """Return how the means at different ratios err alike, as correlations (ratios, ratios).

    Read off what is left of the prompts' losses, scaled to variance 1 at each ratio: a part that falls off
    exponentially with the distance, and each ratio's own, by least squares over all pairs.
    """
    known = np.isfinite(rest)
    filled = np.nan_to_num(rest)
    filled /= np.sqrt(np.maximum((filled**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1), SAME))
    both = known.T.astype(float) @ known
    seen = filled.T @ filled / np.maximum(both, 1)
    apart = np.abs(ratios[:, None] - ratios) / max(ratios[-1] - ratios[0], SAME)
    pairs = np.triu(both > 1, 1)
    least, best = np.inf, np.zeros_like(apart)
    for length in ALIKE_LENGTHS:
        shape = np.exp(-apart / length)
        share = np.clip((seen[pairs] @ shape[pairs]) / max((shape[pairs] ** 2).sum(), SAME), 0.0, 1.0)
        error = ((seen - share * shape)[pairs] ** 2).sum()
        if error < least:
            least, best = error, share * shape
    return np.where(np.eye(len(ratios), dtype=bool), 1.0, CORRELATED * best)


def runs_of(means: Array, images: Array) -> list[slice]:
    """Return the runs of ratios that are not far worse than the best, each with its neighbours outside.

    A ratio of few images, all of which failed, does not part a run: they may be those that fail everywhere.
    """
    span = float(np.ptp(means))
    far = min(FAR, OUT * span) if span > CLIFF else FAR
    judged = _judged(images)
    alike = (means < means.min() + far)[judged]
    near = np.interp(range(len(means)), judged, alike, left=0.0, right=0.0) == 1.0  # between two of a run
    near = np.concatenate([[False], near, [False]])
    turns = np.flatnonzero(near[1:] != near[:-1])
    last = len(means)
    found = []
    for low, high in zip(turns[::2], turns[1::2], strict=True):
        low, high = max(low - 1, 0), min(high + 1, last)
        found.append(slice(int(low), int(high)))
    return found


def _reach(of: Losses, means: Array, part: slice) -> tuple[float, float]:
    """Return the ratios between which the best of a run may lie: its own, or up to the last that was drawn.

    A few failed images beyond the last ratio judged end a run where others are sound. Where most prompts fail
    at every ratio they tell nothing: the best may lie anywhere beyond.
    """
    judged = _judged(of.images.sum(axis=0))
    low, high = part.start, part.stop - 1
    if means[judged].min() > MOST_FAIL:
        low = 0 if judged[0] >= low else low
        high = len(means) - 1 if judged[-1] <= high else high
    return float(of.ratios[low]), float(of.ratios[high])


# -- a curve


@dataclass(frozen=True)
class _Curve:
    """The posterior of one run: see `Posterior`; `least` is of each draw its loss at `best`."""

    ratios: Array
    mean: Array
    draws: Array
    best: Array
    least: Array
    without: Array
    errors: Array


def rbf(a: Array, b: Array, length: float) -> Array:
    """Return the covariances of a Gaussian process with radial basis functions at `a` and at `b`."""
    return np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2)


def _curve(
    ratios: Array, means: Array, rest: Array, share: float, draws: int, free: float, rng: np.random.Generator
) -> _Curve:
    """Return the posterior of one run, by the weights of all lengths and heights; `share` scales errors."""
    least = means.min()
    seen = least + np.minimum(means - least, CLIFF)
    points = np.unique(np.concatenate([ratios, np.linspace(ratios[0], ratios[-1], POINTS)]))
    scatter = np.sqrt(error_variances(rest, ratios))
    scale = scatter * np.sqrt(ROUGH / np.isfinite(rest).sum(axis=0) * share)
    covariance = scale[:, None] * error_correlation(rest, ratios) * scale
    kernels = list(_kernels(ratios, points, seen - seen.mean(), covariance))
    likely = np.array([kernel[0] for kernel in kernels])
    weights = np.exp(likely - likely.max())
    weights[weights < FAINT * weights.sum()] = 0.0
    weights /= weights.sum()
    matrix, found = np.zeros((len(points), len(ratios))), []
    for (_, across, factor, covariance), weight in zip(kernels, weights, strict=True):
        if weight == 0.0:
            continue
        own = scipy.linalg.cho_solve(factor, across.T).T
        matrix += weight * own
        count = round(draws * weight)
        left = covariance - own @ across.T
        root = np.linalg.cholesky(left + 1e-9 * np.eye(len(points)))
        wide = np.sqrt(free / rng.chisquare(free, count))[:, None]
        found.append(own @ (seen - seen.mean()) + rng.normal(size=(count, len(points))) @ root.T * wide)
    drawn = np.resize(rng.permutation(np.concatenate(found)), (draws, len(points)))  # counts are rounded
    drawn += seen.mean()
    at = np.searchsorted(points, ratios)
    others = max(len(rest) - 1, 1)
    without = seen - np.nan_to_num(rest) / others
    return _Curve(
        ratios=ratios,
        mean=seen.mean() + matrix[at] @ (seen - seen.mean()),
        draws=drawn[:, at],
        best=points[drawn.argmin(axis=1)],
        least=drawn.min(axis=1),
        without=seen.mean() + (without - seen.mean()) @ matrix[at].T,
        errors=scatter,
    )


def _kernels(ratios: Array, points: Array, seen: Array, errors: Array) -> Iterator[tuple]:
    """Yield (log likelihood, covariances points × ratios, factor, covariances of points), kernel by kernel.

    A constant of variance 1 stands for the curve's level.
    """
    span = ratios[-1] - ratios[0]
    for length in BEND_LENGTHS:
        shapes = [rbf(a, b, length * span) for a, b in ((ratios, ratios), (points, ratios), (points, points))]
        for height in BEND_HEIGHTS:
            here, across, there = (height**2 * shape + 1.0 for shape in shapes)
            factor = scipy.linalg.cho_factor(here + errors, lower=True)
            fit = seen @ scipy.linalg.cho_solve(factor, seen)
            yield np.log(height) - 0.5 * fit - np.log(np.diag(factor[0])).sum(), across, factor, there
