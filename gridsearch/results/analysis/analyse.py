"""From a run's tables to its answer: the best trial, how sure that is, where the merge survives."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.answer import Answer, Doubt, Slice, Unmasked
from gridsearch.results.analysis.bradley_terry import Human, human_verdict
from gridsearch.results.analysis.held_out import confirmations, unmask
from gridsearch.results.analysis.identical import made_of
from gridsearch.results.analysis.ranking import front, recommended, tied_survivors
from gridsearch.results.analysis.sanity import checks, trial_text
from gridsearch.results.analysis.sentence import sentence
from gridsearch.results.analysis.trials import (
    curve_parameter_of,
    distinct_trials,
    importances,
    is_partial,
    is_projection,
    neighbours,
    plain_value,
    split_slices,
    whole,
    without_copies,
)
from gridsearch.results.analysis.window import disagreement, find_window
from gridsearch.results.results import Results
from gridsearch.results.store import objectives_of
from gridsearch.score.metrics import GOALS
from gridsearch.score.score import SURVIVES, image_losses

SCATTERED = Doubt(None, None, "too many values were searched at once to draw a curve along one of them")

_Group = tuple[dict, pd.DataFrame]  # of a curve: the other parameters, and the trials, ascending


def analyse(
    results: Results, level: float = 0.95, resamples: int = 2000, seed: int = 0, share: float = SURVIVES
) -> Answer:
    """Answer the run's question from its trials.

    Stopped trials never win or tie; they count for window and curve with the images that they have.

    Args:
        level: confidence of the interval.
        resamples, seed: of the bootstrap over prompts.
        share: what a ratio must keep of its images to be in the window.
    """
    complete, trials = whole(results), distinct_trials(results)
    images = results.images.assign(loss=_loss)
    groups = split_slices(results, trials)
    can_win = [(settings, rows) for settings, rows in groups if not is_partial(rows).all()]
    held_out = _held_out(results, trials)
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    slices, tied, lucky, human = _chosen(can_win, trials, images, held_out, results, share, bootstrap)
    best = slices[0] if slices else None
    row = complete.set_index("trial").loc[best.trial] if best else {}
    scattered, two_goals = is_projection(results), best and objectives_of(results.facts) == GOALS
    answer = Answer(
        main=curve_parameter_of(results),
        parameters={name: plain_value(row[name]) for name in results.parameters if best},
        slices=slices,
        tied=tied,
        complete=len(complete),
        planned=results.planned,
        finished=results.finished,
        share=share,
        stopped=int(is_partial(results.trials).sum()) if len(results.trials) else 0,
        given_up=tuple(settings for settings, rows in groups if is_partial(rows).all()),
        projection=scattered,
        neighbours=neighbours(best.trial, trials, results.parameters) if best and scattered else (),
        importances=_importances(trials, images, results),
        front=front(trials[~is_partial(trials)], images, results.references, share) if two_goals else (),
        confirmed=confirmations(best.trial, images, held_out) if best and len(held_out) else (),
        unmasked=lucky,
        human=human,
    )
    if best:
        answer = replace(answer, checks=checks(results, answer, best))
    return replace(answer, sentence=sentence(answer))


def _chosen(
    can_win: list[_Group],
    trials: pd.DataFrame,
    images: pd.DataFrame,
    held_out: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
) -> tuple[tuple[Slice, ...], tuple[int, ...], Unmasked | None, Human | None]:
    """Choose the best by these prompts, or by others if it was lucky; a person decides among its equals.

    Returned are the curves, the recommended one first, what ties with its trial, and who moved it.
    """
    if not can_win:
        return (), (), None, None
    answer_one = partial(_along_curve, images=images, results=results, share=share, bootstrap=bootstrap)
    curves = [(answer_one(*group), group) for group in can_win]
    curves.sort(key=lambda curve: (-curve[0].survived, curve[0].defect))
    lucky = unmask(curves[0][0].trial, images, held_out)
    if lucky is not None:
        curves = _led_by(lucky.instead, curves, answer_one)
        lucky = replace(lucky, named=trial_text(results, results.trials, lucky.trial))
    best = curves[0][0].trial
    tied = tied_survivors(best, trials[~is_partial(trials)], images, share)
    human = human_verdict(results.judgements, best, set(tied) - {lucky and lucky.trial})
    if human is not None:
        named = [replace(one, name=trial_text(results, results.trials, one.trial)) for one in human.trials]
        human = replace(human, trials=tuple(named))
        if human.winner not in (None, best):
            curves = _led_by(human.winner, curves, answer_one)
            tied = tuple(sorted({best, *tied} - {human.winner}))
    (first, group), *others = curves
    first = _with_details(first, group[1], images, results, bootstrap)
    return (first, *(one for one, _ in others)), tied, lucky, human


def _led_by(
    trial: int, curves: list[tuple[Slice, _Group]], answer_one: Callable[..., Slice]
) -> list[tuple[Slice, _Group]]:
    """Return the curves with the recommendation moved to a trial, whose curve comes first."""
    home = next(i for i, (_, (_, rows)) in enumerate(curves) if trial in set(rows["trial"]))
    group = curves[home][1]
    return [(answer_one(*group, chosen=trial), group), *curves[:home], *curves[home + 1 :]]


# -- one curve


def _along_curve(
    settings: dict,
    trials: pd.DataFrame,
    images: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping[str, Any],
    chosen: int | None = None,
) -> Slice:
    """Return the answer of one curve's trials; `chosen` is the one to recommend, if others decided.

    Of a projection it is the best of all: what is claimed of a curve would be claimed of other values too.
    """
    main, scattered = curve_parameter_of(results), is_projection(results)
    own = images.merge(trials[["trial", "at"]], on="trial")
    can_win = trials[~is_partial(trials)]
    doubt = SCATTERED
    if not scattered:
        doubt = optimum.doubt(own, **bootstrap) if main else optimum.NOT_SEARCHED
    if chosen is not None:
        best = can_win.set_index("trial", drop=False).loc[chosen]
    elif scattered:
        best = can_win.sort_values(["survived", "defect"], ascending=[False, True]).iloc[0]
    else:
        best = recommended(can_win, own, doubt.smoothed if doubt.interval else None, share)
    at = float(best["at"])
    window, estimated = None, set[float]()
    if main and not scattered:
        window = find_window(trials.groupby("at")["survived"].mean(), own, at, share)
        estimated = set(trials["at"]) - set(can_win["at"])
    made = made_of(results.settings, {name: plain_value(best[name]) for name in results.parameters})
    return Slice(
        settings=settings,
        trial=int(best["trial"]),
        ratio=at if main else None,
        parent=made if isinstance(made, str) else None,
        survived=float(best["survived"]),
        defect=float(best["defect"]),
        images=int((results.images["trial"] == best["trial"]).sum()),
        doubt=_with_recommended(doubt, at),
        window=window,
        estimated=tuple(sorted(estimated)),
    )


def _with_recommended(found: Doubt, best: float) -> Doubt:
    """Stretch the interval to the recommended ratio: where the two disagree, both are possible."""
    if found.interval is None:
        return found
    low, high = min(found.interval.low, round(best, 6)), max(found.interval.high, round(best, 6))
    return replace(found, interval=replace(found.interval, low=low, high=high))


def _with_details(
    best: Slice, trials: pd.DataFrame, images: pd.DataFrame, results: Results, bootstrap: Mapping[str, Any]
) -> Slice:
    """Add the details that are computed for the best slice only, since they take long."""
    if best.ratio is None or best.doubt is SCATTERED:
        return best
    own = images.merge(trials[["trial", "at"]], on="trial")
    wanted = results.settings.get("search", {}).get("width")
    narrowed = optimum.with_narrowing(best.doubt, own, wanted, **bootstrap)
    return replace(best, doubt=narrowed, disagreement=disagreement(own, best.ratio))


# -- the rest


def _held_out(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out images of leaders that may win: others wait for added prompts, or were stopped."""
    rows = results.checks_of("held_out").assign(loss=_loss)
    return rows[rows["trial"].isin(trials.loc[~is_partial(trials), "trial"])] if len(rows) else rows


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _importances(
    trials: pd.DataFrame, images: pd.DataFrame, results: Results
) -> tuple[tuple[str, float], ...]:
    if trials.empty:
        return ()
    loss = images.groupby("trial")["loss"].mean().rename("loss")
    own = without_copies(trials, images).join(loss, on="trial").dropna(subset="loss")
    return importances(own, results.parameters)
