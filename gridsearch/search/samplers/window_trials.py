"""The number of trials that a search for a window takes, found by searches for windows of some widths."""

import math
from functools import cache

from gridsearch.search.samplers.axis import RatioAxis, coarse_left
from gridsearch.search.samplers.window import Seen, next_ratio

WIDTHS = (0.02, 0.1, 0.3)  # of windows that are tried out, as shares of the range
PLACES = (0.2, 0.37, 0.61)  # of their middles
# Prompts differ and losses scatter, so that the best moves while the search refines around it. Of simulated
# studies (benchmarks/search: steps of 0.002 to 0.05, windows of 0.02 to 0.3, 4 or 16 prompts) none took more
# than this times the most of the windows that are tried out here.
SCATTER = 1.3


@cache
def window_trials(axis: RatioAxis, curves: int) -> tuple[int, int]:
    """Return about the fewest and the most trials that a search along so many curves takes.

    Each curve has its first look; of the fewest, one alone is followed to its edges, of the most all are.
    """
    look = len(coarse_left((), axis))
    each = [_trials(axis, place, width) for width in WIDTHS for place in PLACES]
    most = min(math.ceil(SCATTER * max(each)), len(axis.values))
    return curves * look + max(min(each) - look, 0), curves * most


def _trials(axis: RatioAxis, place: float, width: float) -> int:
    """Return how many it takes to find a window there, did nothing vary from prompt to prompt."""
    low, span = axis.values[0], axis.values[-1] - axis.values[0]
    seen: list[Seen] = []
    while (ratio := next_ratio(seen, axis)) is not None:
        at = ((ratio - low) / span - place) / width  # -0.5 and 0.5 are its edges
        sound = abs(at) <= 0.5
        seen.append(Seen(ratio, float(sound), at, 2 * at**2 if sound else 1.9))
    return len(seen)
