"""Leading a study that workers draw: what to draw next, who is dead, and when it is done.

One process leads and draws nothing. It asks the sampler, puts trials into the queue with their parameters,
releases as many as are wanted soon, gives back what the dead held, and tells what comes in. Each look is at
one state of the study, and a trial only ever goes on from there, so a budget is kept to the trial.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.base.errors import GridsearchError, MustStop, RunFailed
from gridsearch.experiment.experiment import Experiment
from gridsearch.render.cases import Case, case_of, cases_of
from gridsearch.results import store
from gridsearch.results.shared import queue
from gridsearch.results.store.artifacts import gather
from gridsearch.results.store.artifacts import rows_of as rows_of_all
from gridsearch.search.checks import alarming, check_of, orders, queue_checks
from gridsearch.search.disk.cleanup import sweep
from gridsearch.search.evaluate import make_room, note_failures
from gridsearch.search.listener import Listener
from gridsearch.search.loop import Budget, Told, end_as, enqueue_missing, parameters_of, why_done
from gridsearch.search.prepare import Prepared, notes_on, prepare, study_of
from gridsearch.search.stop import narrow_enough
from gridsearch.search.trial.failures import named, require_free, require_some_luck
from gridsearch.search.trial.outcome import Outcome
from gridsearch.search.trial.references import judged_references, standard_of
from gridsearch.search.trial.standard import idle_notes
from gridsearch.search.workers.leases import Watch
from gridsearch.search.workers.progress import DrawnElsewhere, News
from gridsearch.search.workers.proposals import depth, propose, to_release, twin_of, wanted, with_parameters
from gridsearch.search.workers.references import enqueue_pieces, fingerprints_of, missing_pieces, rows_of

SOONEST, LATEST = 0.2, 5.0  # seconds from look to look
BUSY = 4  # times as long as a look computes: a large study leaves its database to its workers


class Crew(Protocol):
    """The workers on this machine.

    Attributes:
        size: how many there are.
    """

    size: int

    def look(self, heard: Collection[str]) -> list[str]:
        """The names of those that have died since the last look; others take their places.

        Args:
            heard: the names of workers that have taken something to draw.

        Raises:
            RunFailed: none is left that could draw.
        """

    def stop(self) -> None:
        """Have them end, and wait until they have."""


@dataclass
class Lead:
    """A study that is led, and what is minded between two looks.

    Attributes:
        still: says whether nobody else leads the study meanwhile.
        held: numbers of proposals that wait for another trial with the same parameters to end.
        released: trials below this number may be taken.
        pause: seconds that idle workers are told to let pass.
        beats, last: how often, and when, its workers were told that somebody leads.
    """

    study: optuna.Study
    prepared: Prepared
    out: Path
    listener: Listener
    crew: Crew
    watch: Watch
    still: Callable[[], bool]
    pace: float
    held: set[int] = field(default_factory=set)
    released: int = 0
    pause: float = 0.0
    beats: int = 0
    last: float = field(default_factory=time.monotonic)

    @property
    def experiment(self) -> Experiment:
        return self.prepared.experiment

    @property
    def cases(self) -> dict[str, Case]:
        return {case.id: case for case in cases_of(self.experiment.prompt)}


def lead(
    experiment: Experiment,
    file: Path,
    out: Path,
    budget: Budget,
    listener: Listener,
    crew: Crew,
    retries: int,
    pace: float = queue.USUAL_PACE,
) -> None:
    """Run the experiment read from `file`, or resume it, with workers that draw.

    Args:
        retries: how often a trial goes back to the queue when its worker has died.
        pace: seconds from beat to beat of whoever takes part.

    Raises:
        BadInput: the experiment, a model, or what is there already does not fit. Nothing was written.
        RunFailed: another run leads the study, no worker is left, or too many trials failed.
    """
    earlier = store.read_study(out) if store.has_study(out) else None
    prepared = prepare(experiment, file, out, listener, earlier)
    for note in notes_on(prepared):
        listener.note(note)
    with (
        store.locked(out, listener.note) as held,
        store.led(out, listener.note) as leading,
        named(out),
        study_of(prepared, out, listener, shared=True) as study,
    ):

        def still() -> bool:
            return held.still() and leading()

        watch = Watch(queue.MISSED * pace, retries)
        queue.begin(study, pace)
        why = "the run was stopped"
        try:
            _lead(Lead(study, prepared, out, listener, crew, watch, still, pace), budget)
            why = "the run is done"
        finally:
            with contextlib.suppress(MustStop):  # a database that is lost tells nobody
                queue.end(study, why)
            crew.stop()


def _lead(lead: Lead, budget: Budget) -> None:
    """The references first, then the search, then what was found is checked."""
    study, facts = lead.study, lead.prepared.facts
    if lead.experiment.search.sampler == "grid":
        enqueue_missing(study, lead.experiment)
    _take_up(lead)
    earlier = store.load_facts(study)
    known = earlier.references or []
    gather(lead.out, known)
    known = [row for row in known if (lead.out / row["file"]).is_file()]
    trials = study.get_trials(deepcopy=False)
    ended = sum(trial.state in store.ENDED for trial in trials)
    pieces = list(missing_pieces(known, lead.experiment.reference_models(), [*lead.cases.values()]))
    missing = sum(len(cases) for _, cases in pieces)
    about = lead.experiment.search.sampler == "window"
    lead.listener.start(store.remaining(facts, trials), ended, len(facts.order), missing, about)
    store.save_facts(study, replace(facts, references=known or None, parents=earlier.parents))

    facts = _with_references(lead, known, earlier.parents, pieces)
    store.save_facts(study, facts)
    seconds = [row["seconds"] for row in facts.references]
    budget = replace(budget, first=sum(seconds) / max(len(seconds), 1) * len(facts.order))
    if _search(lead, facts, budget):
        _check(lead, facts, budget)
        sweep(lead.out, rows_of_all(store.stored(study)))


def _take_up(lead: Lead) -> None:
    """What an earlier run left under way: nobody's trials, and in a folder's own study everybody's."""
    alone = store.place_of(lead.out).url is None
    for study in (lead.study, store.checks_of(lead.study), store.references_of(lead.study)):
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not alone and queue.lease_of(trial):
                continue  # its worker may live, on another machine
            if study is lead.study:
                trials = study.get_trials(deepcopy=False)
                trial = with_parameters(study, lead.experiment, trial, trials)
                _place(lead, trial, study.get_trials(deepcopy=False))
            else:
                queue.put_back(study, trial._trial_id)


