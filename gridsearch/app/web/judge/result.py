"""The result that the page shows at the end."""

from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.bradley_terry import Human


def result_dict(answer: Answer, report: str) -> dict:
    """Return the result as JSON values; `report` is the path of the report."""
    human = answer.human
    if human is None:
        return {"headline": "Nothing was judged", "text": "", "trials": [], "report": report}
    return {
        "headline": _headline(human),
        "text": answer.sentence,
        "trials": [
            {
                "name": found.name,
                "wins": found.wins,
                "ties": found.ties,
                "losses": found.losses,
                "chance": f"{found.chance:.0%}",
                "winner": found.trial == human.winner,
            }
            for found in human.trials
        ],
        "report": report,
    }


def _headline(human: Human) -> str:
    if human.winner is None:
        return "The choice stays with the metrics"
    name = human.preference(human.winner).name
    if human.winner == human.instead_of:
        return f"You agree with the metrics: {name}"
    return f"You prefer {name} to {human.preference(human.instead_of).name}"
