"""A trial's images come in rungs: what is kept, what is drawn again, what stops it, what it is told as."""

import contextlib
import shutil

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from gridsearch.base.errors import RunFailed
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.score.score import image_losses
from gridsearch.search.budget import Budget
from gridsearch.search.checks import HELD_OUT, REPEAT, Check, check_of, enqueue, evaluate_check, wanted_checks
from gridsearch.search.parameters import parameters_of
from gridsearch.search.resume import grown, has_grown
from gridsearch.search.workers.dispatch import enqueue_missing
from tests.helpers.painter import ORDER, Painter, experiment, facts_of, painted, searched
from tests.helpers.searching import search_with


def trials_of(folder):
    """All that a study says of its trials, times left out."""
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs)
        for t in store.read_study(folder).trials
    ]


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    """The folder of ten trials of `random`, drawn without a break."""
    folder = tmp_path_factory.mktemp("ten")
    searched(folder, experiment(), Painter())
    return folder


@pytest.fixture
def copy(ten, tmp_path):
    return shutil.copytree(ten, tmp_path / "copy")


@pytest.mark.parametrize(
    "sampler", [*(pytest.param(name, marks=pytest.mark.night) for name in ("random", "tpe")), "window"]
)
def test_killed_after_any_image_it_ends_like_an_unbroken_one_and_draws_no_whole_rung_twice(tmp_path, sampler):
    what = experiment(sampler=sampler)
    whole = Painter()
    searched(tmp_path / "unbroken", what, whole)
    lost = 0
    for moment in (2, 9, 0, 17, 5):
        painter = Painter(kill_after=moment)
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "broken", what, painter)
        lost += len(painter.drawn) % painter.size
    rest = Painter()
    searched(tmp_path / "broken", what, rest)
    assert trials_of(tmp_path / "broken") == trials_of(tmp_path / "unbroken")
    drawn_before = 2 + 9 + 0 + 17 + 5
    again = drawn_before + len(rest.drawn) - len(whole.drawn)
    if sampler == "window":  # its rungs end where a trial can be decided
        assert 0 < again <= 5 * (painter.size - 1)
    else:
        assert again == lost


def test_a_hopeless_trial_is_stopped_keeps_its_images_and_never_is_the_best(tmp_path):
    told = searched(tmp_path, experiment(), Painter())
    with store.open_study(tmp_path) as study:
        stopped = [t for t in study.trials if t.state == TrialState.PRUNED]
        assert stopped
        for trial in stopped:
            assert len(store.images_of(trial)) < len(ORDER)
            assert trial.value >= study.best_value
            assert trial.user_attrs[store.SUMMARY]["partial"]
            assert trial.user_attrs[store.REASON] == next(t.stopped for t in told if t.number == trial.number)
        assert study.best_trial.state == TrialState.COMPLETE


def test_losses_are_reported_image_by_image_at_the_cases_place(tmp_path):
    searched(tmp_path, experiment(racing=True, trials=1), Painter())
    (trial,) = store.read_study(tmp_path).trials
    rows = store.images_of(trial)
    assert len(trial.intermediate_values) == len(rows)
    for step, case in enumerate(ORDER):
        (own,) = [row for row in rows if row["prompt_id"] == case.split("_")[0]]
        assert trial.intermediate_values[step] == pytest.approx(
            image_losses([own["verdict"]], [own["defect"]])[0]
        )


def test_without_a_race_every_trial_is_whole(tmp_path):
    painter = Painter()
    searched(tmp_path, experiment(racing=False), painter)
    trials = store.read_study(tmp_path).trials
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert all(not trial.intermediate_values for trial in trials)


def test_window_finds_both_edges_and_the_best_with_a_part_of_the_grid_and_ends_by_itself(tmp_path):
    painter = Painter()
    what = experiment(sampler="window", trials=None)
    searched(tmp_path, what, painter)
    ended = store.read_study(tmp_path)
    assert ended.done == "the window and the best in it are found, as closely as steps and prompts allow"
    tried = {trial.params["ratio"]: trial.state for trial in ended.trials}
    assert {0.25, 0.3, 0.7, 0.75} <= {round(ratio, 10) for ratio in tried}
    assert len(painter.drawn) < 0.75 * 21 * len(ORDER)  # a coarse grid: little to be saved
    with store.open_study(tmp_path) as study:
        assert study.best_params["ratio"] == pytest.approx(0.5)


