"""Ratios beyond the edges, drawn until they tell where the edges of all prompts surely lie.

Trials at an edge end once these prompts decide, which of all prompts tells little, and further out there are
but single images. So a ratio beyond each edge is drawn as any trial is: all of its first six images fail, or
so many of twelve or sixteen that half of all prompts surely do.
"""

from collections.abc import Iterator, Sequence
from itertools import takewhile

import scipy

from gridsearch.score.score import SURVIVES
from gridsearch.search.samplers.axis import RatioAxis, nearest_value
from gridsearch.search.samplers.window import Seen, best_seen, keeps_half, known_of

BEYOND = 0.25  # of the window's width: so far off the edge, or at most twice as far, it shall be known
LEAST_PROMPTS = 6  # fewer are never sure, even if all fail


def beyond_edges(seen: Sequence[Seen], axis: RatioAxis) -> Iterator[float]:
    """Yield what is worth drawing beyond both edges of the best's window; nothing where that is known."""
    best, known = best_seen(seen), known_of(seen)
    if best is None or not keeps_half(best) or best.prompts < LEAST_PROMPTS:
        return
    at = next(number for number, one in enumerate(known) if one.ratio == best.ratio)
    sides = known[at::-1], known[at:]
    inside = [list(takewhile(keeps_half, side)) for side in sides]
    apart = max(BEYOND * (inside[1][-1].ratio - inside[0][-1].ratio), axis.step)
    at_work = {one.ratio for one in seen} - {one.ratio for one in known}
    for inwards, own, side in zip((1, -1), inside, sides, strict=True):
        ratio = _next_beyond(side[len(own) :], inwards, apart, axis)
        if ratio is not None and ratio not in at_work:
            yield ratio


def _next_beyond(beyond: Sequence[Seen], inwards: int, apart: float, axis: RatioAxis) -> float | None:
    """Return the ratio to draw beyond an edge: `apart` from it, else twice as far, and so on.

    `beyond` is what is known there, the nearest first, maybe with another window.
    """
    dead = list(takewhile(lambda one: not keeps_half(one), beyond))
    if not dead:
        return None
    edge, last = dead[0].ratio, dead[-1].ratio
    places = [value for value in axis.values if min(edge, last) <= value <= max(edge, last)]
    sure = [abs(one.ratio - edge) for one in dead if surely_dead(one)]
    while not any(off <= 2 * apart for off in sure):
        place = nearest_value(edge - inwards * apart, places)
        here = next((one for one in dead if abs(one.ratio - place) < axis.step / 2), None)
        if here is None or here.glanced:
            return place
        if place == last:
            return None
        apart *= 2
    return None


def surely_dead(one: Seen) -> bool:
    """Return whether half of all prompts surely fail there: by the binomial test of its own prompts."""
    from gridsearch.results.analysis.window import EDGE_LEVEL  # imports pandas, spared to a plan

    failed = (1 - one.survived) * one.prompts
    if failed == 0:
        return False
    chance = scipy.special.betainc(max(failed, 0.5), one.prompts - failed + 1, 1 - SURVIVES)
    return bool(chance <= (1 - EDGE_LEVEL) / 2)
