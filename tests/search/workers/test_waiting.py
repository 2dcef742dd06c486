"""A worker that is started before its run."""

import pytest

from gridsearch.base.errors import RunFailed
from gridsearch.search.workers import worker
from tests.helpers.small_run import FILE, Noting


def test_a_worker_before_its_run_says_that_it_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0.01)
    monkeypatch.setattr(worker, "EARLY", 0.02)
    told = Noting()
    with pytest.raises(RunFailed, match="No run has started this study"):
        worker.work(None, FILE, tmp_path, "a worker", told)
    (note,) = told.notes
    assert note.startswith(f"No run has started in {tmp_path} yet: this worker waits for it")
