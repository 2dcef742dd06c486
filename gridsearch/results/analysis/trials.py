"""Choice of the trials that count, and the curves that they make."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.words import is_number
from gridsearch.experiment.methods import METHODS
from gridsearch.experiment.parameters import curve_parameter, searched_places, settings_at
from gridsearch.experiment.search_samplers import SEARCH_SAMPLERS
from gridsearch.results.results import Results

MANY_CURVES = 6  # more than can be told apart
CURVE = 3  # places; fewer make no curve
NO_GUIDANCE = 1.0  # cfg; at this or less the negative prompt has no weight


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
    first = ~_places(ranked[list(results.parameters)]).duplicated()
    return trials.loc[trials.index.isin(ranked.index[first.to_numpy()])]


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


def _places(parameters: pd.DataFrame) -> pd.Series:
    """Return each row as one value that compares; a missing value equals another missing one."""
    rows = [tuple(map(_tidied, row)) for row in parameters.itertuples(index=False)]
    return pd.Series(rows, index=parameters.index, dtype=object)


def _tidied(value: Any) -> Any:
    if is_number(value) and not pd.isna(value):
        return round(float(value), 10)  # 0.30000000000000004 and 0.3 are the same ratio
    return None if pd.isna(value) else value


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
    if not others or is_projection(results):
        trials = _placed(results, trials).sort_values("at", kind="stable")
        return [({}, trials)] if len(trials) else []
    return [
        (dict(zip(others, map(_known, key), strict=True)), group.sort_values("at", kind="stable"))
        for key, group in _placed(results, trials).groupby(others, dropna=False, sort=True)
    ]


def _placed(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    main = curve_parameter_of(results)
    return trials.assign(at=trials[main].astype(float).round(10) if main else 0.0).dropna(subset="at")


def _known(value: Any) -> Any:
    return None if pd.isna(value) else plain_value(value)


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


# -- recipes


def made_of(settings: Mapping, parameters: Mapping) -> str | tuple:
    """Return the merge at these parameters: a model's name where nothing is mixed, else an expression.

    Two sets of parameters with equal expressions are the same merge, such as those that differ in a step
    which a later ratio of 0 leaves out.
    """
    made: dict[str, str | tuple] = {}
    made_last: str | tuple = ()
    for step in settings_at(settings, parameters).get("merge", ()):
        inputs = tuple(made.get(name, name) for name in step["models"])
        kept = _unmixed(step, inputs)
        rest = sorted((key, str(value)) for key, value in step.items() if key not in ("name", "models"))
        made_last = made[step["name"]] = (inputs, tuple(rest)) if kept is None else inputs[kept]
    return made_last


def lone_parent(settings: Mapping, parameters: Mapping) -> str | None:
    """Return the model that the recipe leaves unmixed at these parameters; None where it mixes."""
    made = made_of(settings, parameters)
    return made if isinstance(made, str) else None


def _unmixed(step: Mapping, inputs: Sequence) -> int | None:
    """Return the input that a step passes on bit for bit (see `gridsearch.merge.engine.collapse`), if any."""
    method, ratio = step.get("method", "weighted_sum"), step.get("ratio")
    if method == "weighted_sum" and inputs[0] == inputs[1]:
        return 0  # what is mixed with itself stays, at every ratio
    return METHODS[method].alone_at.get(ratio) if is_number(ratio) else None


# -- pictures


def drawn_with(settings: Mapping, parameters: Mapping) -> tuple[tuple[str, object], ...]:
    """Return the searched settings of the images, without those of no effect: equal ones draw alike.

    Guidance of 1 or less is none (see `gridsearch.render.denoise.guidance`), and what is not guided is not
    rescaled.
    """
    names = [name for name in searched_places(settings) if name.startswith("render.") and name in parameters]
    drawn = {name: _tidied(parameters[name]) for name in names}
    cfg = settings_at(settings, parameters).get("render", {}).get("cfg")
    if is_number(cfg) and cfg <= NO_GUIDANCE:
        drawn.pop("render.cfg_rescale", None)
        drawn |= {"render.cfg": NO_GUIDANCE} if "render.cfg" in drawn else {}
    return tuple(sorted(drawn.items()))


def plain_value(value: Any) -> Any:
    """Return a table's value as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
