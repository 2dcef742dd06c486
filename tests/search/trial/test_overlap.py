"""Results come in order, while the next item is being made, and an error is not lost."""

import threading

import pytest

from gridsearch.search.trial.trial import map_in_threads


def test_the_next_item_is_made_while_the_last_is_worked_on():
    made = threading.Event()

    def items():
        yield 1
        yield 2
        made.set()

    def work(item):
        assert made.wait(timeout=10)  # work on the first ends only after the last was made
        return item * 10

    assert list(map_in_threads(work, items())) == [10, 20]


def test_an_error_of_the_work_or_of_an_item_is_raised():
    def broken():
        yield 1
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        list(map_in_threads(lambda item: item, broken()))
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda item: 1 // item, [1, 0, 2]))
