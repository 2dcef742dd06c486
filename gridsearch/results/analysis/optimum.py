"""The best ratio of a curve: which one to take, how sure that is, what is as good, and what more would tell.

Everything is read off the posterior of the loss (`gridsearch.results.analysis.posterior`).
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from gridsearch.results.analysis.answer import (
    BestPlace,
    Doubt,
    Elsewhere,
    Plateau,
    RatioChance,
    RatioInterval,
    Width,
)
from gridsearch.results.analysis.posterior import (
    POOLED,
    SAME,
    Array,
    Losses,
    Posterior,
    losses_of,
    posterior,
)
from gridsearch.results.analysis.ranking import AS_GOOD, POWER
from gridsearch.results.analysis.window import CURVE, Window, run_around, share_interval, surely

# Of a loss, where a failed image counts 1 to 2: a difference that does not matter. One failed image in twenty
# makes as much.
MARGIN = 0.05
SURELY = 0.9  # how probable it must be that one with more sound images is as good, for it to be taken instead
PROMPTS_LIMIT = 10**15  # the most that are ever asked for
RELIABLE_PROMPTS = 8  # fewer know the scatter of prompts too little
MOST_RATIOS = 400  # of a curve: of more, the nearest to each of so many even places are read as one
NOT_SEARCHED = Doubt(None, None, "no ratio was searched")
NO_CURVE = Doubt(None, None, "there is no curve yet, with fewer than three ratios")


@dataclass(frozen=True)
class Curve:
    """The trials of a curve that can be taken, and the posterior of the loss along it.

    Attributes:
        trials: a row per trial that can be taken, with `at`, its ratio, `survived`, `seen`, the mean loss of
            its images, and `loss`, the expected one.
        found: None where there is no curve.
        losses: what was seen.
        survive: of each ratio of the losses, whether enough of its images so far do.
        can_win: of each ratio of the losses, whether it may be the best for all prompts.
        ends: the least and the greatest ratio that are searched.
    """

    trials: pd.DataFrame
    found: Posterior | None
    losses: Losses
    survive: NDArray[np.bool_]
    can_win: NDArray[np.bool_]
    ends: tuple[float, float]


@dataclass(frozen=True)
class Sureness:
    """The confidence `level` of what is said of a posterior, and the number of draws from it."""

    level: float
    resamples: int
    seed: int


def curve_of(
    trials: pd.DataFrame,
    images: pd.DataFrame,
    share: float,
    how: Sureness,
    ends: tuple[float, float] | None = None,
) -> Curve:
    """Return the curve of whole trials and of all images along it, with at, prompt_id, verdict and loss.

    `ends` are the least and the greatest ratio that are searched; None for those of the images.

    Where some trials survive, only they can be taken; the best for all prompts may be any that does not
    surely keep less than `share` of its images.
    """
    alive = trials[trials["survived"] >= share]
    whole, trials = trials, alive if len(alive) else trials
    trials = trials.assign(seen=trials["trial"].map(images.groupby("trial")["loss"].mean()))
    spaced = _spacing(images["at"])
    images = images.assign(at=spaced(images["at"]))
    losses = losses_of(images)
    ends = ends or (float(losses.ratios[0]), float(losses.ratios[-1]))
    survive = (images["verdict"] == "ok").groupby(images["at"]).mean().to_numpy() >= share
    can_win = np.isin(losses.ratios, spaced(whole["at"])) & ~surely(images, share)[1]
    can_win = can_win | np.isin(losses.ratios, spaced(trials["at"]))
    if len(losses.ratios) < CURVE:
        return Curve(trials.assign(loss=trials["seen"]), None, losses, survive, can_win, ends)
    found = posterior(losses, can_win, how.resamples, how.seed)
    at = [found.at(ratio) for ratio in trials["at"]]
    return Curve(trials.assign(loss=found.mean[at]), found, losses, survive, can_win, ends)


def _spacing(ratios: pd.Series) -> Callable[[pd.Series], Array]:
    """Return a function that moves ratios to the nearest of MOST_RATIOS places, where there are more."""
    if ratios.nunique() <= MOST_RATIOS:
        return lambda at: at.to_numpy(dtype=float)
    places = np.linspace(ratios.min(), ratios.max(), MOST_RATIOS)
    return lambda at: places[np.rint(np.interp(at, places, range(MOST_RATIOS))).astype(int)]


# -- which to take


def recommended(of: Curve, level: float) -> tuple[pd.Series, tuple[int, ...]]:
    """Return the trial to take, and the others as good: by AS_GOOD not worse than the best by MARGIN.

    Taken is the best, or what has more sound images and is as good by SURELY; the middle one of equal ones,
    or of all where all that survive are as good. The others have no more sound images than that one.
    """
    trials = of.trials
    best = trials.loc[trials["loss"].idxmin()]
    no_worse = _no_worse(of, best)
    sure = trials[no_worse >= SURELY]
    sound = sure[sure["survived"] >= sure["survived"].max() - SAME]
    if of.found is None or not is_flat(of, level):
        sound = _alike(trials, sound)
    middle = (sound["at"].iloc[0] + sound["at"].iloc[-1]) / 2
    taken = sound.loc[(sound["at"] - middle).abs().round(10).idxmin()]
    as_good = (no_worse >= AS_GOOD) & (trials["survived"] <= taken["survived"] + SAME)
    return taken, tuple(int(one) for one in trials.loc[as_good, "trial"] if one != taken["trial"])


def _no_worse(of: Curve, best: pd.Series) -> pd.Series:
    """Return how probable it is of each trial that it is not worse than the best by MARGIN."""
    alike = ((of.trials["seen"] - best["seen"]).abs() <= SAME).astype(float)
    if of.found is None or of.losses.prompts == 1:  # nothing is known of other prompts
        return alike
    drawn = of.found.no_worse(best["at"], MARGIN)[[of.found.at(ratio) for ratio in of.trials["at"]]]
    return alike.clip(lower=drawn)


def _alike(trials: pd.DataFrame, some: pd.DataFrame) -> pd.DataFrame:
    """Return the run of trials that have equal losses, around the one of some that is expected to be best."""
    first = some.loc[some["loss"].idxmin()]
    alike = ((trials["seen"] - first["seen"]).abs() <= SAME) & trials["trial"].isin(some["trial"])
    low, high = run_around(alike.to_numpy(), trials.index.get_loc(first.name))
    return trials.iloc[low : high + 1]


def is_flat(of: Curve, level: float) -> bool:
    """Return whether all ratios that survive are surely as good as any ratio drawn, to MARGIN.

    What is seen of them differs by twice as much at most: where prompts scatter so that nothing can be told,
    that is no evidence of equality. One or two that survive by luck are equal, but others may be better. A
    ratio that was stopped as worse while it survived counts too.
    """
    assert of.found is not None
    alive = of.losses.ratios[of.survive]
    out = ~np.isin(alive, of.found.ratios)
    if of.losses.prompts == 1 or np.ptp(of.trials["seen"]) > 2 * MARGIN or out.any():
        return False
    drawn = of.found.draws[:, [of.found.at(ratio) for ratio in (*of.trials["at"], *alive)]]
    return float((drawn.max(axis=1) - of.found.draws.min(axis=1) <= MARGIN).mean()) >= level


# -- how sure that is


def doubt(of: Curve, taken: float, how: Sureness, window: Window | None = None) -> Doubt:
    """Return how sure the best ratio is; the interval holds the one that is taken, within its window."""
    found, prompts = of.found, of.losses.prompts
    if found is None:
        return NO_CURVE
    smoothed = float(found.ratios[found.mean.argmin()])
    if prompts == 1:
        return Doubt(smoothed, None, "with only one prompt, this is a guess")
    places = _cut(places_of(found, of.losses.ratios, of.ends, taken, how.level), window, of.losses.ratios)
    low, high = min(place.low for place in places), max(place.high for place in places)
    few = prompts < RELIABLE_PROMPTS
    note = "so few prompts make this rough" if few else ""
    interval = RatioInterval(low, high, how.level, prompts, how.resamples)
    likely = chances(of) if prompts > 2 else ()  # two differ by one degree of freedom, which is no scatter
    return Doubt(smoothed, interval, note, places=places, chances=likely)


def places_of(
    found: Posterior, ratios: Array, ends: tuple[float, float], taken: float, level: float
) -> tuple[BestPlace, ...]:
    """Return in which runs the best lies and where in each, together with probability `level` or more.

    Between two neighbouring ratios nothing was drawn, so a place reaches half that gap to either side of its
    middle. One that reaches an end of its run goes on as far as the run may, and from the last ratio drawn to
    the end of what is searched: nothing tells what lies beyond. The ratio that is taken lies in one of them.
    """
    tail = (1 - level) / 2
    shares = np.bincount(found.best_run, minlength=found.runs.max() + 1) / len(found.best_run)
    here = found.runs[found.at(taken)]
    places = []
    for run, chance in enumerate(shares):
        if chance <= tail and run != here:
            continue
        own = found.best[found.best_run == run]
        low, high = np.quantile(own, [tail, 1 - tail]) if len(own) else (taken, taken)
        middle = float(np.median(own)) if len(own) else taken
        half = gap_at(ratios, middle) / 2
        low, high = min(low, middle - half), max(high, middle + half)
        if run == here:
            low, high = min(low, taken), max(high, taken)
        own, reach = found.ratios[found.runs == run], found.reaches[run]
        low = low if low > own[0] + SAME else min(low, reach[0])
        high = high if high < own[-1] - SAME else max(high, reach[1])
        low = low if low > ratios[0] + SAME else min(ends[0], ratios[0])
        high = high if high < ratios[-1] - SAME else max(ends[1], ratios[-1])
        places.append(BestPlace(round(float(low), 6), round(float(high), 6), float(chance)))
    return tuple(places)


def _cut(places: tuple[BestPlace, ...], window: Window | None, ratios: Array) -> tuple[BestPlace, ...]:
    """Return the places, of which the one about the recommended ratio ends where all prompts surely fail.

    Whatever the curve leaves open there, no ratio beyond is the best. Where these prompts' own window ends is
    no such place: it may be one of luck, a ratio or two wide. Nor is the last ratio drawn.
    """
    if window is None or window.low.least == window.high.most:
        return places
    low = window.low.least if window.low.least > ratios[0] + SAME else -np.inf
    high = window.high.most if window.high.most < ratios[-1] - SAME else np.inf
    own = [one for one in places if one.low < high and one.high > low]
    return tuple(
        replace(one, low=max(one.low, low), high=min(one.high, high)) if one in own else one for one in places
    )


def gap_at(ratios: Array, centre: float) -> float:
    """Return the distance between the two ratios about `centre`, where nothing was rendered."""
    after = int(np.clip(np.searchsorted(ratios, centre), 1, len(ratios) - 1))
    return float(ratios[after] - ratios[after - 1])


def chances(of: Curve) -> tuple[RatioChance, ...]:
    """Return of every ratio that can be taken the probability that none is better by more than MARGIN.

    Not that of being *the* best: where ratios differ by less than can be told, or by nothing, that is luck's.
    What these prompts do not survive cannot be taken, but may be better for all prompts; so may what was
    stopped. Without these, a chance says far too much where hardly any prompt is sound.
    """
    assert of.found is not None
    own = np.unique([of.found.at(ratio) for ratio in of.trials["at"]])
    least = of.found.draws.min(axis=1, keepdims=True)
    shares = (of.found.draws[:, own] <= least + MARGIN).mean(axis=0)
    known = dict(zip(of.found.ratios[own].round(10).tolist(), shares.tolist(), strict=True))
    return tuple(RatioChance(float(at), known.get(round(at, 10), 0.0)) for at in of.losses.ratios.tolist())


def plateau(of: Curve, taken: float, level: float) -> Plateau | None:
    """Return the ratios about the one taken which surely differ by at most MARGIN; None for no other."""
    found = of.found
    if found is None or of.losses.prompts == 1:
        return None
    at = found.at(taken)
    own = np.flatnonzero(found.runs == found.runs[at])
    low = high = at
    most = least = found.draws[:, at]
    grown = True
    while grown:
        grown = False
        for end in (low - 1, high + 1):
            if not own[0] <= end <= own[-1]:
                continue
            top, bottom = np.maximum(most, found.draws[:, end]), np.minimum(least, found.draws[:, end])
            if (top - bottom <= MARGIN).mean() >= level:
                low, high, most, least, grown = min(low, end), max(high, end), top, bottom, True
    if low == high:
        return None
    reach = scipy.stats.norm.ppf((1 + level) / 2) + scipy.stats.norm.ppf(POWER)
    error = float(np.sqrt((found.errors[low : high + 1] ** 2).mean()))
    needed = int(np.ceil(2 * (reach * error / MARGIN) ** 2))
    ends = float(found.ratios[low]), float(found.ratios[high])
    more = max(needed - of.losses.prompts, 0)
    return Plateau(*ends, MARGIN, level, is_flat(of, level), more)


# -- other prompts


def elsewhere(of: Curve, images: pd.DataFrame, level: float) -> Elsewhere | None:
    """Return what to expect of the recommended ratio on other prompts; None for one prompt or no curve.

    The figures of a winner are those of having been chosen. So each prompt is left out in turn, the best is
    chosen by the others, and counted is what this prompt has there (cross-validation of the whole choice:
    Varma & Simon 2006).
    """
    found = of.found
    if found is None or of.losses.prompts == 1:
        return None
    own = [found.at(ratio) for ratio in of.trials["at"]]
    chosen = of.trials["trial"].to_numpy()[found.without[:, own].argmin(axis=1)]
    prompts = sorted(images["prompt_id"].unique())
    there = images.assign(sound=images["verdict"] == "ok").groupby(["prompt_id", "trial"])
    figures = there[["sound", "loss"]].mean().loc[list(zip(prompts, chosen, strict=True))]
    low, high = share_interval(figures["sound"].to_numpy(), level)
    return Elsewhere(float(figures["sound"].mean()), low, high, float(figures["loss"].mean()), level)


# -- more prompts


def with_narrowing(
    found: Doubt, of: Curve, wanted: float | None, how: Sureness, window: Window | None = None
) -> Doubt:
    """Add how the interval narrows with more prompts, and how many would make it `wanted` wide.

    Where that is None, it is half of the present width, or as narrow as the ratios allow.
    """
    if found.smoothed is None or found.interval is None:
        return found
    steps = narrowing(of, found.smoothed, how, window)
    width, have = steps[-1][1], found.interval.prompts
    finest = round(gap_at(of.losses.ratios, found.smoothed), 10)
    wanted = max(width / 2, finest) if wanted is None else wanted
    needed = None
    if width <= wanted:
        needed = have
    elif wanted >= finest:
        needed = max(have, prompts_for(wanted, width, have, how.level))
    return replace(
        found,
        narrowing=tuple(Width(int(prompts), float(wide)) for prompts, wide in steps),
        wanted_width=float(wanted),
        prompts_needed=needed,
        finest=finest,
    )


def narrowing(
    of: Curve, smoothed: float, how: Sureness, window: Window | None = None
) -> list[tuple[int, float]]:
    """Return (prompts, width): how wide the interval were with 2, 4, 8, ... such prompts, and with all.

    Of several parts, together.
    """
    have, steps = of.losses.prompts, []
    for prompts in sorted({2**i for i in range(1, have.bit_length())} | {have}):
        found = posterior(of.losses, of.can_win, how.resamples, how.seed, prompts)
        places = _cut(
            places_of(found, of.losses.ratios, of.ends, smoothed, how.level), window, of.losses.ratios
        )
        steps.append((prompts, sum(one.high - one.low for one in places)))
    return steps


def prompts_for(wanted: float, width: float, have: int, level: float) -> int:
    """Return how many prompts would make an interval `wanted` wide that is `width` wide with `have` of them.

    By the law width = c t / √prompts, where t is Student's quantile with the degrees of freedom of a curve.
    """

    def width_of(prompts: int) -> float:
        """Return t / √prompts: half the width of a mean's interval, in deviations of one prompt."""
        return float(scipy.stats.t.ppf((1 + level) / 2, prompts - 1 + POOLED) / np.sqrt(prompts))

    limit = wanted / width * width_of(have) * (1 + 1e-9)
    return 2 + bisect_left(range(2, PROMPTS_LIMIT), True, key=lambda count: width_of(count) <= limit)
