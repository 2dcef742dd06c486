"""Work on what is finished while the next is being made."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def overlapped(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`map(work, items)`, with the work done by a second thread while the items go on coming."""
    with ThreadPoolExecutor(max_workers=1) as hand:
        waiting = deque()
        for item in items:
            waiting.append(hand.submit(work, item))
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
