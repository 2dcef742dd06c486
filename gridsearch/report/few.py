"""A few of many things, or many things in a few blocks."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import TypeVar

_Item = TypeVar("_Item")


def spread(values: Sequence[float], most: int, kept: Sequence[int]) -> list[int]:
    """Return at most `most` places of these ascending values: both ends, `kept`, and others evenly spread.

    Each further one is the value that lies farthest from all that are chosen.
    """
    chosen = [*dict.fromkeys([*kept, 0, len(values) - 1])][:most]
    left = [i for i in range(len(values)) if i not in chosen]
    while left and len(chosen) < most:
        farthest = max(left, key=lambda i: min(abs(values[i] - values[j]) for j in chosen))
        chosen.append(farthest)
        left.remove(farthest)
    return sorted(chosen)


def evenly(count: int, most: int, kept: int | None) -> list[int]:
    """Return at most `most` of so many places, ascending: both ends, `kept`, and evenly spaced ones."""
    last = count - 1
    if count <= most:
        return list(range(count))
    chosen = {round(i * last / (most - 1)) for i in range(most)}
    if kept is not None and kept not in chosen:  # in place of its neighbour
        chosen = chosen - {min(chosen - {0, last}, key=lambda i: abs(i - kept))} | {kept}
    return sorted(chosen)


def fewest_blocks(items: Sequence[_Item], fit: Callable[[Sequence[_Item]], bool]) -> list[Sequence[_Item]]:
    """Return the fewest blocks of about the same size that all fit; single items where none does."""
    blocks = [items]
    for count in range(1, len(items) + 1):
        size = ceil(len(items) / count)
        blocks = [items[start : start + size] for start in range(0, len(items), size)]
        if all(map(fit, blocks)):
            break
    return blocks