# -- looking


def _looks(lead: Lead, study: optuna.Study) -> Iterator[list[FrozenTrial]]:
    """The trials of a study, again and again. What the dead held has gone back to the queue."""
    while True:
        began = time.process_time()
        _say_alive(lead, time.monotonic())
        require_free(lead.out, 0)
        dead = lead.crew.look(lead.watch.workers)
        trials = study.get_trials(deepcopy=False)
        held = lead.held if study is lead.study else ()
        lost = lead.watch.lost([trial for trial in trials if trial.number not in held], dead)
        for trial in lost:
            lead.watch.give_back(study, trial)
        yield study.get_trials(deepcopy=False) if lost else trials
        time.sleep(min(LATEST, max(SOONEST, BUSY * (time.process_time() - began))))


def _say_alive(lead: Lead, now: float) -> None:
    """Workers elsewhere wait for a run that goes on, and not for one that has died."""
    if now - lead.last < lead.pace:
        return
    if not lead.still():
        raise MustStop("Another run leads this study now.", fix="Leave it to that one, or stop it first.")
    lead.beats, lead.last = lead.beats + 1, now
    queue.lead_on(lead.study, lead.beats)


# -- references


def _with_references(lead: Lead, known: list[dict], parents: dict[str, str], pieces: list) -> store.Facts:
    """The facts, once what healthy looks like is drawn and judged."""
    alone = [name for name in lead.experiment.pure_models() if name not in parents]
    models, cases = lead.experiment.reference_models(), [*lead.cases.values()]
    standard = standard_of(
        [row for row in known if row["model"] in models], [*lead.cases], lead.prepared.standard
    )
    if pieces or alone:
        make_room(lead.study, lead.out, lead.experiment, len(models))
        study = store.references_of(lead.study)
        enqueue_pieces(study, pieces, alone)
        queue.draw_from(lead.study, study)
        done = _drawn_pieces(lead, study)
        parents = parents | fingerprints_of(done)
        asked = {(model, case) for model, ids in pieces for case in ids}
        new = [row for row in rows_of(done) if (row["model"], case_of(row)) in asked]
        if new:
            gather(lead.out, new)
            known, standard = judged_references(lead.out, known + new, models, cases, lead.prepared.standard)
            note_failures(known, set(), lead.listener)
    for note in idle_notes(standard):
        lead.listener.note(note)
    return replace(lead.prepared.facts, references=known, parents=parents)


def _drawn_pieces(lead: Lead, study: optuna.Study) -> list[FrozenTrial]:
    seen: set[str] = set()
    failed = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.FAIL}
    for trials in _looks(lead, study):
        for row in rows_of(trials):
            if row["file"] not in seen:
                seen.add(row["file"])
                lead.listener.reference(DrawnElsewhere(lead.cases[case_of(row)], row["seconds"]))
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in failed:
                why = str(trial.user_attrs.get(store.REASON))
                raise RunFailed("The references could not be drawn.", why=why)
        if all(trial.state.is_finished() for trial in trials):
            return trials
    raise AssertionError  # looks never end


# -- the search


