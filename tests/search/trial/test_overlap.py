"""Work beside drawing: results come in order, an error is not lost, and the fingerprint is not waited for."""

import threading

import pytest

from gridsearch.merge.parents import open_parents
from gridsearch.search.trial import content, trial
from gridsearch.search.trial.setup import load_setup, with_references
from gridsearch.search.trial.trial import map_in_threads, run_trial
from tests.helpers.small_run import Quiet, experiment


def test_the_next_item_is_made_while_the_last_is_worked_on():
    made = threading.Event()

    def items():
        yield 1
        yield 2
        made.set()

    def work(item):
        assert made.wait(timeout=120)  # work on the first ends only after the last was made
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


def test_images_are_drawn_while_the_fingerprint_is_taken(toy, tmp_path, monkeypatch):
    drawn, draw, fingerprint = threading.Event(), content.draw_batches, trial.live_fingerprint

    def drawing(*given):
        for batch in draw(*given):
            drawn.set()
            yield batch

    def after_drawing(live):
        assert drawn.wait(timeout=120)
        return fingerprint(live)

    monkeypatch.setattr(content, "draw_batches", drawing)
    monkeypatch.setattr(trial, "live_fingerprint", after_drawing)
    what = experiment(toy)
    setup = with_references(load_setup(what, open_parents(what), tmp_path, Quiet()), [])
    batches = run_trial(setup, {"ratio": 0.5}, setup.cases, "images/t0000_", lambda *_: None)
    rows = [row for batch in batches for row in batch.rows]
    assert [row["weights"] for row in rows] == [fingerprint(setup.live)] * 3