def test_more_prompts_draw_only_themselves_in_every_trial_and_stopped_ones_stay_stopped(copy):
    before = store.read_study(copy)
    more = experiment(prompts=14)
    order = [*ORDER, "p13_s1", "p14_s1"]
    facts = facts_of(more, order)
    assert has_grown(before.facts, facts)
    store.write_study(copy, *grown(before, facts))
    painter = Painter(order)
    searched(copy, more, painter, order)
    whole = [t for t in before.trials if t.state == TrialState.COMPLETE]
    assert {case for _, case in painter.drawn} == {"p13_s1", "p14_s1"}
    after = store.read_study(copy).trials
    assert all(
        sorted(trial.intermediate_values) == list(range(14))
        for trial in after
        if trial.state == TrialState.COMPLETE and trial.number == min(t.number for t in whole)
    )
    assert len(painter.drawn) == 2 * len({t.params["ratio"] for t in whole})
    assert [(t.number, t.state, t.params) for t in after] == [
        (t.number, t.state, t.params) for t in before.trials
    ]
    assert all(len(store.images_of(t)) == 14 for t in after if t.state == TrialState.COMPLETE)
    assert not has_grown(facts, facts)


def test_two_goals_are_told_for_nsga2(tmp_path):
    searched(tmp_path, experiment(sampler="nsga2"), Painter())
    for trial in store.read_study(tmp_path).trials:
        rows = store.images_of(trial)
        sound = [row for row in rows if row["verdict"] == "ok"]
        lost = 1000 * (1 - len(sound) / len(rows))
        for value, metric in zip(trial.values, ("blur", "noise"), strict=True):
            mean = sum(row[metric] for row in sound) / len(sound) if sound else 1000
            assert value == pytest.approx(lost + mean)


# -- checks


def test_leaders_are_checked_once_each_and_the_best_is_repeated_once():
    checks = optuna.create_study()
    wanted = wanted_checks([4, 2, 7], True, checks.trials)
    assert wanted == [Check(HELD_OUT, 4), Check(HELD_OUT, 2), Check(HELD_OUT, 7), Check(REPEAT, 4)]
    enqueue(checks, wanted[:2] + wanted[3:], {4: {"ratio": 0.4}, 2: {"ratio": 0.2}})
    assert wanted_checks([2, 9], True, checks.trials) == [Check(HELD_OUT, 9)]
    assert wanted_checks([2, 9], False, checks.trials) == []


def test_checks_go_on_where_they_were_interrupted(copy):
    order = {HELD_OUT: ["p20_s1", "p21_s1"], REPEAT: ORDER}
    with store.open_study(copy) as study:
        checks = store.checks_of(study)
        best = study.best_trial
        enqueue(
            checks, [Check(HELD_OUT, best.number), Check(REPEAT, best.number)], {best.number: best.params}
        )

        def go_on(kill_after=None):
            painter = Painter(ORDER, kill_after=kill_after)
            while trial := queue.take(checks, "here", None):
                painter.order = order[check_of(trial)[0].role]
                try:
                    evaluate_check(study, checks, trial, order, painter)
                except KeyboardInterrupt:
                    queue.put_back(checks, trial)
                    raise
            return painter

        with pytest.raises(KeyboardInterrupt):
            go_on(kill_after=7)  # two held out, a rung of four of the repeat, one image of the next
        assert len(go_on().drawn) == len(ORDER) - 4
        found = [check_of(trial) for trial in checks.trials if trial.state == TrialState.COMPLETE]
        assert [check for check, _ in found] == [Check(HELD_OUT, best.number), Check(REPEAT, best.number)]
        assert all(parameters == best.params for _, parameters in found)
        # what a search learns from is as before
        assert [parameters_of(t) for t in study.trials] == [
            parameters_of(t) for t in store.read_study(copy).trials
        ]
        assert len(study.trials) == 10


def test_a_run_may_grow_again_before_it_has_caught_up(copy):
    before = store.read_study(copy).trials
    whole = {parameters_of(t)["ratio"] for t in before if t.state == TrialState.COMPLETE}
    drawn = []
    for prompts, kill_after in ((13, 1), (14, None)):
        more = experiment(prompts=prompts)
        order = [f"p{i}_s1" for i in range(1, prompts + 1)]
        store.write_study(copy, *grown(store.read_study(copy), facts_of(more, order)))
        painter = Painter(order, size=1, kill_after=kill_after)
        with contextlib.suppress(KeyboardInterrupt):
            searched(copy, more, painter, order)
        drawn += painter.drawn
    assert sorted(drawn) == sorted((ratio, case) for ratio in whole for case in ("p13_s1", "p14_s1"))
    ended = store.read_study(copy).trials
    assert all(len(store.images_of(t)) == 14 for t in ended if t.state == TrialState.COMPLETE)


