"""From tables to the answer: the best trial, how sure that is, where the merge survives, what ties."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from gridsearch.loss import SURVIVES, image_losses
from gridsearch.report import curve
from gridsearch.report.answer import Answer, Doubt, Neighbour, Slice
from gridsearch.report.disagreement import disagreement
from gridsearch.report.front import GOALS, front
from gridsearch.report.held_out import confirmations, unmask
from gridsearch.report.importance import importances
from gridsearch.report.labels import is_number
from gridsearch.report.recommend import recommended
from gridsearch.report.results import Results
from gridsearch.report.sentence import sentence
from gridsearch.report.ties import tied_with
from gridsearch.report.trials import (
    counted,
    is_partial,
    is_projection,
    lone_parent,
    main_parameter,
    plain_value,
    split_slices,
    whole,
)
from gridsearch.report.trust import checks, trial_text
from gridsearch.report.window import find_window

NEAREST = 5  # neighbours of the best trial
SCATTERED = Doubt(None, None, "too many values were searched at once for a curve along one of them")


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
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}
    groups = split_slices(results, trials)
    can_win = [(settings, rows) for settings, rows in groups if rows["trial"].isin(complete["trial"]).any()]
    answer_one = _answer_projection if is_projection(results) else _answer_slice
    found = [answer_one(settings, rows, images, results, share, bootstrap) for settings, rows in can_win]
    order = sorted(range(len(found)), key=lambda i: (-found[i].survived, found[i].defect))
    winner = found[order[0]].trial if order else None
    held_out = results.checks_of("held_out").assign(loss=_loss)
    lucky = unmask(winner, images, held_out) if order else None
    if lucky is not None:  # the recommendation moves, and its curve comes first
        home = next(i for i in order if lucky.instead in set(can_win[i][1]["trial"]))
        found[home] = answer_one(*can_win[home], images, results, share, bootstrap, chosen=lucky.instead)
        order.sort(key=lambda i: i != home)
    slices = [found[i] for i in order]
    if slices:
        slices[0] = _in_full(slices[0], can_win[order[0]][1], images, results, bootstrap)
    best = slices[0] if slices else None
    row = complete.set_index("trial").loc[best.trial] if best else None
    answer = Answer(
        main=main_parameter(results),
        parameters={name: plain_value(row[name]) for name in results.parameters} if best else {},
        slices=tuple(slices),
        tied=_tied(best, complete, images, share) if best else (),
        complete=len(complete),
        planned=results.planned,
        finished=results.finished,
        share=share,
        stopped=int(is_partial(results.trials).sum()) if len(results.trials) else 0,
        given_up=tuple(s for s, rows in groups if not rows["trial"].isin(complete["trial"]).any()),
        projection=is_projection(results),
        neighbours=_neighbours(best, trials, results) if best and is_projection(results) else (),
        importances=_importances(trials, images, results),
        front=front(complete, images, results.references, share) if results.objectives == GOALS else (),
        confirmed=confirmations(best.trial, images, held_out) if best and len(held_out) else (),
        unmasked=lucky and replace(lucky, named=trial_text(results, complete, lucky.trial)),
    )
    if best:
        answer = replace(answer, checks=checks(results, answer))
    return replace(answer, sentence=sentence(answer))


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _answer_slice(
    settings: dict,
    trials: pd.DataFrame,
    images: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
    chosen: int | None = None,
) -> Slice:
    """`chosen`: the trial to recommend, where that is not for these images to say."""
    main = main_parameter(results)
    own = images.merge(trials[["trial", "at"]], on="trial")
    can_win = trials[~is_partial(trials)]
    doubt = curve.doubt(own, **bootstrap) if main else curve.NOTHING
    if chosen is None:
        best = recommended(can_win, own, doubt.smoothed if doubt.interval else None, share)
    else:
        best = can_win.set_index("trial", drop=False).loc[chosen]
    survived = trials.groupby("at")["survived"].mean()
    return _slice(
        settings,
        best,
        results,
        doubt=curve.holding(doubt, float(best["at"])),
        window=find_window(survived, own, best["at"], share) if main else None,
        estimated=tuple(sorted(set(trials["at"]) - set(can_win["at"]))) if main else (),
    )


def _answer_projection(
    settings: dict,
    trials: pd.DataFrame,
    images: pd.DataFrame,
    results: Results,
    share: float,
    bootstrap: Mapping,
    chosen: int | None = None,
) -> Slice:
    """The best trial of all: what is claimed of a curve would be claimed of other values too."""
    can_win = trials[~is_partial(trials)].sort_values(["survived", "defect"], ascending=[False, True])
    best = can_win.iloc[0] if chosen is None else can_win.set_index("trial", drop=False).loc[chosen]
    return _slice(settings, best, results, doubt=SCATTERED, window=None)


def _slice(settings: dict, best: pd.Series, results: Results, **found) -> Slice:
    return Slice(
        settings=settings,
        trial=int(best["trial"]),
        ratio=float(best["at"]) if main_parameter(results) else None,
        parent=lone_parent(results.settings, {name: plain_value(best[name]) for name in results.parameters}),
        survived=float(best["survived"]),
        defect=float(best["defect"]),
        images=int((results.images["trial"] == best["trial"]).sum()),
        **found,
    )


def _in_full(
    best: Slice, trials: pd.DataFrame, images: pd.DataFrame, results: Results, bootstrap: Mapping
) -> Slice:
    """With what is worth its time for the best slice alone."""
    if best.ratio is None or best.doubt is SCATTERED:
        return best
    own = images.merge(trials[["trial", "at"]], on="trial")
    narrowed = curve.with_narrowing(best.doubt, own, results.wanted_width, **bootstrap)
    return replace(best, doubt=narrowed, disagreement=disagreement(own, best.ratio))


def _tied(best: Slice, complete: pd.DataFrame, images: pd.DataFrame, share: float) -> tuple[int, ...]:
    """Among the whole trials that survive; one that does not is out without a test."""
    alive = complete.loc[(complete["survived"] >= share) | (complete["trial"] == best.trial), "trial"]
    rows = images[images["trial"].isin(alive)]
    return tied_with(
        best.trial, rows.pivot_table(index=["prompt_id", "seed"], columns="trial", values="defect")
    )


def _importances(trials: pd.DataFrame, images: pd.DataFrame, results: Results):
    if trials.empty:
        return ()
    loss = images.groupby("trial")["loss"].mean().rename("loss")
    return importances(trials.join(loss, on="trial").dropna(subset="loss"), results.parameters)


def _neighbours(best: Slice, trials: pd.DataFrame, results: Results) -> tuple[Neighbour, ...]:
    """The nearest trials, stopped ones too; numbers scaled to their ranges, unequal words are 1 apart."""
    here = trials.set_index("trial").loc[best.trial]
    square = sum(_apart(trials[name], here[name]) ** 2 for name in results.parameters)
    near = trials.assign(distance=np.sqrt(square / len(results.parameters)))
    near = near[near["trial"] != best.trial].sort_values("distance", kind="stable").head(NEAREST)
    return tuple(
        Neighbour(int(row["trial"]), float(row["distance"]), float(row["survived"]), float(row["defect"]))
        for _, row in near.iterrows()
    )


def _apart(values: pd.Series, here: object) -> pd.Series:
    if is_number(here) and all(is_number(value) for value in values.dropna()):
        span = values.astype(float).max() - values.astype(float).min()
        return ((values.astype(float) - here).abs() / (span or 1.0)).fillna(1.0)
    return (values != here).astype(float)
