"""From tables to the answer: the best trial, how sure that is, where the merge survives, what ties."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gridsearch.loss import SURVIVES, image_losses
from gridsearch.report import optimum
from gridsearch.report.answer import Answer, Interval, Slice
from gridsearch.report.labels import is_number
from gridsearch.report.results import Results
from gridsearch.report.sentence import sentence
from gridsearch.report.ties import tied_with
from gridsearch.report.window import find_window

FEW_PROMPTS = 8  # the bootstrap over fewer covers less than it says


def main_parameter(results: Results) -> str | None:
    """The numeric parameter that makes the curve: a ratio before any other, then the first."""
    numeric = [name for name in results.parameters if _is_numeric(results.trials, name)]
    ratios = [name for name in numeric if "ratio" in name.split(".")]
    return next(iter(ratios + numeric), None)


def _is_numeric(trials: pd.DataFrame, name: str) -> bool:
    return len(trials) > 0 and all(is_number(value) for value in trials[name].dropna())


def split_slices(results: Results, trials: pd.DataFrame) -> list[tuple[dict, pd.DataFrame]]:
    """The trials by their other parameters; in each, `at` is the main parameter and rows ascend by it."""
    main = main_parameter(results)
    # 0.30000000000000004 and 0.3 are the same ratio
    trials = trials.assign(at=trials[main].astype(float).round(10) if main else 0.0).dropna(subset="at")
    others = [name for name in results.parameters if name != main]
    if not others:
        return [({}, trials.sort_values("at"))] if len(trials) else []
    groups = trials.groupby(others, dropna=False, sort=True)
    return [(dict(zip(others, key, strict=True)), group.sort_values("at")) for key, group in groups]


def analyse(
    results: Results, level: float = 0.95, resamples: int = 2000, seed: int = 0, share: float = SURVIVES
) -> Answer:
    """Answer the run's question from its complete trials.

    Args:
        level: confidence of the interval.
        resamples, seed: of the bootstrap over prompts.
        share: what a ratio must keep of its images to be in the window.
    """
    main = main_parameter(results)
    complete = results.trials[(results.trials["state"] == "COMPLETE") & results.trials["survived"].notna()]
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    slices = [
        _answer_slice(settings, trials, results, main, share, bootstrap)
        for settings, trials in split_slices(results, complete)
    ]
    slices.sort(key=lambda item: (-item.survived, item.defect))
    best = slices[0] if slices else None
    row = complete.set_index("trial").loc[best.trial] if best else None
    answer = Answer(
        main=main,
        parameters={name: plain_value(row[name]) for name in results.parameters} if best else {},
        slices=tuple(slices),
        tied=_tied(best, complete, results.images, share) if best else (),
        complete=len(complete),
        planned=results.planned,
        finished=results.finished,
        share=share,
    )
    return replace(answer, sentence=sentence(answer))


def _answer_slice(
    settings: dict, trials: pd.DataFrame, results: Results, main: str | None, share: float, bootstrap: dict
) -> Slice:
    images = results.images.merge(trials[["trial", "at"]], on="trial").assign(loss=_loss)
    best = _middle_of_the_best(trials, images)
    nothing = None, None, "no ratio was searched"
    smoothed, interval, note = _interval(images, float(best["at"]), **bootstrap) if main else nothing
    survived = trials.groupby("at")["survived"].mean()
    return Slice(
        settings={name: plain_value(value) for name, value in settings.items()},
        trial=int(best["trial"]),
        ratio=float(best["at"]) if main else None,
        parent=_parent(results.settings, float(best["at"])) if main == "ratio" else None,
        survived=float(best["survived"]),
        defect=float(best["defect"]),
        images=int((images["trial"] == best["trial"]).sum()),
        smoothed=smoothed,
        interval=interval,
        note=note,
        window=find_window(survived, images, best["at"], share) if main else None,
    )


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _middle_of_the_best(trials: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """The trial with the most survivors and then the least defect; of a run of equals, the middle one.

    Equals are neighbours along the ratio with the same survivors and a defect that is not worse by more
    than one standard error of the paired difference (Breiman et al. 1984, the one-standard-error rule).
    """
    trials = trials.reset_index(drop=True)
    leader = int(trials.sort_values(["survived", "defect"], ascending=[False, True]).index[0])
    cases = images.pivot_table(index=["prompt_id", "seed"], columns="trial", values="defect")
    equal = [
        row["survived"] == trials["survived"][leader]
        and _no_worse(cases, int(row["trial"]), int(trials["trial"][leader]))
        for _, row in trials.iterrows()
    ]
    low = high = leader
    while low > 0 and equal[low - 1]:
        low -= 1
    while high < len(trials) - 1 and equal[high + 1]:
        high += 1
    run = trials.iloc[low : high + 1]
    middle = (run["at"].iloc[0] + run["at"].iloc[-1]) / 2
    nearest = run.assign(distance=(run["at"] - middle).abs().round(10)).sort_values(["distance", "defect"])
    return nearest.iloc[0]


def _no_worse(cases: pd.DataFrame, trial: int, leader: int) -> bool:
    if trial == leader:
        return True
    if trial not in cases or leader not in cases:
        return False
    difference = (cases[trial] - cases[leader]).groupby("prompt_id").mean().dropna()
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return bool(difference.mean() <= error + 1e-9)


def _parent(settings: dict, ratio: float) -> str | None:
    """The model that a single step's ratio of 0 or 1 leaves unmixed."""
    steps = settings.get("merge", [])
    if len(steps) != 1 or steps[0].get("method") not in ("weighted_sum", "slerp"):
        return None
    first, second = steps[0]["models"]
    return {0.0: first, 1.0: second}.get(ratio)


def _interval(images: pd.DataFrame, best: float, level: float, resamples: int, seed: int):
    """(smoothed optimum, its interval with `best` inside, a note); see `gridsearch.report.optimum`."""
    losses = images.assign(one=1.0).pivot_table(
        index="prompt_id", columns="at", values=["loss", "one"], aggfunc="sum", fill_value=0
    )
    if losses.empty or losses["loss"].shape[1] < 3:
        return None, None, "fewer than three ratios: there is no curve yet"
    ratios = losses["loss"].columns.to_numpy(dtype=float)
    sums, counts = losses["loss"].to_numpy(dtype=float), losses["one"].to_numpy(dtype=float)
    centre, draws = optimum.optimum(ratios, sums, counts, resamples, seed)
    prompts = len(sums)
    if prompts == 1:
        return centre, None, "one prompt only: this is a guess"
    low, high = optimum.interval(ratios, centre, draws, level)
    # where the best trial and the smooth curve disagree, both stay possible
    low, high = round(min(low, best), 6), round(max(high, best), 6)
    note = (
        f"only {prompts} prompts: the true doubt is wider than this interval" if prompts < FEW_PROMPTS else ""
    )
    return centre, Interval(low, high, level, prompts, resamples), note


def _tied(best: Slice, complete: pd.DataFrame, images: pd.DataFrame, share: float) -> tuple[int, ...]:
    """Among the trials that survive; one that does not is out without a test."""
    alive = complete.loc[(complete["survived"] >= share) | (complete["trial"] == best.trial), "trial"]
    rows = images[images["trial"].isin(alive)]
    return tied_with(
        best.trial, rows.pivot_table(index=["prompt_id", "seed"], columns="trial", values="defect")
    )


def plain_value(value: object) -> object:
    """A table's value as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
