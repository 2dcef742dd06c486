"""Who leads, whether the best is known closely enough, and whether there is time for another trial."""

import time
from datetime import UTC, datetime
from functools import partial

import pytest

from gridsearch.results import store
from gridsearch.search import budget
from gridsearch.search.budget import Budget, deadline
from gridsearch.search.checks import known_enough, leaders, narrow_enough
from tests.helpers.painter import ORDER, Painter, experiment, facts_of, row, searched
from tests.helpers.searching import search_with


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("enough")
    searched(folder, experiment(sampler="window", trials=None, racing=False), Painter())
    return folder


def test_the_best_leads_then_what_is_tied_then_the_next_by_rank(finished):
    with store.open_study(finished) as study:
        found = leaders(study, finished, 4)
        assert len(found) == 4
        ratios = [study.trials[number].params["ratio"] for number in found]
        assert ratios[0] == pytest.approx(0.5)
        assert sorted(ratios[1:3]) == pytest.approx([0.45, 0.55])
        assert leaders(study, finished, 1) == found[:1]


def test_it_is_enough_once_the_interval_is_as_narrow_as_asked(finished):
    with store.open_study(finished) as study:
        assert narrow_enough(study, finished, None) is None
        assert narrow_enough(study, finished, 1e-6) is None
        assert narrow_enough(study, finished, 0.9).endswith("0.9 was asked for")


def test_a_search_ends_where_it_is_enough_and_says_why(tmp_path):
    what = experiment(sampler="window", trials=None)
    store.write_study(tmp_path, facts_of(what))
    with store.open_study(tmp_path) as study:
        asked = iter([None, None, "it is known"])
        assert search_with(study, what, ORDER, Budget(), Painter(), enough=lambda: next(asked))
    stored = store.read_study(tmp_path)
    assert stored.done == "it is known"
    assert len(stored.trials) == 3
    assert store.remaining(stored.facts, stored.trials, stored.done) == 0


def test_no_trial_starts_that_would_not_finish(tmp_path):
    what = experiment(racing=False)
    store.write_study(tmp_path, facts_of(what))
    with store.open_study(tmp_path) as study:
        now = time.time()
        # before the first trial, what the references took says how long it will be
        assert Budget(deadline=now + 50, first=60).startable([]) == 0
        assert Budget(deadline=now + 80, first=60).startable([]) is None
        assert not search_with(study, what, ORDER, Budget(trials=2), Painter())
        # each of them took three batches of a second
        assert Budget(deadline=now + 2, first=0).startable(study.trials) == 0
        assert Budget(deadline=now + 60, first=999).startable(study.trials) is None
        assert Budget(trials=2).startable(study.trials) == 0


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="only Unix changes its time zone in a process")
@pytest.mark.parametrize(
    ("now", "until", "expected"),
    [  # in UTC; Berlin's clocks go back from 3 to 2 at 01:00 on 25 October, and on from 2 to 3 on 29 March
        ("2026-10-25T00:10", "02:30", "2026-10-25T00:30"),  # 02:10, before the first 02:30
        ("2026-10-25T00:40", "02:30", "2026-10-25T01:30"),  # between both
        ("2026-10-25T01:20", "02:30", "2026-10-25T01:30"),  # 02:20 for the second time
        ("2026-10-25T01:40", "02:30", "2026-10-26T01:30"),  # after both
        ("2026-10-24T20:00", "07:30", "2026-10-25T06:30"),  # a night of one hour more
        ("2026-03-28T20:00", "07:30", "2026-03-29T05:30"),  # and of one hour less
        ("2026-03-29T00:10", "02:30", "2026-03-29T01:30"),  # a time that there is not: 03:30 instead
        ("2026-06-01T10:00", "12:00", "2026-06-02T10:00"),  # now is not later
    ],
)
def test_a_time_of_day_is_met_where_the_clocks_change(monkeypatch, now, until, expected):
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        instant = datetime.fromisoformat(f"{now}+00:00").timestamp()
        monkeypatch.setattr(budget.time, "time", lambda: instant)
        found = deadline(None, until)
        assert datetime.fromtimestamp(found, UTC).isoformat()[:16] == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("slope", "ends"), [(0.0, True), (0.5, False)])
def test_a_search_for_a_window_ends_after_four_ratios_that_draw_as_well(tmp_path, slope, ends):
    what = experiment(sampler="window", trials=None, held_out=0)
    flat = Painter(paint=lambda ratio, case: row(0.3 + slope * ratio + 0.01 * len(case), case.split("_")[0]))
    store.write_study(tmp_path, facts_of(what))
    with store.open_study(tmp_path) as study:
        search_with(study, what, ORDER, Budget(), flat, enough=partial(known_enough, study, tmp_path, what))
    ratios = sorted({ratio for ratio, _ in flat.drawn})
    assert (ratios == pytest.approx([0.0, 0.3, 0.7, 1.0])) is ends
    assert ("as good, within 0.05" in store.read_study(tmp_path).done) is ends
