"""The leader of a run: references first, then the search, then the checks; workers render what it asks for.

It asks the sampler, puts trials with their parameters into the queue, releases as many as are wanted soon,
gives back what dead workers held, and tells what comes in. Each look is at one state of the study, and a
trial only ever goes on from there, so a budget is kept to the trial.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, replace
from functools import partial
from operator import attrgetter
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.store.artifacts import gather, rows_with_pictures
from gridsearch.score.score import Score, number
from gridsearch.search.budget import Budget
from gridsearch.search.checks import RenderedImages, cases_by_role, check_of, known_enough, queue_checks
from gridsearch.search.disk import remove_unnamed_files
from gridsearch.search.evaluate import Told
from gridsearch.search.listener import Listener
from gridsearch.search.parameters import parameters_of
from gridsearch.search.prepare import Prepared, prepare
from gridsearch.search.resume import grown, has_grown
from gridsearch.search.taste import renew_taste
from gridsearch.search.trial.failures import named_failures, stop_after_failures
from gridsearch.search.trial.outcome import Outcome
from gridsearch.search.trial.standard import metrics_of, with_taste
from gridsearch.search.workers.dispatch import enqueue_missing, fill_queue, take_up, why_done
from gridsearch.search.workers.look import Crew, Leader, Leases, looks
from gridsearch.search.workers.probing import with_probe
from gridsearch.search.workers.references import PIECE_IMAGES, draw_references, missing_pieces


def lead_workers(
    experiment: Experiment,
    file: Path,
    out: Path,
    budget: Budget,
    listener: Listener,
    crew: Crew,
    retries: int,
    pace: float = queue.USUAL_PACE,
) -> None:
    """Run the experiment read from `file`, or resume it, with workers in other processes (see `lead`).

    Raises:
        BadInput: the experiment, a model, or what is there already does not fit. Nothing was written.
    """
    prepared = prepare(experiment, file, out, listener.hashing)
    for note in prepared.notes:
        listener.note(note)
    lead(prepared, out, budget, listener, lambda _: crew, retries, shared=True, pace=pace)


def lead(
    prepared: Prepared,
    out: Path,
    budget: Budget,
    listener: Listener,
    crew_for: Callable[[optuna.Study], Crew],
    retries: int,
    shared: bool,
    pace: float = queue.USUAL_PACE,
) -> None:
    """Run an experiment to its end, or resume it, with workers that render.

    Args:
        crew_for: makes the workers of this machine, once the study is open.
        retries: how often a trial goes back to the queue when its worker has died.
        shared: whether other processes write to the study too.
        pace: seconds from beat to beat of leader and workers.

    Raises:
        BadInput: what is there already does not fit. Nothing was written.
        RunFailed: another run leads the study, no worker is left, or too many trials failed.
    """
    with (
        store.locked(out, listener.note) as held,
        store.led(out, listener.note) as leading,
        named_failures(out),
    ):
        if not prepared.earlier:
            store.write_study(out, prepared.facts)
        elif has_grown(prepared.earlier.facts, prepared.facts):
            store.write_study(out, *grown(store.read_study(out), prepared.facts))
        store.keep_experiment(Path(prepared.facts.file), out)
        taste_notes = renew_taste(out) if prepared.experiment.score.taste else []
        for note in taste_notes:
            listener.note(note)
        with store.open_study(out, shared, listener.note) as study, contextlib.ExitStack() as ending:
            # the workers are held to these
            store.save_facts(study, replace(store.load_facts(study), versions=prepared.facts.versions))
            queue.begin(study, pace)
            crew, order = crew_for(study), prepared.facts.order
            ending.callback(crew.stop)  # even where the study cannot be told that the run is over
            leases, leads = Leases(queue.MISSED * pace, retries), lambda: held() and leading()
            leader = Leader(study, prepared.experiment, order, out, listener, crew, leases, leads, pace)
            leader.refused.update(queue.refusals(study))  # before this run
            why = "the run was stopped"
            try:
                _run(leader, prepared, budget)
                why = "the run is done"
            finally:
                with contextlib.suppress(MustStop):  # a database that is lost tells nobody
                    queue.give_orders(study, over=why)
        if prepared.experiment.score.taste:  # more may have been judged meanwhile
            for note in renew_taste(out):
                if note not in taste_notes:
                    listener.note(note)


def _run(leader: Leader, prepared: Prepared, budget: Budget) -> None:
    """Have the references rendered, then search, then check what was found."""
    study, experiment, facts = leader.study, leader.experiment, prepared.facts
    if experiment.search.sampler == "grid":
        enqueue_missing(study, experiment)
    take_up(leader)
    earlier = store.load_facts(study)
    known = earlier.references or []
    gather(leader.out, known)
    known = [row for row in known if (leader.out / row["file"]).is_file()]
    cases = [*leader.cases]
    size = len(cases) if leader.crew.here else PIECE_IMAGES
    pieces = list(missing_pieces(known, experiment.reference_models(), cases, size))

    trials = study.get_trials(deepcopy=False)
    ended = sum(trial.state in store.ENDED for trial in trials)
    missing = sum(len(cases) for _, cases in pieces)
    about = experiment.search.sampler == "window"
    leader.listener.start(store.remaining(facts, trials), ended, len(facts.order), missing, about)
    facts = replace(
        facts,
        references=known or None,
        parents=earlier.parents,
        taste=earlier.taste,
        probe=facts.probe or earlier.probe,
    )
    store.save_facts(study, facts)
    standard = with_taste(prepared.standard, experiment.score, facts.taste)
    facts = draw_references(leader, facts, standard, pieces)
    store.save_facts(study, facts)
    facts = with_probe(leader, facts)
    store.save_facts(study, facts)
    seconds = [row["seconds"] for row in facts.references or []]
    budget = replace(budget, first=sum(seconds) / max(len(seconds), 1) * len(facts.order))
    if search(leader, budget):
        _check(leader, facts, budget)
        if prepared.sweeps:
            remove_unnamed_files(leader.out, rows_with_pictures(store.stored(study)))


def search(leader: Leader, budget: Budget, enough: Callable[[], str | None] | None = None) -> bool:
    """Have trials evaluated until the search or the budget is done; returns whether the search is.

    A trial that a kill left behind goes on under its own number with its own parameters, so a resumed study
    ends like an unbroken one.

    Args:
        enough: why no further trial is needed, asked after each; by default once all ratios are alike, or
            the best one's interval is as narrow as the experiment asks.

    Raises:
        RunFailed: several trials in a row failed of the same kind.
        MustStop: something is wrong that no other trial would be spared.
    """
    study, experiment = leader.study, leader.experiment
    study.set_user_attr(store.DONE, None)
    queue.draw_from(study, study)
    if enough is None:
        enough = partial(known_enough, study, leader.out, experiment)
    images = RenderedImages.of(study, experiment)

    def on_end(trial: FrozenTrial, found: Outcome | GridsearchError) -> None:
        stopped = trial.user_attrs.get(store.REASON) if trial.state == TrialState.PRUNED else None
        told = Told(trial.number, parameters_of(trial), found, stopped)
        leader.listener.trial(told)
        if note := images.add(told):
            leader.listener.note(note)

    trials = study.get_trials(deepcopy=False)
    progress = TrialProgress("trial", leader, lambda _: len(leader.order), on_end, trials)
    narrow = enough() if any(trial.state in store.ENDED for trial in trials) else None
    known = 0  # trials that had ended when that was asked
    for trials in looks(leader, study):
        progress.tell(trials)
        stop_after_failures(progress.ended)
        if len(progress.ended) > known:
            narrow, known = enough(), len(progress.ended)
        if done := why_done(study, experiment, trials, narrow):
            study.set_user_attr(store.DONE, done)
            return True
        may_start = fill_queue(leader, trials, budget, proposing=narrow is None)
        rendering = [t for t in trials if t.state == TrialState.RUNNING and t.number not in leader.held]
        if not may_start and not rendering:
            return False
    raise AssertionError  # looks never end


def _check(leader: Leader, facts: store.Facts, budget: Budget) -> None:
    """Have the leaders rendered on held-out prompts, and the best once more, as far as there is time."""
    checks, order = store.checks_of(leader.study), cases_by_role(facts)
    queue_checks(leader.study, checks, leader.out, leader.experiment, bool(facts.held_out))

    def on_end(trial: FrozenTrial, found: Outcome | GridsearchError) -> None:
        leader.listener.check(*check_of(trial), found)

    def images(trial: FrozenTrial) -> int:
        return len(order[check_of(trial)[0].role])

    progress = TrialProgress("check", leader, images, on_end, checks.get_trials(deepcopy=False))
    for trials in looks(leader, checks):
        progress.tell(trials)
        unfinished = [trial for trial in trials if not trial.state.is_finished()]
        has_time = budget.has_time(leader.study.get_trials(deepcopy=False))
        queue.draw_from(leader.study, checks if has_time and unfinished else None)
        if not unfinished or not (has_time or any(t.state == TrialState.RUNNING for t in unfinished)):
            return


@dataclass
class TrialProgress:
    """The trials of a study, as far as the listener has been told of them."""

    role: str  # "trial" or "check"
    leader: Leader
    images: Callable[[FrozenTrial], int]  # how many a trial has if nothing prunes it
    on_end: Callable[[FrozenTrial, Outcome | GridsearchError], None]  # called with each that has ended
    known: InitVar[Sequence[FrozenTrial]]  # trials whose images and ends are not told again
    told: dict[int, int] = field(init=False)  # trial's number -> how many of its images were told
    over: set[int] = field(init=False)  # numbers of the trials whose ends were told
    ended: list[FrozenTrial] = field(default_factory=list)  # those since the beginning, in order

    def __post_init__(self, known: Sequence[FrozenTrial]) -> None:
        self.told = {trial.number: len(store.images_of(trial)) for trial in known}
        self.over = {trial.number for trial in known if trial.state.is_finished()}

    def tell(self, trials: Sequence[FrozenTrial]) -> None:
        """Tell the listener of new images and of trials that have ended."""
        fresh = [trial for trial in trials if trial.number not in self.over]
        if not self.leader.crew.here:
            self._tell_images(fresh)
        over = [trial for trial in fresh if trial.state.is_finished()]
        if over:
            store.checkpoint(self.leader.out)
        for trial in sorted(over, key=attrgetter("datetime_complete")):
            self.over.add(trial.number)
            self.ended.append(trial)
            self.on_end(trial, self._result_of(trial))
        if not self.leader.crew.here:
            running = [trial for trial in fresh if trial.state == TrialState.RUNNING]
            self.leader.listener.drawing_many(
                self.role,
                [parameters_of(trial) for trial in running],
                sum(self.told[trial.number] for trial in running),
                sum(map(self.images, running)),
            )

    def _tell_images(self, trials: Sequence[FrozenTrial]) -> None:
        cases = self.leader.cases
        for trial in trials:
            rows = store.images_of(trial)
            for row in rows[self.told.get(trial.number, 0) :]:
                judged = row["verdict"], row["reason"], row["defect"], number(row["dial"])
                self.leader.listener.image(cases[case_of(row)], Score(*judged, metrics_of(row)))
            self.told[trial.number] = len(rows)

    def _result_of(self, trial: FrozenTrial) -> Outcome | GridsearchError:
        if trial.state == TrialState.FAIL:
            return RunFailed(str(trial.user_attrs.get(store.REASON)), kind=store.kind_of(trial) or "other")
        return Outcome(store.images_of(trial), store.seconds_of(trial), self.images(trial))
