"""Work beside drawing: results come in order, an error is not lost, and the fingerprint is not waited for."""

import threading

import pytest

from gridsearch.merge.engine.live import stale_keys
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


def test_the_next_merge_is_made_while_the_last_pictures_are_written(toy, tmp_path, monkeypatch):
    merged, merge, save = threading.Event(), trial.merge_over, trial.save_image

    def merging(setup, terms, recipe):
        merge(setup, terms, recipe)
        if recipe == what.at({"ratio": 0.75}):
            merged.set()

    def saving(*given):
        assert merged.wait(timeout=120)
        return save(*given)

    monkeypatch.setattr(trial, "merge_over", merging)
    monkeypatch.setattr(trial, "save_image", saving)
    what = experiment(toy)
    setup = with_references(load_setup(what, open_parents(what), tmp_path, Quiet()), [])

    def drawn(following):
        batches = run_trial(setup, {"ratio": 0.5}, setup.cases, "images/t0000_", lambda *_: None, following)
        return [(row["weights"], row["digest"]) for batch in batches for row in batch.rows]

    known = drawn(lambda: {"ratio": 0.75})
    assert not stale_keys(setup.live, setup.weights.terms(what.at({"ratio": 0.75})))
    assert len({*known}) == 3
    assert drawn(lambda: 1 / 0) == known  # an error is not this trial's; and 0.5 is merged again
