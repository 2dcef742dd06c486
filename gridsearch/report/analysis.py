"""From tables to the answer: the best trial, how sure that is, where the merge survives, what ties."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from gridsearch.loss import SURVIVES, image_losses
from gridsearch.report.answer import Answer, FrontPoint, Slice, Unmasked
from gridsearch.report.front import GOALS, front
from gridsearch.report.held_out import confirmations, unmask
from gridsearch.report.importance import importances
from gridsearch.report.neighbours import neighbours
from gridsearch.report.results import Results
from gridsearch.report.sentence import sentence
from gridsearch.report.slices import along_curve, in_full, of_projection
from gridsearch.report.ties import tied_with
from gridsearch.report.trials import (
    counted,
    is_partial,
    is_projection,
    main_parameter,
    plain_value,
    split_slices,
    whole,
    without_copies,
)
from gridsearch.report.trust import checks, trial_text

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
    complete, trials = whole(results), counted(results)
    images = results.images.assign(loss=_loss)
    groups = split_slices(results, trials)
    can_win = [(settings, rows) for settings, rows in groups if _any_whole(rows)]
    held_out = _held_out(results, trials)
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    slices, lucky = _slices(can_win, images, held_out, results, share, bootstrap)
    best = slices[0] if slices else None
    row = complete.set_index("trial").loc[best.trial] if best else None
    scattered = is_projection(results)
    answer = Answer(
        main=main_parameter(results),
        parameters={name: plain_value(row[name]) for name in results.parameters} if best else {},
        slices=slices,
        tied=_tied(best, trials, images, share) if best else (),
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
        unmasked=lucky and replace(lucky, named=trial_text(results, complete, lucky.trial)),
    )
    if best:
        answer = replace(answer, checks=checks(results, answer))
    return replace(answer, sentence=sentence(answer))


def _slices(
    can_win: Groups,
    images: pd.DataFrame,
    held_out: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
) -> tuple[tuple[Slice, ...], Unmasked | None]:
    """The curves, best first, and the winner that lost its place to another on held-out prompts."""
    answer_one = of_projection if is_projection(results) else along_curve
    found = [answer_one(settings, rows, images, results, share, bootstrap) for settings, rows in can_win]
    if not found:
        return (), None
    order = sorted(range(len(found)), key=lambda i: (-found[i].survived, found[i].defect))
    lucky = unmask(found[order[0]].trial, images, held_out)
    if lucky is not None:  # the recommendation moves, and its curve comes first
        home = next(i for i in order if lucky.instead in set(can_win[i][1]["trial"]))
        found[home] = answer_one(*can_win[home], images, results, share, bootstrap, chosen=lucky.instead)
        order.sort(key=lambda i: i != home)
    first, *others = order
    best = in_full(found[first], can_win[first][1], images, results, bootstrap)
    return (best, *(found[i] for i in others)), lucky


def _any_whole(trials: pd.DataFrame) -> bool:
    return not is_partial(trials).all()


def _held_out(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    """Of those leaders that may win: one may wait for added prompts now, or have been stopped on them."""
    rows = results.checks_of("held_out").assign(loss=_loss)
    return rows[rows["trial"].isin(trials.loc[~is_partial(trials), "trial"])] if len(rows) else rows


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _tied(best: Slice, trials: pd.DataFrame, images: pd.DataFrame, share: float) -> tuple[int, ...]:
    """Among the whole trials that survive; one that does not is out without a test."""
    can_tie = trials[~is_partial(trials)]
    alive = can_tie.loc[(can_tie["survived"] >= share) | (can_tie["trial"] == best.trial), "trial"]
    rows = images[images["trial"].isin(alive)]
    return tied_with(
        best.trial, rows.pivot_table(index=["prompt_id", "seed"], columns="trial", values="defect")
    )


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
