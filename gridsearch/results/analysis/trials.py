"""The trials that count, the curves that they make, and the searched values that make their difference."""

from math import inf, prod
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.base.words import is_number, setting_text
from gridsearch.experiment.parameters import curve_parameter, searched_values
from gridsearch.experiment.tables import SEARCH_SAMPLERS
from gridsearch.experiment.values import Range, is_range
from gridsearch.results.analysis.answer import Answer, Neighbour
from gridsearch.results.analysis.identical import comparable
from gridsearch.results.analysis.window import CURVE
from gridsearch.results.results import Results

MANY_CURVES = 6  # more than can be told apart
ENOUGH = 12  # trials; with fewer, shares are noise
FEW_VALUES = 8  # a number with more of them is cut into bins
NEAREST = 5  # neighbours of the best trial
PER_BIN = 12  # trials in a bin, so that its mean is worth comparing


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


def ranked(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with the best first, then those that were stopped, then those without a result."""
    order = trials.assign(stopped=is_partial(trials)).sort_values(
        ["stopped", "survived", "defect"], ascending=[True, False, True], na_position="last", kind="stable"
    )
    return trials.loc[order.index]


# -- curves


def curve_parameter_of(results: Results) -> str | None:
    """Return the parameter along which curves are drawn; None where there is none, or no trial yet."""
    found = curve_parameter(results.settings)
    return found if found in results.parameters and len(results.trials) else None


def searched_ends(results: Results, main: str) -> tuple[float, float] | None:
    """Return the least and the greatest value of a parameter that are searched; None where it has a list."""
    value = searched_values(results.settings)[main]
    if not is_range(value):
        return None
    values = Range.model_validate(value).values()
    return values[0], values[-1]


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
    curves = max(len(places), _possible(results, others))  # trials may be few yet
    return curves > MANY_CURVES and places.median() < CURVE


def _possible(results: Results, names: list[str]) -> float:
    """Return how many sets of these parameters' values the search chooses from; 1 where it names none."""
    of = searched_values(results.settings)
    counts = []
    for value in (of[name] for name in names if name in of):
        if is_range(value):
            counts.append((value["high"] - value["low"]) / value["step"] + 1 if value.get("step") else inf)
        else:
            counts.append(len(value))
    return prod(counts)


def plain_value(value: Any) -> Any:
    """Return a table's value as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


# -- the values


def at_the_end(trials: pd.DataFrame, answer: Answer) -> str:
    """Return a sentence on the recommended values that end what was tried, to follow another; or nothing.

    A ratio of 0 or 1 is a parent, and no setting goes below 0. Of many values some lie at an end by chance,
    and a setting whose curves do not get better all the way to that end says nothing of what lies beyond.
    """
    if answer.projection or answer.best is None:
        return ""
    said = []
    for name, value in answer.parameters.items():
        tried = trials[name].dropna()
        if not is_number(value) or tried.nunique() < 2 or value == 0 or (value == 1 and "ratio" in name):
            continue
        for end, words in ((tried.max(), ("highest", "higher")), (tried.min(), ("lowest", "lower"))):
            if value == end and (name == answer.main or _rises(name, answer)):
                said.append(f"{setting_text(name, value)} is the {words[0]} tried: try {words[1]}")
    return "".join(f" {one[:1].upper()}{one[1:]}." for one in said)


def _rises(name: str, answer: Answer) -> bool:
    """Return whether curves that differ in a setting alone are the worse, the farther it is from the best.

    Where the next curve's best is nearly as good they hardly are.
    """
    if answer.runner_up is not None:
        return False
    best = answer.slices[0].settings
    alike = [one for one in answer.slices if {**one.settings, name: best[name]} == best]
    at = {value: (-one.survived, one.defect) for one in alike if is_number(value := one.settings[name])}
    figures = [at[value] for value in sorted(at, reverse=best[name] == max(at))]
    return figures == sorted(figures)


def importances(trials: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    """Return the share of the variance of `loss` that goes with each parameter alone, largest first.

    That is the first-order index of a variance decomposition (Sobol' 1993), estimated from bins of equal
    numbers of trials, and corrected for what bins of pure noise would explain (epsilon squared, Kelley 1935):
    0 where a value does not matter. What is missing to 1 goes with values together, or is noise. Values that
    the sampler chose together share what they explain.

    A parameter that never changes has no share; none has where fewer than two change, or trials are too few.
    `loss` is the mean of a trial's images'.
    """
    varied = [name for name in names if trials[name].nunique() > 1]
    if len(varied) < 2 or len(trials) < ENOUGH or not np.ptp(trials["loss"].to_numpy()):
        return ()
    shares = {name: _share(trials["loss"], _groups(trials[name])) for name in varied}
    whole = max(sum(shares.values()), 1.0)  # values that go together would each claim what they explain
    shares = {name: share / whole for name, share in shares.items()}
    return tuple(sorted(shares.items(), key=lambda item: -item[1]))


def _groups(values: pd.Series) -> pd.Series:
    """Return the group of each trial: its value, or its bin. A trial without one is left out."""
    if not all(map(is_number, values.dropna())) or values.nunique() <= FEW_VALUES:
        return values
    return pd.qcut(values.astype(float), _bins(int(values.notna().sum())), duplicates="drop")


def _bins(trials: int) -> int:
    return int(np.clip(trials // PER_BIN, 3, FEW_VALUES))


def told_importances(results: Results, answer: Answer) -> tuple[tuple[str, float], ...]:
    """Return the shares that are no chance."""
    least = least_told(results, answer)
    return tuple((name, share) for name, share in answer.importances if share >= least)


def least_told(results: Results, answer: Answer) -> float:
    """Return the share below which it may be chance: what others leave, where together they claim all."""
    chance = by_chance(len(without_copies(distinct_trials(results), results.images)))
    claims_all = sum(share for _, share in answer.importances) > 1 - 1e-9
    return max(chance, 1 - chance) if claims_all else chance


def by_chance(trials: int) -> float:
    """Return the share that a number without any effect reaches in one case of twenty or so.

    Twice the deviation of epsilon squared of pure noise, which is that of chi squared over the trials.
    """
    return 2 * float(np.sqrt(2 * (_bins(trials) - 1))) / trials


def _share(loss: pd.Series, groups: pd.Series) -> float:
    """Return epsilon squared of a one-way analysis of variance, not below 0."""
    known = groups.notna()
    loss, groups = loss[known], groups[known]
    means = loss.groupby(groups, observed=True).transform("mean")
    free = len(loss) - groups.nunique()
    total = float(((loss - loss.mean()) ** 2).sum())
    if free < 1 or total == 0:
        return 0.0
    within = float(((loss - means) ** 2).sum())
    explained = total - within - (groups.nunique() - 1) * within / free
    return max(0.0, explained / total)


def neighbours(trial: int, trials: pd.DataFrame, names: tuple[str, ...]) -> tuple[Neighbour, ...]:
    """Return the nearest trials, stopped ones too; numbers count by range, unequal words are 1 apart."""
    here = trials.set_index("trial").loc[trial]
    square = sum(_apart(trials[name], here[name]) ** 2 for name in names)
    near = trials.assign(distance=np.sqrt(square / len(names)))
    near = near[near["trial"] != trial].sort_values("distance", kind="stable").head(NEAREST)
    return tuple(
        Neighbour(int(row["trial"]), float(row["distance"]), float(row["survived"]), float(row["defect"]))
        for _, row in near.iterrows()
    )


def _apart(values: pd.Series, here: object) -> pd.Series:
    if is_number(here) and all(map(is_number, values.dropna())):
        values = values.astype(float)
        return ((values - here).abs() / (values.max() - values.min() or 1.0)).fillna(1.0)
    return (values != here).astype(float)
