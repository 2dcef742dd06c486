"""The probe as a piece of work: the leader queues it once, a worker asks the merges, the facts keep it."""

from dataclasses import replace

from optuna.trial import FrozenTrial, TrialState

from gridsearch.results import store
from gridsearch.results.analysis.sensitivity import probe_text
from gridsearch.results.shared import queue
from gridsearch.search.samplers.expectation import probed_ratios
from gridsearch.search.workers.look import Leader, looks

RATIOS, ANSWERS = "ratios", "answers"  # attributes of the piece


def with_probe(leader: Leader, facts: store.Facts) -> store.Facts:
    """Have the merges probed, unless they are, and return the facts with what they answer.

    The listener is told what is expected. A probe that fails costs the search nothing but itself.
    """
    ratios = probed_ratios(leader.experiment)
    if ratios and (facts.probe or {}).get("ratios") != ratios:
        piece = _answered(leader, ratios)
        facts = replace(facts, probe=piece.user_attrs.get(ANSWERS))
        if piece.state == TrialState.FAIL:
            why = piece.user_attrs.get(store.REASON)
            leader.listener.note(f"The search goes on without its probe, which failed: {why}")
    if ratios and (said := probe_text(facts.probe)):
        leader.listener.note(f"The probe expects {said}.")
    return facts


def _answered(leader: Leader, ratios: list[float]) -> FrozenTrial:
    """Return the piece that asks these ratios, once it has ended."""
    study = store.references_of(leader.study)
    own = [trial for trial in study.get_trials(deepcopy=False) if _is_of(trial, ratios)]
    if not own or own[-1].state == TrialState.FAIL:
        study.enqueue_trial({}, user_attrs={RATIOS: ratios})
    queue.draw_from(leader.study, study)
    for trials in looks(leader, study):
        piece = [trial for trial in trials if _is_of(trial, ratios)][-1]
        if piece.state.is_finished():
            return piece
    raise AssertionError  # looks never end


def _is_of(trial: FrozenTrial, ratios: list[float]) -> bool:
    return trial.user_attrs.get(RATIOS) == ratios
