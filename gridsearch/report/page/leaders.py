"""The report's tables of single trials: the leaders on held-out prompts, the front, the nearest trials."""

from gridsearch.base.words import metric_text, setting_text
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.sanity import trial_text
from gridsearch.results.analysis.sentence import MOST_NAMED
from gridsearch.results.results import Results


def leader_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the leaders that were checked, each with its values on both sets of prompts."""
    lucky = answer.unmasked.trial if answer.unmasked else None
    best = answer.best.trial if answer.best else None
    return [
        {
            "name": trial_text(results, results.trials, found.trial),
            "mark": "won by luck" if found.trial == lucky else "recommended" if found.trial == best else "",
            "best": found.trial == best,
            "chosen": found.selection.sound,
            "held_out": found.held_out.sound,
            "chosen_defect": metric_text(round(found.selection.defect, 3)),
            "held_out_defect": metric_text(round(found.held_out.defect, 3)),
        }
        for found in answer.confirmed
    ]


def front_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the trials on the front of blur and noise."""
    best = answer.best.trial if answer.best else None
    return [
        {
            "trial": point.trial,
            "best": point.trial == best,
            "mark": ", ".join(["recommended"] * (point.trial == best) + ["knee"] * point.knee),
            "parameters": _values(results, answer, point.trial),
            "survived": f"{point.survived:.0%}",
            "blur": metric_text(point.blur),
            "noise": metric_text(point.noise),
        }
        for point in answer.front
    ]


def neighbour_rows(results: Results, answer: Answer) -> list[dict]:
    """Return the best trial and those nearest to it, where many values are searched at once."""
    if not answer.projection or answer.best is None:
        return []
    best = answer.best
    rows = [(best.trial, 0.0, best.survived, best.defect)]
    rows += [(near.trial, near.distance, near.survived, near.defect) for near in answer.neighbours]
    return [
        {
            "trial": trial,
            "best": trial == best.trial,
            "distance": f"{distance:.2f}",
            "survived": f"{survived:.0%}",
            "defect": metric_text(round(defect, 3)),
            "parameters": _values(results, answer, trial),
        }
        for trial, distance, survived, defect in rows
    ]


def _values(results: Results, answer: Answer, trial: int) -> str:
    """Return a trial's values in words, only those that matter most where there are many."""
    row = results.trials.set_index("trial").loc[trial]
    ranked = [name for name, _ in answer.importances] or list(results.parameters)
    names = ranked[:MOST_NAMED] if len(results.parameters) > MOST_NAMED else results.parameters
    left = len(results.parameters) - len(names)
    return ", ".join(setting_text(name, row[name]) for name in names) + (f" and {left} more" if left else "")
