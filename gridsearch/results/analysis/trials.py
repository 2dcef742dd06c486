"""Choice of the trials that count, and the curves that they make."""

from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.words import is_number
from gridsearch.experiment.parameters import curve_parameter
from gridsearch.experiment.tables import SEARCH_SAMPLERS
from gridsearch.results.analysis.identical import comparable
from gridsearch.results.results import Results

MANY_CURVES = 6  # more than can be told apart
CURVE = 3  # places; fewer make no curve


def whole(results: Results) -> pd.DataFrame:
    """Return the trials with all their images: only these can win."""
    trials = results.trials
    if trials.empty:
        return trials
    return trials[(trials["state"] == "COMPLETE") & trials["survived"].notna() & ~is_partial(trials)]


def distinct_trials(results: Results) -> pd.DataFrame:
    """Return one trial for each set of parameters: the first whole one, or else the longest stopped one.

    A sampler may ask for the same again, which would count one picture twice.
    """
    trials = results.trials
    if trials.empty:
        return trials
    stopped = trials[trials["state"].isin(["COMPLETE", "PRUNED"]) & trials["survived"].notna()]
    stopped = stopped[is_partial(stopped)].sort_values("images", ascending=False, kind="stable")
    ranked = pd.concat([whole(results), stopped])
    rows = ranked[list(results.parameters)].itertuples(index=False)
    # a missing value equals another missing one
    again = pd.Series([tuple(map(comparable, row)) for row in rows], dtype=object).duplicated()
    return trials.loc[trials.index.isin(ranked.index[~again.to_numpy()])]


def without_copies(trials: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return one trial for each set of pictures: other parameters may draw the same ones, which are copied.

    At ratio 0, say, all second models do. They are points of several curves, and one piece of evidence.
    """
    files = images.dropna(subset="file").groupby("trial")["file"].agg(frozenset)
    drawn = trials["trial"].map(files)
    return trials[drawn.isna() | ~drawn.duplicated()]


def is_partial(trials: pd.DataFrame) -> pd.Series:
    """Return whether each trial was stopped: its figures are then those of the images that it has."""
    stopped = trials["state"] == "PRUNED"
    return stopped | trials["partial"].eq(True) if "partial" in trials else stopped


# -- curves


def curve_parameter_of(results: Results) -> str | None:
    """Return the parameter along which curves are drawn; None where there is none, or no trial yet."""
    found = curve_parameter(results.settings)
    return found if found in results.parameters and len(results.trials) else None


def numeric_parameters(results: Results) -> list[str]:
    found = results.trials
    return [name for name in results.parameters if len(found) and all(map(is_number, found[name].dropna()))]


def split_slices(results: Results, trials: pd.DataFrame) -> list[tuple[dict, pd.DataFrame]]:
    """Split the trials by their other parameters; in each part rows ascend by `at`, the main parameter.

    One that a trial does not have is None. A projection is one slice without settings.
    """
    others = [name for name in results.parameters if name != curve_parameter_of(results)]
    trials = _placed(results, trials).sort_values("at", kind="stable")
    if not others or is_projection(results):
        return [({}, trials)] if len(trials) else []
    found = []
    for key, group in trials.groupby(others, dropna=False, sort=True):
        values = [None if pd.isna(value) else plain_value(value) for value in key]
        found.append((dict(zip(others, values, strict=True)), group))
    return found


def _placed(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    main = curve_parameter_of(results)
    return trials.assign(at=trials[main].astype(float).round(10) if main else 0.0).dropna(subset="at")


def is_projection(results: Results) -> bool:
    """Return whether so many values are searched that hardly two trials differ in the main one alone.

    A search along curves knows which ones it draws, even where it has just begun.
    """
    sampler = results.settings.get("search", {}).get("sampler", "grid")
    others = [name for name in results.parameters if name != curve_parameter_of(results)]
    if SEARCH_SAMPLERS[sampler].ends_itself or not others or curve_parameter_of(results) is None:
        return False
    trials = _placed(results, results.trials[results.trials["state"].isin(["COMPLETE", "PRUNED"])])
    places = trials.groupby(others, dropna=False)["at"].nunique()
    return len(places) > MANY_CURVES and places.median() < CURVE


def plain_value(value: Any) -> Any:
    """Return a table's value as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
