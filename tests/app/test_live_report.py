"""The report of a run that goes on: built now and then, beside it, and never in its way."""

import subprocess
import time
from types import SimpleNamespace

import pytest

from gridsearch.app import live_report
from gridsearch.app.live_report import MIN_PAUSE, LiveReport
from tests.helpers.stored import stored_run


class Told:
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def __getattr__(self, name):
        return lambda *what: self.heard.append((name, *what))

    def of(self, name):
        return [what for heard, *what in self.heard if heard == name]


class Build(SimpleNamespace):
    """A process that takes as long as it is told."""

    returncode = None

    def poll(self):
        return self.returncode


@pytest.fixture(autouse=True)
def begun(begin_build, monkeypatch):
    monkeypatch.setattr(LiveReport, "_begin", begin_build)


@pytest.fixture
def builds(monkeypatch):
    """The builds that were begun; none really runs."""
    begun = []

    def begin(*_arguments, **_options):
        begun.append(Build())
        return begun[-1]

    monkeypatch.setattr(live_report.subprocess, "Popen", begin)
    return begun


def test_a_build_in_twenty_parts_of_the_time_at_most(tmp_path, builds):
    clock, told = SimpleNamespace(now=0.0), Told()
    (tmp_path / "best.json").write_text('{"name": "x"}')
    live = LiveReport(tmp_path, told, lambda: clock.now)
    live.start(5, 0, 4, 0, False)
    assert builds == []  # there is nothing to see yet
    live.trial("first")
    live.trial("second")
    assert len(builds) == 1  # one at a time
    clock.now, builds[0].returncode = 10.0, 0
    live.image("case", "score")
    assert told.of("found") == [[{"name": "x"}]]
    clock.now = 10.0 + 10.0 * 19 - 1  # it took 10 s, a twentieth of 200
    live.image("case", "score")
    assert len(builds) == 1
    clock.now += 2
    live.image("case", "score")
    assert len(builds) == 2
    clock.now, builds[1].returncode = clock.now + 0.1, 0
    live.trial("third")
    clock.now += MIN_PAUSE - 1
    live.look()
    assert len(builds) == 2
    clock.now += 2
    live.look()
    assert len(builds) == 3


def test_a_build_that_fails_ends_with_what_and_where(tmp_path, monkeypatch):
    monkeypatch.setattr(live_report.os, "nice", lambda _: 0)  # of this process
    with pytest.raises(SystemExit) as ended:
        live_report.build_here(str(tmp_path / "gone"))
    assert ended.value.code == f"There is no such folder. where: {tmp_path / 'gone'}"


def test_a_failure_is_said_once_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        live_report, "BUILD", "import sys; sys.exit('a warning\\nThe folder holds no results.')"
    )
    clock, told = SimpleNamespace(now=0.0), Told()
    live = LiveReport(tmp_path / "gone", told, lambda: clock.now)
    with live:
        live.trial("first")
        assert live._process.wait(300) == 1
        live.look()
        ((said,),) = told.of("note")
        assert "could not be refreshed" in said
        assert "holds no results" in said

        def no(*_arguments, **_options):
            raise OSError("no more processes")

        monkeypatch.setattr(subprocess, "Popen", no)
        clock.now += 1000
        live.trial("second")
    assert len(told.of("note")) == 1


def test_a_long_batch_does_not_hide_that_a_build_has_ended(tmp_path, builds):
    clock, told = SimpleNamespace(now=0.0), Told()
    live = LiveReport(tmp_path, told, lambda: clock.now)
    live.trial("first")
    clock.now, builds[0].returncode = 3.0, 0
    live.step(1, 20)
    assert told.of("found") == []  # there is no best.json: nothing was there to be shown
    clock.now = 90.0
    live.trial("second")
    assert len(builds) == 2


def test_the_other_process_builds_what_is_stored(tmp_path):
    folder, told = stored_run(tmp_path / "run"), Told()
    with LiveReport(folder, told) as live:
        live.start(2, 3, 4, 0, False)  # resumed: there is something to see at once
        until = time.monotonic() + 300
        while not told.of("found") and time.monotonic() < until:
            time.sleep(0.05)
            live.look()
    ((best,),) = told.of("found")
    assert best["name"] == "made-up"
    assert (folder / "report.html").is_file()


def test_leaving_ends_a_build_that_is_under_way(tmp_path):
    with LiveReport(stored_run(tmp_path / "run"), Told()) as live:
        live.trial("first")
        process = live._process
    assert process.returncode is not None


def test_of_a_run_that_goes_on_the_best_so_far_is_known_from_the_start(tmp_path, builds):
    told = Told()
    (tmp_path / "best.json").write_text('{"trial": 3}')
    LiveReport(tmp_path, told).start(0, 5, 4, 0, False)
    assert told.of("found") == [[{"trial": 3}]]
