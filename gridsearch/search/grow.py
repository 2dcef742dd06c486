"""A run whose experiment has more prompts or seeds now: each trial is queued again, with its images."""

from collections.abc import Iterable
from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState, create_trial

from gridsearch import store
from gridsearch.experiment import Experiment
from gridsearch.outcome import Outcome
from gridsearch.render.cases import cases_of
from gridsearch.search.checks import HELD_OUT, ROLE

UNDER_WAY = (TrialState.RUNNING, TrialState.WAITING)


def order_of(facts: store.Facts) -> list[str]:
    """Ids of the cases of a run, as they are drawn; of an earlier version's, as they are written."""
    if facts.order:
        return facts.order
    return [case.id for case in cases_of(Experiment.model_validate(facts.experiment).prompt)]


def has_grown(earlier: store.Facts, now: store.Facts) -> bool:
    """Whether there are cases that the run did not have."""
    return len(now.order) > len(order_of(earlier)) or len(_held_out(now)) > len(_held_out(earlier))


def _held_out(facts: store.Facts) -> list[str]:
    prompts = Experiment.model_validate(facts.experiment).prompt
    return [case.id for case in cases_of(prompts) if case.prompt_id in facts.held_out]


def grown(
    stored: store.Stored, facts: store.Facts
) -> tuple[store.Facts, list[FrozenTrial], list[FrozenTrial]]:
    """The study to go on with: facts, trials and checks.

    What was drawn whole is queued under its own number, and draws what is new only. A trial that was stopped
    as hopeless stays so.
    """
    kept = replace(facts, references=stored.facts.references)
    trials = list(_queued(stored.trials, len(facts.order)))
    more = len(_held_out(facts)) > len(_held_out(stored.facts))
    checks = [
        _waiting(check) if more and check.user_attrs.get(ROLE) == HELD_OUT else check
        for check in stored.checks
    ]
    return kept, trials, checks


def _queued(trials: Iterable[FrozenTrial], cases: int) -> Iterable[FrozenTrial]:
    seen = []
    for trial in trials:
        if trial.state == TrialState.COMPLETE or trial.state in UNDER_WAY:
            # one that was a copy of another is so again, and not drawn itself
            yield _waiting(trial, images=trial.params not in seen)
            seen.append(trial.params)
        elif trial.state == TrialState.PRUNED:
            images = store.images_of(trial)
            yield _copy(trial, value=Outcome(images, store.seconds_of(trial), cases).value)
        else:
            yield trial


def _waiting(trial: FrozenTrial, images: bool = True) -> FrozenTrial:
    fixed = trial.system_attrs.get("fixed_params", {}) | trial.params
    attrs = trial.user_attrs if images else store.with_images(trial, [])
    attrs = {key: value for key, value in attrs.items() if key != store.SUMMARY}
    return create_trial(state=TrialState.WAITING, user_attrs=attrs, system_attrs={"fixed_params": fixed})


def _copy(trial: FrozenTrial, value: float) -> FrozenTrial:
    copy = create_trial(
        state=trial.state,
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
        intermediate_values=trial.intermediate_values,
    )
    copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copy
