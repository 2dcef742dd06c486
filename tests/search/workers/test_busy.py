"""Two runs at once: the second is told so, and touches nothing."""

import pytest

from tests.helpers import program
from tests.search.workers.night import assert_same_run, begun, drawn, ended, wait_for


@pytest.mark.night
def test_a_second_run_is_told_who_is_at_it(file, whole, database, tmp_path):
    out = tmp_path / "out"
    first = begun("run", file, "--out", out, "--workers", 1, url=database)
    wait_for(lambda: drawn(out) >= 1)
    for folder, says in (
        (out, f"Process {first.pid} on"),
        (tmp_path / "other", f"process {first.pid}, since"),
    ):
        second = program.gridsearch("run", file, "--out", folder, "--storage", database, "--workers", 1)
        assert second.returncode == 1
        assert second.stderr.startswith("error: Another run ")
        assert says in second.stderr
    ended(first)
    assert_same_run(out, whole)
