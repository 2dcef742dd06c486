"""Work on what is finished while the next is being made."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_WAITING = 64  # items, so that slow hands do not fill the memory
HANDS = min(4, os.cpu_count() or 1)  # a batch's images come all at once

Item, Result = TypeVar("Item"), TypeVar("Result")


def overlapped(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(work, items)`, with the work done by other threads while the items go on coming."""
    with ThreadPoolExecutor(HANDS) as hands:
        waiting = deque()
        for item in items:
            waiting.append(hands.submit(work, item))
            while waiting and (waiting[0].done() or len(waiting) > MOST_WAITING):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
