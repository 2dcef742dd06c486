"""The figure that put the recommended trial before the others."""

from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.posterior import SAME
from gridsearch.results.analysis.trials import whole
from gridsearch.results.columns import CONTENT
from gridsearch.results.results import Results


def decided_by(results: Results, answer: Answer) -> tuple[str, str] | None:
    """Return what decided in a word or two, and how; None where there is nothing to choose from.

    The order is: survived, then the loss, in which the defect counts, and the content where it has a weight.
    """
    best = answer.best
    others = whole(results)
    others = others[others["trial"] != best.trial] if best else others
    if best is None or others.empty:
        return None
    if answer.human and answer.human.winner == best.trial:
        return "a person", "whose answers prefer it to trials that score as well"
    if answer.unmasked:
        return "held-out prompts", "the trial that was best on the others had luck"
    most, score = float(others["survived"].max()), _score(results)
    if best.survived > most + SAME:
        return "survival", f"no other trial has more than {most:.0%} of its images healthy"
    if best.survived < most - SAME:
        return score, f"over its neighbours and all prompts, although another has {most:.0%} healthy"
    equal = others[others["survived"] >= most - SAME]
    if best.defect > float(equal["defect"].min()) - SAME:
        return "its place", "in the middle of the trials that are as good"
    many = f"{len(equal)} other trials have" if len(equal) > 1 else "another trial has"
    count = len(answer.tied)
    good = f"; counting defects too, {count} {'are' if count > 1 else 'is'} as good" if count else ""
    return score, f"{many} as many healthy images{good}"


def _score(results: Results) -> str:
    content = results.settings.get("score", {}).get(CONTENT)
    return "defect and content" if content and content.get("weight") else "defect"
