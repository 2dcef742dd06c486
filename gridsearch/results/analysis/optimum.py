"""The ratio of the least loss, how sure it is, and how more prompts would narrow its interval.

The curve over the ratios is smoothed by a Gaussian process (Rasmussen & Williams 2006, ch. 2) and the optimum
read off the smooth curve. Its doubt comes from the prompts: the best ratio depends on them far more than on
seeds, so whole prompts are drawn again with replacement (the cluster bootstrap; Davison & Hinkley 1997, ch.
3.8) and every draw gives its own optimum. A spread that few prompts show is itself unsure, and too small: the
draws are spread as Student's t is (Hesterberg 2015, "What teachers should know about the bootstrap", 4.3).

What the smoothing rests on was chosen on simulated curves (`python -m benchmarks.search`): only the ratios
around the optimum count, cliffs are cut off, and the curve bends on the scale of the window. A length scale
fitted to so few and so uneven ratios follows single prompts' edges instead: twice the error.
"""

from bisect import bisect_left
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from gridsearch.results.analysis.answer import Doubt, RatioChance, RatioInterval, Width
from gridsearch.results.analysis.window import CURVE

Array = NDArray[np.float64]

GRID = 401  # points on which the smooth curve is read
FAR = 1.0  # a ratio whose loss is so much above the least is out: every image there fails, say
NEAR = 0.2  # one that is so close may be the best with other prompts
CLIFF = 0.6  # so far above the least, more makes no difference
LENGTH = 0.3  # the curve's length scale, as a share of the ratios that are left
NOISE = 0.2  # of a ratio's mean, as a share of the curve's own spread; more where it has fewer images
FEWEST_RATIOS = 4  # ratios, so that there is a curve
# The floor of a healthy window is flat and a smooth curve ripples on it; whatever lies within this share
# of the curve's height above its minimum counts as the same floor, and its middle is the optimum.
FLOOR = 0.02
PROMPTS_LIMIT = 10**15  # the most that are ever asked for
RELIABLE_PROMPTS = 8  # the bootstrap over fewer covers less than it says
NOT_SEARCHED = Doubt(None, None, "no ratio was searched")


def doubt(images: pd.DataFrame, level: float, resamples: int, seed: int) -> Doubt:
    """Return how sure the best ratio is, of images with columns at (the ratio), prompt_id and loss."""
    losses = _losses(images)
    if losses is None:
        return Doubt(None, None, "there is no curve yet, with fewer than three ratios")
    ratios, sums, counts = losses
    centre, draws = optimum(ratios, sums, counts, resamples, seed)
    prompts = len(sums)
    if prompts == 1:
        return Doubt(centre, None, "with only one prompt, this is a guess")
    low, high = interval(ratios, centre, draws, level)
    few = prompts < RELIABLE_PROMPTS
    note = f"with only {prompts} prompts, the true uncertainty is larger than this interval" if few else ""
    found = RatioInterval(round(low, 6), round(high, 6), level, prompts, resamples)
    return Doubt(centre, found, note, chances(ratios, draws))


def with_narrowing(
    found: Doubt, images: pd.DataFrame, wanted: float | None, level: float, resamples: int, seed: int
) -> Doubt:
    """Add how the interval narrows with more prompts, and how many would make it `wanted` wide.

    Where that is None, it is half of the present width, or as narrow as the ratios allow.
    """
    losses = _losses(images) if found.chances else None
    if losses is None or found.smoothed is None or found.interval is None:
        return found
    steps = narrowing(*losses, resamples, seed, level)
    width, have = steps[-1][1], found.interval.prompts
    finest = round(gap_at(losses[0], found.smoothed), 10)
    wanted = max(width / 2, finest) if wanted is None else wanted
    needed = None
    if width <= wanted:
        needed = have
    elif wanted >= finest:
        needed = max(have, prompts_for(wanted, width, have, level))
    return replace(
        found,
        narrowing=tuple(Width(int(prompts), float(wide)) for prompts, wide in steps),
        wanted_width=float(wanted),
        prompts_needed=needed,
        finest=finest,
    )


def _losses(images: pd.DataFrame) -> tuple[Array, Array, Array] | None:
    """Return ratios, and by prompt and ratio the sum of losses and their count, 0 where nothing was drawn."""
    table = images.assign(one=1.0).pivot_table(
        index="prompt_id", columns="at", values=["loss", "one"], aggfunc="sum", fill_value=0
    )
    if table.empty or table["loss"].shape[1] < CURVE:
        return None
    ratios = table["loss"].columns.to_numpy(dtype=float)
    return ratios, table["loss"].to_numpy(dtype=float), table["one"].to_numpy(dtype=float)


# -- the optimum


def optimum(
    ratios: Array, sums: Array, counts: Array, resamples: int, seed: int, prompts: int | None = None
) -> tuple[float, Array]:
    """Return the smoothed optimum, and one optimum per resample of the prompts.

    There are no draws where there is no curve, or one prompt only: its optimum is a guess.

    Args:
        ratios: the rendered ratios, three or more, ascending.
        sums: prompts × ratios, the loss summed over a prompt's seeds.
        counts: prompts × ratios, how many images each sum holds: 0 where a trial was stopped before. The
            prompts that it lacks are taken to be like those that it has.
        prompts: draw as though there were only so many of these prompts, two or more; None for all.
    """
    mean = sums.sum(axis=0) / counts.sum(axis=0)
    if np.ptp(mean) == 0:  # no curve at all: every ratio is as good as the next
        return float((ratios[0] + ratios[-1]) / 2), np.empty(0)
    part = surroundings(mean)
    points, matrix = _smoothing(ratios[part], counts[:, part].sum(axis=0))

    def optima(means: Array) -> Array:
        """Return the optimum of each draw (draws × ratios)."""
        cut_off = np.minimum(means - means.min(axis=1, keepdims=True), CLIFF)
        centres = cut_off.mean(axis=1, keepdims=True)
        return lowest(points, centres + (cut_off - centres) @ matrix.T)

    centre = float(optima(mean[None, part])[0])
    have = len(sums)
    prompts = have if prompts is None else prompts
    if have == 1:
        return centre, np.empty(0)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(prompts, np.full(have, 1 / have), size=resamples)
    images = weights @ counts[:, part]
    draws = optima(np.where(images > 0, (weights @ sums[:, part]) / np.maximum(images, 1), mean[part]))
    # normal deviations, times this, have the spread of Student's t with prompts - 1 degrees of freedom: so
    # few would not know their spread better. The first factor undoes the bootstrap's, which is too small.
    stretch = np.sqrt(have / (have - 1) * (prompts - 1) / rng.chisquare(prompts - 1, size=resamples))
    return centre, np.clip(centre + (draws - centre) * stretch, ratios[0], ratios[-1])


