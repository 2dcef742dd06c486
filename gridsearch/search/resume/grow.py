"""Growing a run by prompts or seeds: each trial is queued again, with its images."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState, create_trial

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.prompts import cases_of
from gridsearch.results import store
from gridsearch.search.checks import HELD_OUT, ROLE
from gridsearch.search.parameters import as_given, parameters_of
from gridsearch.search.racing.reports import LAST_STEP


def order_of(facts: store.Facts) -> list[str]:
    """Return the ids of a run's cases, as they are drawn; of an earlier version's, as they are written."""
    if facts.order:
        return facts.order
    return [case.id for case in cases_of(Experiment.model_validate(facts.experiment).prompt)]


def has_grown(earlier: store.Facts, now: store.Facts) -> bool:
    """Return whether there are cases that the run did not have."""
    return len(now.order) > len(order_of(earlier)) or len(_held_out(now)) > len(_held_out(earlier))


def _held_out(facts: store.Facts) -> list[str]:
    prompts = Experiment.model_validate(facts.experiment).prompt
    return [case.id for case in cases_of(prompts) if case.prompt_id in facts.held_out]


def grown(
    stored: store.Stored, facts: store.Facts
) -> tuple[store.Facts, list[FrozenTrial], list[FrozenTrial]]:
    """Return the study to go on with: facts, trials and checks.

    A whole trial is queued under its own number, and draws only its new cases. A trial that was stopped stays
    so.
    """
    kept = replace(facts, references=stored.facts.references)
    trials = list(_queued(stored.trials, len(facts.order) / len(order_of(stored.facts))))
    more = len(_held_out(facts)) > len(_held_out(stored.facts))
    checks = [
        _waiting(check) if more and check.user_attrs.get(ROLE) == HELD_OUT else check
        for check in stored.checks
    ]
    return kept, trials, checks


def _queued(trials: Sequence[FrozenTrial], scale: float) -> Iterable[FrozenTrial]:
    seen = []
    for trial in trials:
        if trial.state == TrialState.COMPLETE or trial.state in store.UNFINISHED:
            # one that was a copy of another is so again, and not drawn itself
            parameters = parameters_of(trial)
            yield _waiting(trial, images=parameters not in seen)
            seen.append(parameters)
        elif trial.state == TrialState.PRUNED:
            yield _longer(trial, scale)
        else:
            yield trial


def _waiting(trial: FrozenTrial, images: bool = True) -> FrozenTrial:
    rows = store.images_of(trial) if images else []
    attrs = store.with_images(trial, rows)
    attrs = {key: value for key, value in attrs.items() if key != store.SUMMARY}
    if trial.state == TrialState.COMPLETE:
        attrs[store.WAS_COMPLETE] = True
    fixed = {"fixed_params": as_given(trial)}
    return create_trial(state=TrialState.WAITING, user_attrs=attrs, system_attrs=fixed)


def _longer(trial: FrozenTrial, scale: float) -> FrozenTrial:
    """Return a stopped trial among longer ones, whose value, the number of images lost, grows by `scale`."""
    assert trial.value is not None  # the last report of a trial that was stopped
    value = trial.value * scale
    reports = trial.intermediate_values | {LAST_STEP: value}
    return store.copied(trial, values=[value], intermediate_values=reports)
