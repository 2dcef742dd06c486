"""The answer of one curve: its recommended trial, how sure that is, where the merge survives."""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from gridsearch.results.analysis import interval
from gridsearch.results.analysis.answer import Doubt, Slice
from gridsearch.results.analysis.equivalence import lone_parent
from gridsearch.results.analysis.prompts import disagreement
from gridsearch.results.analysis.ranking import recommended
from gridsearch.results.analysis.trials import (
    curve_parameter_of,
    is_partial,
    is_projection,
    plain_value,
)
from gridsearch.results.analysis.window import find_window
from gridsearch.results.results import Results

SCATTERED = Doubt(None, None, "too many values were searched at once to draw a curve along one of them")


def along_curve(
    settings: dict,
    trials: pd.DataFrame,
    images: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
    chosen: int | None = None,
) -> Slice:
    """Return the answer of one curve's trials.

    Of a projection it is the best trial of all: what is claimed of a curve would be claimed of other values
    too.

    Args:
        settings: the other parameters, the same in all of these trials.
        trials: those that count, with `at`, their main parameter; rows ascend by it.
        images: of all trials, with `loss`.
        share: what a place must keep of its images to be in the window.
        bootstrap: level, resamples, seed.
        chosen: the trial to recommend, if held-out prompts or a person decided.
    """
    main, scattered = curve_parameter_of(results), is_projection(results)
    own = images.merge(trials[["trial", "at"]], on="trial")
    can_win = trials[~is_partial(trials)]
    doubt = SCATTERED
    if not scattered:
        doubt = interval.doubt(own, **bootstrap) if main else interval.NOT_SEARCHED
    if chosen is not None:
        best = can_win.set_index("trial", drop=False).loc[chosen]
    elif scattered:
        best = can_win.sort_values(["survived", "defect"], ascending=[False, True]).iloc[0]
    else:
        best = recommended(can_win, own, doubt.smoothed if doubt.interval else None, share)
    window, estimated = None, set[float]()
    if main and not scattered:
        window = find_window(trials.groupby("at")["survived"].mean(), own, best["at"], share)
        estimated = set(trials["at"]) - set(can_win["at"])
    return Slice(
        settings=settings,
        trial=int(best["trial"]),
        ratio=float(best["at"]) if main else None,
        parent=lone_parent(results.settings, {name: plain_value(best[name]) for name in results.parameters}),
        survived=float(best["survived"]),
        defect=float(best["defect"]),
        images=int((results.images["trial"] == best["trial"]).sum()),
        doubt=interval.with_recommended(doubt, float(best["at"])),
        window=window,
        estimated=tuple(sorted(estimated)),
    )


def with_details(
    best: Slice, trials: pd.DataFrame, images: pd.DataFrame, results: Results, bootstrap: Mapping
) -> Slice:
    """Add the details that are computed for the best slice only, since they take long."""
    if best.ratio is None or best.doubt is SCATTERED:
        return best
    own = images.merge(trials[["trial", "at"]], on="trial")
    narrowed = interval.with_narrowing(best.doubt, own, results.wanted_width, **bootstrap)
    return replace(best, doubt=narrowed, disagreement=disagreement(own, best.ratio))