def _smoothing(ratios: Array, images: Array) -> tuple[Array, Array]:
    """Return the points of the smooth curve, and the matrix (points × ratios) from values to the curve.

    The values are about their mean. The curve is the posterior mean of RBF + white noise (Rasmussen &
    Williams, eq. 2.23), and less sure of a ratio with few `images`.
    """
    points = np.linspace(ratios[0], ratios[-1], GRID)
    length = LENGTH * (ratios[-1] - ratios[0])
    covariance = rbf(ratios, ratios, length) + np.diag(NOISE**2 * images.max() / images)
    factor = scipy.linalg.cho_factor(covariance)
    return points, scipy.linalg.cho_solve(factor, rbf(ratios, points, length)).T


def rbf(a: Array, b: Array, length: float) -> Array:
    """Return the covariances of a Gaussian process with radial basis functions at `a` and at `b`."""
    return np.exp(-0.5 * ((a[:, None] - b[None, :]) / length) ** 2)


def surroundings(mean: Array) -> slice:
    """Return the ratios that the optimum is read from, by the mean loss at each: out to what is far worse."""
    above = mean - mean.min()
    near = np.flatnonzero(above < NEAR)
    far = np.flatnonzero(above >= FAR)
    low = far[far < near[0]].max(initial=0)
    high = far[far > near[-1]].min(initial=len(mean) - 1)
    while high - low + 1 < min(FEWEST_RATIOS, len(mean)):
        low, high = max(low - 1, 0), min(high + 1, len(mean) - 1)
    return slice(int(low), int(high) + 1)


def lowest(points: Array, curves: Array) -> Array:
    """Return the middle of the floor around the minimum of each curve (draws × points)."""
    at = curves.argmin(axis=1)[:, None]
    least = np.take_along_axis(curves, at, axis=1)
    above = curves > least + FLOOR * np.ptp(curves, axis=1, keepdims=True)
    index = np.arange(len(points))
    left = np.where(above & (index < at), index, -1).max(axis=1) + 1
    right = np.where(above & (index > at), index, len(points)).min(axis=1) - 1
    return (points[left] + points[right]) / 2


# -- its doubt


def interval(ratios: Array, centre: float, draws: Array, level: float) -> tuple[float, float]:
    """Return the percentile interval of the draws, never narrower than the search can see.

    Between two neighbouring ratios nothing was rendered, so the interval reaches at least half that gap
    to either side of the optimum. Without draws it is the whole range.
    """
    half_gap = gap_at(ratios, centre) / 2
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (ratios[0], ratios[-1])
    low, high = min(low, centre - half_gap), max(high, centre + half_gap)
    return float(max(low, ratios[0])), float(min(high, ratios[-1]))


def gap_at(ratios: Array, centre: float) -> float:
    """Return the distance between the two ratios about `centre`, where nothing was rendered."""
    after = int(np.clip(np.searchsorted(ratios, centre), 1, len(ratios) - 1))
    return float(ratios[after] - ratios[after - 1])


def chances(ratios: Array, draws: Array) -> tuple[RatioChance, ...]:
    """Return the share of draws whose optimum is nearest to each rendered ratio; nothing without draws."""
    if not len(draws):
        return ()
    nearest = np.searchsorted((ratios[:-1] + ratios[1:]) / 2, draws)
    shares = np.bincount(nearest, minlength=len(ratios)) / len(draws)
    return tuple(RatioChance(float(at), float(share)) for at, share in zip(ratios, shares, strict=True))


def narrowing(
    ratios: Array, sums: Array, counts: Array, resamples: int, seed: int, level: float
) -> list[tuple[int, float]]:
    """Return (prompts, width): the width of the interval with 2, 4, 8, ... of these prompts, and with all."""
    have = len(sums)
    found = []
    for prompts in sorted({2**i for i in range(1, have.bit_length())} | {have}):
        centre, draws = optimum(ratios, sums, counts, resamples, seed, prompts)
        low, high = interval(ratios, centre, draws, level)
        found.append((prompts, high - low))
    return found


def prompts_for(wanted: float, width: float, have: int, level: float) -> int:
    """Return how many prompts would make an interval `wanted` wide that is `width` wide with `have` of them.

    By the law width = c t / √prompts, where t is Student's quantile with prompts - 1 degrees of freedom.
    """

    def width_of(prompts: int) -> float:
        """Return t / √prompts: half the width of a mean's interval, in deviations of one prompt."""
        return float(scipy.stats.t.ppf((1 + level) / 2, prompts - 1) / np.sqrt(prompts))

    limit = wanted / width * width_of(have) * (1 + 1e-9)
    return 2 + bisect_left(range(2, PROMPTS_LIMIT), True, key=lambda count: width_of(count) <= limit)
