"""From a run's tables to its answer: the best trial, how sure that is, where the merge survives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from gridsearch.results.analysis.answer import Answer, FrontPoint, Slice, Unmasked
from gridsearch.results.analysis.bradley_terry import Human, human_verdict
from gridsearch.results.analysis.held_out import confirmations, unmask
from gridsearch.results.analysis.importance import importances, neighbours
from gridsearch.results.analysis.pareto import front
from gridsearch.results.analysis.ranking import by_case, tied_with
from gridsearch.results.analysis.sanity import checks, trial_text
from gridsearch.results.analysis.sentence import sentence
from gridsearch.results.analysis.slices import along_curve, with_details
from gridsearch.results.analysis.trials import (
    curve_parameter_of,
    distinct_trials,
    is_partial,
    is_projection,
    plain_value,
    split_slices,
    whole,
    without_copies,
)
from gridsearch.results.results import Results
from gridsearch.score.loss import SURVIVES, image_losses
from gridsearch.score.metrics import GOALS

Groups = list[tuple[dict, pd.DataFrame]]


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
    can_win = [(settings, rows) for settings, rows in groups if _any_whole(rows)]
    held_out = _held_out(results, trials)
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    chosen = _chosen(can_win, trials, images, held_out, results, share, bootstrap)
    best = chosen.slices[0] if chosen.slices else None
    row = complete.set_index("trial").loc[best.trial] if best else {}
    scattered = is_projection(results)
    answer = Answer(
        main=curve_parameter_of(results),
        parameters={name: plain_value(row[name]) for name in results.parameters if best},
        slices=chosen.slices,
        tied=chosen.tied,
        complete=len(complete),
        planned=results.planned,
        finished=results.finished,
        share=share,
        stopped=int(is_partial(results.trials).sum()) if len(results.trials) else 0,
        given_up=tuple(settings for settings, rows in groups if not _any_whole(rows)),
        projection=scattered,
        neighbours=neighbours(best.trial, trials, results.parameters) if best and scattered else (),
        importances=_importances(trials, images, results),
        front=_front(trials, images, results, share) if best else (),
        confirmed=confirmations(best.trial, images, held_out) if best and len(held_out) else (),
        unmasked=chosen.unmasked,
        human=chosen.human,
    )
    if best:
        answer = replace(answer, checks=checks(results, answer, best))
    return replace(answer, sentence=sentence(answer))


@dataclass(frozen=True)
class _Chosen:
    """The curves, the recommended one first; what ties with its trial; and who moved the recommendation."""

    slices: tuple[Slice, ...] = ()
    tied: tuple[int, ...] = ()
    unmasked: Unmasked | None = None
    human: Human | None = None


def _chosen(
    can_win: Groups,
    trials: pd.DataFrame,
    images: pd.DataFrame,
    held_out: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
) -> _Chosen:
    """Choose the best by these prompts, or by others if it was lucky; a person decides among its equals."""
    if not can_win:
        return _Chosen()
    answer_one = partial(along_curve, images=images, results=results, share=share, bootstrap=bootstrap)
    curves = [(answer_one(*group), group) for group in can_win]
    curves.sort(key=lambda curve: (-curve[0].survived, curve[0].defect))
    lucky = unmask(curves[0][0].trial, images, held_out)
    if lucky is not None:
        curves = _led_by(lucky.instead, curves, answer_one)
        lucky = replace(lucky, named=trial_text(results, results.trials, lucky.trial))
    best = curves[0][0].trial
    tied = _tied(curves[0][0], trials, images, share)
    human = human_verdict(results.judgements, best, set(tied) - {lucky and lucky.trial})
    if human is not None:
        human = _named(human, results)
        if human.winner not in (None, best):
            curves = _led_by(human.winner, curves, answer_one)
            tied = tuple(sorted({best, *tied} - {human.winner}))
    (first, group), *others = curves
    first = with_details(first, group[1], images, results, bootstrap)
    return _Chosen((first, *(one for one, _ in others)), tied, lucky, human)


def _led_by(
    trial: int, curves: Sequence[tuple[Slice, tuple]], answer_one: Callable[..., Slice]
) -> list[tuple[Slice, tuple]]:
    """Return the curves with the recommendation moved to a trial, whose curve comes first."""
    home = next(i for i, (_, (_, rows)) in enumerate(curves) if trial in set(rows["trial"]))
    group = curves[home][1]
    return [(answer_one(*group, chosen=trial), group), *curves[:home], *curves[home + 1 :]]


def _named(human: Human, results: Results) -> Human:
    named = [replace(one, name=trial_text(results, results.trials, one.trial)) for one in human.trials]
    return replace(human, trials=tuple(named))


def _any_whole(trials: pd.DataFrame) -> bool:
    return not is_partial(trials).all()


def _held_out(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out images of leaders that may win: others wait for added prompts, or were stopped."""
    rows = results.checks_of("held_out").assign(loss=_loss)
    return rows[rows["trial"].isin(trials.loc[~is_partial(trials), "trial"])] if len(rows) else rows


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _tied(best: Slice, trials: pd.DataFrame, images: pd.DataFrame, share: float) -> tuple[int, ...]:
    """Return the ties among the whole trials that survive; one that does not is out without a test."""
    can_tie = trials[~is_partial(trials)]
    alive = can_tie.loc[(can_tie["survived"] >= share) | (can_tie["trial"] == best.trial), "trial"]
    rows = images[images["trial"].isin(alive)]
    return tied_with(best.trial, by_case(rows, "defect"))


def _front(
    trials: pd.DataFrame, images: pd.DataFrame, results: Results, share: float
) -> tuple[FrontPoint, ...]:
    if results.objectives != GOALS:
        return ()
    return front(trials[~is_partial(trials)], images, results.references, share)


def _importances(
    trials: pd.DataFrame, images: pd.DataFrame, results: Results
) -> tuple[tuple[str, float], ...]:
    if trials.empty:
        return ()
    loss = images.groupby("trial")["loss"].mean().rename("loss")
    own = without_copies(trials, images).join(loss, on="trial").dropna(subset="loss")
    return importances(own, results.parameters)
