"""The live view: counted by hand, calm at any width, deaf to hostile names."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from gridsearch.app.terminal import RunScreen
from gridsearch.app.terminal.listeners import TimeColumn
from gridsearch.app.terminal.live_view import CurrentWork, Pace, RunProgress, live_view
from gridsearch.base.errors import RunFailed
from gridsearch.search.trial.outcome import Outcome

INTERVAL = {"low": 0.1234567, "high": 0.3, "level": 0.95, "prompts": 4, "resamples": 9}


class Clock:
    """Stands still until it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def progress(clock, **changes) -> RunProgress:
    """Three trials of four images, of which none is drawn yet."""
    usual = {"done": 0, "left": 3, "cases": 4, "about": False, "work": CurrentWork("trial", {}, 0, 4)}
    return RunProgress(**usual | {"pace": Pace(clock)} | changes)


def outcome(*verdicts: str, cases: int = 4) -> Outcome:
    return Outcome([{"verdict": v, "defect": 1.0} for v in verdicts], {}, cases)


def test_speed_and_time_left(clock):
    pace = Pace(clock)
    assert pace.per_minute() is None
    assert pace.seconds_for(10) is None
    for _ in range(4):
        clock.now += 5
        pace.settle(1)
    assert pace.per_minute() == pytest.approx(12)  # 4 images in 20 s
    assert pace.seconds_for(6) == pytest.approx(30)
    pace.settle(0, spared=4)
    assert pace.per_minute() == pytest.approx(12)
    assert pace.seconds_for(6) == pytest.approx(15)  # as many cases again were spared


def test_a_bar_calls_time_left_only_what_is_left():
    def said(**told):
        return TimeColumn().render(SimpleNamespace(elapsed=65, finished=False, **told)).plain

    assert said(total=None, time_remaining=None) == "65 s elapsed"
    assert said(total=10, time_remaining=None) == "65 s elapsed"
    assert said(total=10, time_remaining=30) == "65 s elapsed, about 30 s left"


def test_what_is_left_to_draw(clock):
    here = progress(clock)
    assert here.cases_left == 12
    here.work = CurrentWork("references", {}, 0, 2)
    assert here.cases_left == 14
    here.work = CurrentWork("trial", {"ratio": 0.5}, 1, 4)
    assert here.cases_left == 11
    here.image("ok")
    assert (here.cases_left, here.work.verdicts) == (10, {"ok": 1})
    here.end_trial({"ratio": 0.5}, outcome("ok", "burnt"), "it cannot win")
    assert (here.done, here.left, here.cases_left) == (1, 2, 8)
    here.work = CurrentWork("repeat", {}, 1, 4)
    assert here.cases_left == 3


def test_the_best_so_far(clock):
    here = progress(clock)
    here.end_trial({"ratio": 0.1}, outcome("burnt", "ok", "ok", "ok"), None)
    here.end_trial({"ratio": 0.2}, outcome("ok", "ok"), "it cannot win")  # stopped: never the best
    here.end_trial({"ratio": 0.3}, RunFailed("no"), None)
    first = {"parameters": {"ratio": 0.1}, "survived": 0.75, "defect": 1.0, "images": 4, "interval": None}
    assert here.best == first
    here.best = {"trial": 0} | first | {"interval": INTERVAL}
    here.end_trial({"ratio": 0.4}, outcome("ok", "ok", "ok", "ok"), None)
    better = {"parameters": {"ratio": 0.4}, "survived": 1.0, "defect": 1.0, "images": 4, "interval": INTERVAL}
    assert here.best == better


def test_a_best_json_that_names_no_trial_yet_changes_nothing():
    screen = RunScreen()
    screen.found({"trial": 3, "interval": None})
    screen.found({"name": "nothing yet"})
    assert screen._run.best == {"trial": 3, "interval": None}


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_the_view_keeps_to_the_width_and_its_lines(clock, columns, capsys):
    here = progress(
        clock,
        work=CurrentWork(
            "trial", {"a[bold]b\x1b[2J": "\x9b2Jx", "ratio": 0.4}, 12, 32, 14, 20, {"ok": 9, "ghost": 3}
        ),
        best={"parameters": {"ratio": 0.45}, "survived": 29 / 32, "defect": 0.94, "images": 32}
        | {"interval": INTERVAL},
    )
    console = Console(width=columns, force_terminal=True, color_system=None)
    console.print(live_view(here))
    said = capsys.readouterr().out
    assert not set(said) & {"\x1b", "\x9b"}
    lines = said.splitlines()
    assert len(lines) == 8
    assert max(map(len, lines)) <= columns
    if columns == 120:
        for part in (
            "0 done, 3 left",
            "a[bold]b",
            "12 of 32, step 14 of 20   ghost 3  ok 9",
            "29 of 32 healthy",
        ):
            assert part in said
        for part in ("ratio 0.45", "defect 0.94", "0.123 to 0.3, 95% sure, over 4 prompts"):
            assert part in said
