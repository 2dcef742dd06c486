"""How many trials it takes to find a window, known before the search has begun."""

from gridsearch.search.window import Axis, Seen, coarse_left, next_ratios

WIDTHS = (0.02, 0.1, 0.3)  # of windows that are tried out, as shares of the range
PLACES = (0.2, 0.37, 0.61)  # of their middles


def window_trials(axis: Axis, curves: int) -> tuple[int, int]:
    """The fewest and the most trials that a search along so many curves will probably take.

    Each curve has its first look; of the fewest, one alone is followed to its edges, of the most all are.
    """
    look = len(coarse_left((), axis))
    each = [_trials(axis, place, width) for width in WIDTHS for place in PLACES]
    return curves * look + max(min(each) - look, 0), curves * max(each)


def _trials(axis: Axis, place: float, width: float) -> int:
    """How many it takes to find a window there, did nothing vary from prompt to prompt."""
    low, span = axis.values[0], axis.values[-1] - axis.values[0]
    seen: list[Seen] = []
    while wanted := next_ratios(seen, axis):
        at = ((wanted[0] - low) / span - place) / width  # -0.5 and 0.5 are its edges
        sound = abs(at) <= 0.5
        seen.append(Seen(wanted[0], float(sound), at, 2 * at**2 if sound else 1.9))
    return len(seen)
