"""The ratios that may be tried along an axis, and the orders in which they are looked at."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

COARSE = 0.1  # of the range: the spacing of the first look
WITHOUT_STEP = 0.01  # of the range: the resolution where none is asked for


@dataclass(frozen=True)
class RatioAxis:
    """The ratios that may be tried, ascending."""

    values: tuple[float, ...]
    step: float

    @property
    def near(self) -> float:
        """The distance of ratios that are as good as neighbours in a wide window: two steps that are fine."""
        fine = self.step <= 1.01 * WITHOUT_STEP * (self.values[-1] - self.values[0])
        return self.step * (2 if fine else 1)

    def free(self, low: float, high: float, taken: Sequence[float]) -> list[float]:
        """Return the values strictly between that are not taken."""
        near = self.step / 100
        between = self.values[bisect_right(self.values, low + near) : bisect_left(self.values, high - near)]
        return [value for value in between if all(abs(value - other) > near for other in taken)]


def make_axis(low: float, high: float, step: float | None) -> RatioAxis:
    """Return the multiples of `step` from `low`; without a step, a hundred of them to `high`."""
    if high <= low:
        return RatioAxis((low,), 1.0)
    step = step or WITHOUT_STEP * (high - low)
    count = int((high - low) / step + 1e-6)
    return RatioAxis(tuple(round(low + i * step, 10) for i in range(count + 1)), step)


def coarse_left(taken: Sequence[float], axis: RatioAxis) -> list[float]:
    """Return the rest of the first look: both ends, the thirds, then from the middle outwards.

    So the first four ratios tell best whether all are alike.
    """
    count = len(axis.values)
    every = max(1, round(COARSE * (axis.values[-1] - axis.values[0]) / axis.step))
    last, middle = count - 1, (count - 1) / 2
    inner = sorted(set(range(0, count, every)) - {0, last}, key=lambda i: (abs(i - middle), i))
    thirds = [min(inner, key=lambda i: abs(i - third * last)) for third in (1 / 3, 2 / 3) if inner]
    look = [axis.values[i] for i in dict.fromkeys([0, last, *thirds, *inner])]
    near = axis.step / 2  # a neighbour that an earlier run left off the grid serves as well
    return [value for value in look if all(abs(value - other) > near for other in taken)]


def halvings(low: float, high: float, taken: Sequence[float], axis: RatioAxis) -> Iterator[float]:
    """Yield points between, always the middle of the widest gap; ratios that are taken part gaps."""
    places = sorted([low, *(ratio for ratio in taken if low < ratio < high), high])
    gaps = [(round(a - b, 9), a, b) for a, b in pairwise(places)]  # the widest first, of equals the lowest
    heapify(gaps)
    while gaps:
        _, low, high = heappop(gaps)
        if free := axis.free(low, high, ()):
            middle = nearest_value((low + high) / 2, free)
            yield middle
            for a, b in pairwise((low, middle, high)):
                heappush(gaps, (round(a - b, 9), a, b))


def coarse_to_fine(values: Sequence[float]) -> list[float]:
    """Return both ends, then the middle of the widest gap, again and again."""
    last = len(values) - 1
    between = halvings(0, last, (), RatioAxis(tuple(range(len(values))), 1.0))
    return [values[int(i)] for i in dict.fromkeys((0, last, *between))]


def nearest_value(place: float, values: Sequence[float]) -> float:
    """Return the value nearest to a place, the lower of two as near."""
    return min(values, key=lambda value: (abs(value - place), value))
