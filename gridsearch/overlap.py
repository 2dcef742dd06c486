"""Work on what is finished while the next is being made."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

MOST_WAITING = 64  # items, so that a slow hand does not fill the memory

Item, Result = TypeVar("Item"), TypeVar("Result")


def overlapped(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(work, items)`, with the work done by a second thread while the items go on coming."""
    with ThreadPoolExecutor(max_workers=1) as hand:
        waiting = deque()
        for item in items:
            waiting.append(hand.submit(work, item))
            while waiting and (waiting[0].done() or len(waiting) > MOST_WAITING):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