def test_images_of_an_earlier_version_count_when_a_run_grows(tmp_path):
    rows = [painted(0.5, case) for case in ORDER]
    attrs = {"images": rows, "seconds": {"render": 1.0}}
    trial = create_trial(
        value=1.0,
        params={"ratio": 0.5},
        distributions={"ratio": FloatDistribution(0, 1, step=0.05)},
        user_attrs=attrs,
    )
    store.write_study(tmp_path, facts_of(experiment(trials=1)), [trial])
    more, order = experiment(prompts=13, trials=1), [*ORDER, "p13_s1"]
    store.write_study(tmp_path, *grown(store.read_study(tmp_path), facts_of(more, order)))
    painter = Painter(order)
    searched(tmp_path, more, painter, order)
    assert painter.drawn == [(0.5, "p13_s1")]
    (after,) = store.read_study(tmp_path).trials
    assert [row["prompt_id"] for row in store.images_of(after)] == [case.split("_")[0] for case in order]


def test_a_trial_that_was_whole_is_never_stopped_because_there_are_more_prompts(tmp_path):
    searched(tmp_path, experiment(racing=False, sampler="qmc"), Painter())
    before = store.read_study(tmp_path)
    hopeless = [t for t in before.trials if t.value > 6]
    assert hopeless
    more, order = experiment(prompts=13, sampler="qmc"), [*ORDER, "p13_s1"]
    store.write_study(tmp_path, *grown(before, facts_of(more, order)))
    searched(tmp_path, more, Painter(order), order)
    assert {t.state for t in store.read_study(tmp_path).trials} == {TrialState.COMPLETE}


def test_what_a_failed_trial_had_drawn_is_not_drawn_again(tmp_path):
    what = experiment(sampler="grid", trials=None)
    store.write_study(tmp_path, facts_of(what))

    class Failing(Painter):
        def __call__(self, *told):
            try:
                yield from super().__call__(*told)
            except KeyboardInterrupt:
                raise RunFailed("no luck") from None

    first = Failing(size=4, kill_after=6)
    rest = Painter(size=4)
    with store.open_study(tmp_path) as study:
        enqueue_missing(study, what)
        with pytest.raises(RunFailed):
            search_with(study, what, ORDER, Budget(), first)
        enqueue_missing(study, what)
        search_with(study, what, ORDER, Budget(), rest)
    assert len(rest.drawn) == 21 * len(ORDER) - 4
    assert all(len(store.images_of(t)) == 12 for t in study.trials if t.state == TrialState.COMPLETE)


def test_window_is_not_finished_before_it_says_so(tmp_path):
    facts = facts_of(experiment(sampler="window", trials=None))
    searched(tmp_path, experiment(trials=3), Painter())
    trials = store.read_study(tmp_path).trials
    assert facts.planned <= len(trials)
    assert store.remaining(facts, trials) == 1
    assert store.remaining(facts, trials, "it is known") == 0


@pytest.mark.parametrize(("other", "drawn"), [(None, 8), (ORDER[2], 12)])
def test_a_repeat_ends_after_its_first_rungs_unless_an_image_of_them_is_another(tmp_path, other, drawn):
    def paint(ratio, case):
        return painted(ratio, case) | {"digest": f"{ratio} {case}"}

    searched(tmp_path, experiment(trials=2), Painter(paint=paint))
    again = Painter(paint=lambda ratio, case: paint(ratio, case) | ({"digest": "0"} if case == other else {}))
    with store.open_study(tmp_path) as study:
        checks, best = store.checks_of(study), study.best_trial
        enqueue(checks, [Check(REPEAT, best.number)], {best.number: best.params})
        evaluate_check(study, checks, queue.take(checks, "here", None), {REPEAT: ORDER}, again)
        (trial,) = checks.trials
    assert trial.state == TrialState.COMPLETE
    assert not trial.intermediate_values  # these are for races
    assert len(again.drawn) == drawn
