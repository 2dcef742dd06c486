"""Questions of the search to its own results: the leaders, and whether the best is known closely enough."""

from pathlib import Path

import optuna

from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import Results
from gridsearch.results.tables import results_of


def leaders(study: optuna.Study, out: Path, wanted: int) -> list[int]:
    """Return the trials that may be the best: the best, those tied with it, then the next by rank."""
    results = _results(study, out)
    answer = analyse(results)
    if answer.best is None:
        return []
    ranked = results.trials[results.trials["state"] == "COMPLETE"]
    if results.parameters:
        ranked = ranked.drop_duplicates([*results.parameters])
    ranked = ranked.sort_values(["survived", "defect"], ascending=[False, True])["trial"].tolist()
    tied = [trial for trial in ranked if trial in answer.tied]
    return list(dict.fromkeys([answer.best.trial, *tied, *ranked]))[:wanted]


def narrow_enough(study: optuna.Study, out: Path, width: float | None) -> str | None:
    """Return why no further trial is needed, if so: the interval of the best is as narrow as asked."""
    if width is None:
        return None
    best = analyse(_results(study, out)).best
    if best is None or best.interval is None:
        return None
    found = best.interval.width
    return f"the best is known to within {found:.3g}, {width:g} was asked for" if found <= width else None


def _results(study: optuna.Study, out: Path) -> Results:
    """Return the search's own results: earlier checks have no say in what is checked."""
    stored = store.stored(study)
    return results_of(store.Stored(stored.facts, stored.trials, [], None), out)