def _search(lead: Lead, facts: store.Facts, budget: Budget) -> bool:
    """Have trials drawn until the experiment or the budget is done; whether no further one is needed."""
    study, experiment = lead.study, lead.experiment
    study.set_user_attr(store.DONE, None)
    queue.draw_from(study, study)
    enough = partial(narrow_enough, study, lead.out, experiment.search.width)
    told = alarming(study, facts.experiment, lead.listener.trial, lead.listener.note)

    def on_end(trial: FrozenTrial, found: Outcome | GridsearchError) -> None:
        stopped = trial.user_attrs.get(store.REASON) if trial.state == TrialState.PRUNED else None
        told(Told(trial.number, parameters_of(trial), found, stopped))

    news = News("trial", lead.listener, lead.cases, lambda _: len(facts.order), on_end)
    news.begin(study.get_trials(deepcopy=False))
    narrow, known = None, 0  # why no further trial is needed, asked once of so many that have ended
    for trials in _looks(lead, study):
        news.tell(trials)
        require_some_luck(news.ended)
        going = any(trial.state in store.UNFINISHED for trial in trials)
        if not going and (done := why_done(study, experiment, enough)) is not None:
            study.set_user_attr(store.DONE, done)
            return True
        if len(news.ended) > known:
            narrow, known = enough(), len(news.ended)
        going = _filled(lead, trials, budget, proposing=narrow is None)
        drawn = [t for t in trials if t.state == TrialState.RUNNING and t.number not in lead.held]
        if not going and not drawn:
            return False
    raise AssertionError  # looks never end


def _filled(lead: Lead, trials: list[FrozenTrial], budget: Budget, proposing: bool) -> bool:
    """Have so many trials wait as are wanted soon; whether any may still begin."""
    study = lead.study
    held = [trial for trial in trials if trial.number in lead.held]
    for trial in held:
        _place(lead, trial, trials)
    if held:
        trials = study.get_trials(deepcopy=False)
    most = _may_begin(study, trials, budget)
    waiting = sum(trial.state == TrialState.WAITING for trial in trials)
    drawn = sum(t.state == TrialState.RUNNING and t.number not in lead.held for t in trials)
    idle = max(lead.watch.idle(), lead.crew.size - drawn)
    enough = depth(drawn, idle, lead.experiment.search.sampler)
    enough = enough if most is None else min(enough, most)
    while waiting < enough and proposing and wanted(study, lead.experiment, trials):
        new = propose(study, lead.experiment, trials)
        waiting += _place(lead, new, trials)
        trials.append(study._storage.get_trial(new._trial_id))
    below = to_release(trials, most, enough)
    if (pause := queue.pause_for(idle + drawn)) != lead.pause:
        queue.let_pause(study, pause)
        lead.pause = pause
    if below != lead.released:
        begun = sum(
            t.state == TrialState.RUNNING or t.number < below for t in trials if t.state in store.UNFINISHED
        )
        make_room(study, lead.out, lead.experiment, begun)
        queue.release(study, below)
        lead.released = below
    return most is None or most > 0


def _may_begin(study: optuna.Study, trials: list[FrozenTrial], budget: Budget) -> int | None:
    """How many trials may begin within the budget; None for any number."""
    if not budget.may_start(study):
        return 0
    if budget.trials is None:
        return None
    begun = sum(trial.state in (*store.ENDED, TrialState.RUNNING) for trial in trials)
    return max(budget.trials - begun, 0)


def _place(lead: Lead, trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
    """Put a proposal into the queue, if nobody else has drawn, or will draw, the same.

    What another has drawn is copied. Where another is at it, this one is held, and placed later.
    """
    twin = twin_of(trial, trials)
    lead.held.add(trial.number)
    if twin is not None and twin.state in store.UNFINISHED:
        return False
    lead.held.discard(trial.number)
    if twin is None:
        return queue.put_back(lead.study, trial._trial_id)
    cases, objectives = len(lead.prepared.facts.order), lead.experiment.search.objectives()
    end_as(lead.study, optuna.Trial(lead.study, trial._trial_id), twin, cases, objectives)
    return False


# -- checks


def _check(lead: Lead, facts: store.Facts, budget: Budget) -> None:
    """Have the leaders drawn on held-out prompts, and the best once more."""
    if not budget.may_start(lead.study):
        return
    checks = store.checks_of(lead.study)
    queue.draw_from(lead.study, checks)
    order = orders(facts.held_out, [*lead.cases.values()], facts.order)
    queue_checks(lead.study, checks, lead.out, lead.experiment, order)
    waiting = sum(not trial.state.is_finished() for trial in checks.get_trials(deepcopy=False))
    make_room(lead.study, lead.out, lead.experiment, waiting)

    def on_end(trial: FrozenTrial, found: Outcome | GridsearchError) -> None:
        lead.listener.check(*check_of(trial), found)

    def images(trial: FrozenTrial) -> int:
        return len(order[check_of(trial)[0].role])

    news = News("check", lead.listener, lead.cases, images, on_end)
    news.begin(checks.get_trials(deepcopy=False))
    for trials in _looks(lead, checks):
        news.tell(trials)
        if all(trial.state.is_finished() for trial in trials):
            return
