"""The plan of the ratios to try next: the window of what survives, and the best in it, with few trials.

A pure plan: what was seen goes in, ratios come out, the most useful first. Along a ratio there is, in the
main, under-cooked, then sound, then over-cooked, with sharp edges between; the dial says on which side a
ratio lies that does not survive. So:

1. coarse: both ends, the thirds, then every tenth of the range, from the middle outwards;
2. search: where nothing survives, halve the gaps in which the dial turns from under- to over-cooked or,
   with the models in the other order, back;
3. edges: part the gaps between what survives and what does not, down to the resolution; about a wide
   window down to two fine steps;
4. refine: part the gaps about the best in the window, as far as that pays, then draw to its end what was
   stopped at an edge, lies next to the best, and may be as good.

In the first look a ratio gets a single image, and others only if that is sound. Where an edge would rest on
one that was not, the ratio is looked at again.

A second window has its edges too, and is refined where it is about as good. What may hide it is looked for
by glances (`gridsearch.search.samplers.glance`), which take an image each.

Every stage is worked out anew from all that is known, so it does not matter who found it, in which order,
or at which ratios.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, zip_longest

import numpy as np

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.axis import RatioAxis, coarse_left, halvings, nearest_value

RIVAL = 0.2  # a second run of survivors is refined where it keeps at most so much less than the first
RUNS = 3  # so many runs of survivors have their edges found: more are the luck of a few prompts
# Refinement. The best differs from prompt to prompt, and is read off a smooth curve: more trials tell little.
FINEST = 0.28  # of the window's width: the spacing at the best, with as many cases as usual or fewer
USUAL_CASES = 16  # of a trial; with more, the spacing shrinks by the root of their number, as what is unsure
MOST_APART = 0.05  # of the range: wider is that spacing in no window, but one so wide that it is under
LEAST_APART = 1 / 13  # of the window's width: where all is sound, the first look is fine enough
COARSER = 1.5  # times as wide is that spacing where it comes to two fine steps at most
WIDE = 6  # steps: the edges of so wide a window are found to two fine steps, as halving these tells little
GROWTH = 4.0  # further off, gaps may be so many times as wide as their distance from the best
PARTED = 1.8  # times as wide as it should be is a gap that is parted: 1 would part nearly all twice
LEAST_PART = 0.25  # of the gap at an edge: it is parted where the shares that survive cross, but not nearer
LEAST_ASIDE = 0.35  # of another gap: it is parted where the best is said to be, but not nearer to its ends
# By less, in failed images, is a prompt worse than at the best where that may be luck, times the root of the
# number of prompts: of trials as good it is 0.6 to 0.8 off (rms, in seven simulated worlds).
CONTENDS = 1.5
SMOOTH = 0.25  # of the window's width: the length scale of the curve along which the best is read


@dataclass(frozen=True)
class Seen:
    """A ratio that was tried, or is being tried; NaN stands for a value that there is not."""

    ratio: float
    survived: float = math.nan  # the share of its images that are sound; NaN while it runs, and if it failed
    dial: float = math.nan  # below 0 under-cooked, above 0 over-cooked; only its sign counts
    loss: float = math.nan  # the mean of its images' losses; NaN where `survived` is
    partial: bool = False  # it was stopped early, so that these are of some of its images only
    glanced: bool = False  # it was stopped after its first images: little more than a guess
    prompts: int = 0  # of which it has images
    losses: Mapping[int, float] = field(default_factory=dict, hash=False)  # of its images, by their step
    edge: bool = False  # it was stopped as soon as it told on which side of an edge it lies


def finest_of(cases: int) -> float:
    """Return the spacing at the best that pays with so many cases, in window widths."""
    return FINEST * min(1.0, math.sqrt(USUAL_CASES / cases))


def next_ratios(seen: Iterable[Seen], axis: RatioAxis, finest: float = FINEST) -> list[float]:
    """Return the ratios worth trying now, the most useful first; empty where nothing useful is left.

    With several workers each takes the first that is left: to whatever runs now, the list holds what can be
    done meanwhile.
    """
    return list(dict.fromkeys(_stages(tuple(seen), axis, finest)))


def next_ratio(seen: Iterable[Seen], axis: RatioAxis, finest: float = FINEST) -> float | None:
    """Return the first of `next_ratios`, at less cost; None where nothing useful is left."""
    return next(_stages(tuple(seen), axis, finest), None)


def ratios_at_turn(seen: Iterable[Seen], axis: RatioAxis) -> list[float]:
    """Return what halves the gap in which the dial turns; empty where it does not, or that gap is one step.

    A window lies where the dial turns, however narrow it is: the least that must be known of a curve.
    """
    seen = tuple(seen)
    turns = turns_in(known_of(seen))
    return list(_next_in(*turns[0], [one.ratio for one in seen], axis)) if turns else []


def best_seen(seen: Iterable[Seen]) -> Seen | None:
    """Return the one with most survivors, then least loss; one stopped early only where there is no other."""
    return min((one for one in seen if not math.isnan(one.survived)), key=_rank, default=None)


def _rank(one: Seen) -> tuple[bool, float, float]:
    return one.partial, -one.survived, one.loss


def widest_gaps(seen: Iterable[Seen], axis: RatioAxis) -> list[float]:
    """Return the rest of the axis, the middle of its widest gap first."""
    taken = [one.ratio for one in seen]
    return list(halvings(axis.values[0] - axis.step, axis.values[-1] + axis.step, taken, axis))


def _stages(seen: Sequence[Seen], axis: RatioAxis, finest: float) -> Iterator[float]:
    taken = [one.ratio for one in seen]
    yield from coarse_left(taken, axis)
    known = known_of(seen)
    at_work = {one.ratio for one in seen if math.isnan(one.survived)}
    unsure = {one.ratio for one in known if one.glanced} - at_work
    runs = _runs(known)
    holes = [known[high] for (_, high), (low, _) in pairwise(runs) if low - high == 1]
    yield from (one.ratio for one in holes if one.ratio in unsure)
    runs.sort(key=lambda run: min(map(_rank, known[slice(*run)])))
    for run in runs[:RUNS]:
        yield from _edges(known, run, taken, axis, unsure)
    if not runs:  # where the dial turns; where it says nothing, on both sides of the least loss
        turns = turns_in(known)
        for low, high in turns:
            yield from halvings(low, high, taken, axis)
        yield from (ratio for gap in turns for ratio in gap if ratio in unsure)
        if known and not turns:
            at = known.index(min(known, key=_rank))
            yield from _edges(known, (at, at + 1), taken, axis, unsure)
    most = max((one.survived for one in known), default=0.0)
    rivals = [known[slice(*run)] for run in runs[:RUNS]]
    rivals = [run for run in rivals if max(one.survived for one in run) >= most - RIVAL]
    for own in rivals:
        yield from _refine(own, taken, axis, finest)
    for own in rivals:
        yield from (one.ratio for one in _contenders(own, best_seen(known)) if one.ratio not in at_work)


def known_of(seen: Iterable[Seen]) -> list[Seen]:
    """Return those with values, ascending; of several at one ratio, the one that was drawn furthest."""
    found: dict[float, Seen] = {}
    for one in sorted(seen, key=lambda one: (round(one.ratio, 9), one.partial, one.glanced, one.edge)):
        if not math.isnan(one.survived):
            found.setdefault(round(one.ratio, 9), one)
    return list(found.values())


def keeps_half(one: Seen) -> bool:
    """Return whether it survives."""
    return one.survived >= SURVIVES


def at_edge(seen: Iterable[Seen], ratio: float) -> bool:
    """Return whether of the known neighbours of a ratio one survives and the other does not."""
    known = [one for one in known_of(seen) if round(one.ratio - ratio, 9) != 0]
    at = bisect_left(known, ratio, key=lambda one: one.ratio)
    return 0 < at < len(known) and keeps_half(known[at - 1]) != keeps_half(known[at])


def _runs(known: Sequence[Seen]) -> list[tuple[int, int]]:
    """Return the runs of neighbours that survive: (first, one past the last)."""
    alive = [False, *map(keeps_half, known), False]
    turns = [i for i, (a, b) in enumerate(pairwise(alive)) if a != b]
    return list(zip(turns[::2], turns[1::2], strict=True))


def _next_in(low: float, high: float, taken: Sequence[float], axis: RatioAxis) -> Iterator[float]:
    """Yield what to try between two known ratios: the middle; while that runs, the quarters, and so on.

    A failed ratio has no values and parts the gap like a running one.
    """
    inside = [ratio for ratio in taken if low < ratio < high]
    # each ratio at work settles one halving: the points of the next level are worth a guess
    yield from islice(halvings(low, high, inside, axis), 1 + len(inside))


def turns_in(known: Sequence[Seen], dead: bool = False) -> list[tuple[float, float]]:
    """Return the gaps in which the dial turns, either way, that of the least loss first.

    Of all, or of those between neighbours that do not survive.
    """
    dialled = [one for one in known if math.isfinite(one.dial)]
    turns = [(a, b) for a, b in pairwise(dialled) if (a.dial < 0) != (b.dial < 0)]
    turns = [(a, b) for a, b in turns if not dead or max(a.survived, b.survived) < SURVIVES]
    return [(a.ratio, b.ratio) for a, b in sorted(turns, key=lambda gap: gap[0].loss + gap[1].loss)]


def _edges(
    known: Sequence[Seen],
    run: tuple[int, int],
    taken: Sequence[float],
    axis: RatioAxis,
    unsure: Collection[float],
) -> Iterator[float]:
    """Yield ratios in the gaps on both sides of a run, the wider gap first."""
    pairs = [(known[i - 1], known[i]) for i in run if 0 < i < len(known)]
    gaps = sorted(pairs, key=lambda gap: gap[0].ratio - gap[1].ratio)
    enough = 1.01 * _edge_step(known[run[1] - 1].ratio - known[run[0]].ratio, axis)
    in_turn = zip_longest(*(_next_at_edge(*gap, taken, axis, unsure, enough) for gap in gaps))
    yield from (ratio for ratios in in_turn for ratio in ratios if ratio is not None)


def _edge_step(width: float, axis: RatioAxis) -> float:
    """Return how closely the edges of a window of this width are found."""
    return axis.near if width >= (WIDE - 0.01) * axis.step else axis.step


def _next_at_edge(
    a: Seen, b: Seen, taken: Sequence[float], axis: RatioAxis, unsure: Collection[float], enough: float
) -> Iterator[float]:
    """Yield what to try between two neighbours: where the shares that survive cross on a straight line.

    Once they are near `enough`, or there is nothing between, the one that was only glanced at.
    """
    free, edge = axis.free(a.ratio, b.ratio, ()), keeps_half(a) != keeps_half(b)
    if not free or (edge and b.ratio - a.ratio <= enough):
        yield from (one.ratio for one in (a, b) if one.ratio in unsure)
    elif not edge or any(a.ratio < ratio < b.ratio for ratio in taken):
        yield from _next_in(a.ratio, b.ratio, taken, axis)
    else:
        part = (a.survived - SURVIVES) / (a.survived - b.survived)
        part = 0.5 if a.glanced or b.glanced else part  # a single image is no share
        part = min(max(part, LEAST_PART), 1 - LEAST_PART)
        yield nearest_value(a.ratio + part * (b.ratio - a.ratio), free)


def _refine(run: Sequence[Seen], taken: Sequence[float], axis: RatioAxis, finest: float) -> Iterator[float]:
    """Yield ratios in gaps inside a run that are wide for their distance from the best, the widest first."""
    low, high = run[0].ratio, run[-1].ratio
    best = smoothed_best(run, high - low)
    span, width = axis.values[-1] - axis.values[0], high - low
    finest = max(min(finest * width, MOST_APART * span), LEAST_APART * width)
    finest = max(axis.step, finest, min(COARSER * finest, _edge_step(width, axis)))
    wanted = []
    for a, b in pairwise(sorted({low, high, *(ratio for ratio in taken if low < ratio < high)})):
        excess = (b - a) / max(finest, GROWTH * max(a - best, best - b, 0.0))
        if excess > PARTED:
            wanted.append((excess, a, b))
    for _, a, b in sorted(wanted, reverse=True):
        if free := axis.free(a, b, taken):
            aside = LEAST_ASIDE * (b - a)
            yield nearest_value(min(max(best, a + aside), b - aside), free)


def _contenders(run: Sequence[Seen], best: Seen | None) -> Iterator[Seen]:
    """Yield those stopped at an edge, next to the run's best, that may be as good as the best of all."""
    if best is None or best.partial:
        return
    at = run.index(min(run, key=_rank))
    for one in run[max(at - 1, 0) : at + 2]:
        if one.edge and one.partial and _may_be_as_good(one, best):
            yield one


def _may_be_as_good(one: Seen, best: Seen) -> bool:
    """Return whether it may be luck that it is worse, on the images that both have."""
    both = one.losses.keys() & best.losses.keys()
    worse = [one.losses[step] - best.losses[step] for step in both]
    return not both or float(np.mean(worse)) < CONTENDS / math.sqrt(one.prompts)


def smoothed_best(run: Sequence[Seen], width: float) -> float:
    """Return where the loss of a run of survivors is least, along a smooth curve through it.

    The posterior mean of a Gaussian process (Rasmussen & Williams 2006, eq. 2.23) of fixed length scale.
    """
    ratios = np.array([one.ratio for one in run])
    losses = np.array([one.loss for one in run])
    if len(run) < 3:
        return float(ratios[losses.argmin()])
    from gridsearch.results.analysis.posterior import rbf  # scipy, which few plans need

    length = SMOOTH * width
    points = np.linspace(ratios[0], ratios[-1], 101)
    noise = 0.1**2 * np.eye(len(ratios))
    weights = np.linalg.solve(rbf(ratios, ratios, length) + noise, losses - losses.mean())
    return float(points[(rbf(points, ratios, length) @ weights).argmin()])
