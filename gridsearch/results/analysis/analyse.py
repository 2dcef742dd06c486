"""From a run's tables to its answer: the best trial, how sure that is, where the merge survives."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from gridsearch.checkpoint.families import KNOWN_FAMILIES
from gridsearch.experiment.any_of import MergeStep
from gridsearch.experiment.composition import block_weights, composition, ends_text
from gridsearch.experiment.family import in_family
from gridsearch.experiment.parameters import settings_at
from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.answer import Answer, Doubt, Rivals, Slice, Unmasked
from gridsearch.results.analysis.bradley_terry import Human, human_verdict
from gridsearch.results.analysis.held_out import confirmations, unmask
from gridsearch.results.analysis.identical import made_of
from gridsearch.results.analysis.optimum import Sureness
from gridsearch.results.analysis.posterior import SAME
from gridsearch.results.analysis.ranking import as_good_as, front, prompts_to_tell, undecided
from gridsearch.results.analysis.sanity import checks, trial_text
from gridsearch.results.analysis.sentence import file_text, sentence
from gridsearch.results.analysis.trials import (
    at_the_end,
    curve_parameter_of,
    distinct_trials,
    importances,
    is_partial,
    is_projection,
    neighbours,
    plain_value,
    searched_ends,
    split_slices,
    whole,
    without_copies,
)
from gridsearch.results.analysis.window import Window, disagreement, find_window, other_windows
from gridsearch.results.results import Results
from gridsearch.results.store import objectives_of
from gridsearch.score.metrics import GOALS
from gridsearch.score.score import SURVIVES, image_losses

SCATTERED = Doubt(None, None, "no interval: every trial differs from the others in many values at once")

_Group = tuple[dict, pd.DataFrame]  # of a curve: the other parameters, and the trials, ascending


_STEPS = TypeAdapter(tuple[MergeStep, ...])


@dataclass(frozen=True)
class _Found:
    """The answer of one curve, what it was read off, and the trials as good as the recommended one."""

    answer: Slice
    tied: tuple[int, ...]
    curve: optimum.Curve | None
    group: _Group


def analyse(
    results: Results, level: float = 0.95, resamples: int = 2000, seed: int = 0, share: float = SURVIVES
) -> Answer:
    """Answer the run's question from its trials.

    Stopped trials never win or tie; they count for window and curve with the images that they have.

    Args:
        level: confidence of the intervals.
        resamples, seed: of the draws from the posterior.
        share: what a ratio must keep of its images to be in the window.
    """
    complete, trials = whole(results), distinct_trials(results)
    images = results.images.assign(loss=_loss)
    groups = split_slices(results, trials)
    can_win = [(settings, rows) for settings, rows in groups if not is_partial(rows).all()]
    held_out = _held_out(results, trials)
    how = Sureness(level, resamples, seed)
    answer_one = partial(_along_curve, images=images, results=results, share=share, how=how)
    slices, tied, lucky, human = _chosen(can_win, images, held_out, results, answer_one, how)
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
        rivals=_rivals(best.trial, tied, trials, images, level) if best and scattered else None,
        runner_up=_runner_up(slices, tied, images, level),
        importances=_importances(trials, images, results),
        front=front(trials[~is_partial(trials)], images, results.references, share) if two_goals else (),
        confirmed=confirmations(best.trial, images, held_out) if best and len(held_out) else (),
        unmasked=lucky,
        human=human,
    )
    if best:
        answer = _with_composition(results, answer)
        answer = replace(answer, checks=checks(results, answer, best))
    told = sentence(answer, at_the_end(complete, answer))
    return replace(answer, sentence=told, file=file_text(results.name, answer))


def best_steps(results: Results, answer: Answer) -> tuple[MergeStep, ...]:
    """Return the steps of the recommended merge."""
    known = {name: value for name, value in answer.parameters.items() if value is not None}
    with in_family(results.family):
        return _STEPS.validate_python(settings_at(results.settings, known)["merge"])


def block_ends(results: Results, answer: Answer) -> str:
    """Return what the ratios of blocks count, as `0 is base, 1 is late`; empty where none was searched."""
    searched = any(".ratio." in f".{name}" for name in answer.parameters)
    return ends_text(best_steps(results, answer)) if searched else ""


def _with_composition(results: Results, answer: Answer) -> Answer:
    steps = best_steps(results, answer)
    weights = block_weights(steps, KNOWN_FAMILIES[results.family].blocks)
    return replace(answer, composition=composition(steps), weights=weights)


def _chosen(
    can_win: list[_Group],
    images: pd.DataFrame,
    held_out: pd.DataFrame,
    results: Results,
    answer_one: Callable[..., _Found],
    how: Sureness,
) -> tuple[tuple[Slice, ...], tuple[int, ...], Unmasked | None, Human | None]:
    """Choose the best by these prompts, or by others if it was lucky; a person decides among its equals.

    Returned are the curves, the recommended one first, what ties with its trial, and who moved it.
    """
    if not can_win:
        return (), (), None, None
    curves = [answer_one(group) for group in can_win]
    curves.sort(key=lambda one: (-one.answer.survived, one.answer.defect))
    lucky = unmask(curves[0].answer.trial, images, held_out)
    if lucky is not None:
        curves = _led_by(lucky.instead, curves, answer_one)
        lucky = replace(lucky, named=trial_text(results, results.trials, lucky.trial))
    best = curves[0].answer.trial
    others = [trial for one in curves[1:] for trial in (one.answer.trial, *one.tied)]
    tied = tuple(sorted({*curves[0].tied, *as_good_as(best, images, others, optimum.MARGIN)}))
    human = human_verdict(results.judgements, best, set(tied) - {lucky and lucky.trial})
    if human is not None:
        named = [replace(one, name=trial_text(results, results.trials, one.trial)) for one in human.trials]
        human = replace(human, trials=tuple(named))
        if human.winner not in (None, best):
            curves = _led_by(human.winner, curves, answer_one)
            tied = tuple(sorted({best, *tied} - {human.winner}))
    first, *rest = curves
    return (_with_details(first, images, results, how), *(one.answer for one in rest)), tied, lucky, human


def _led_by(trial: int, curves: list[_Found], answer_one: Callable[..., _Found]) -> list[_Found]:
    """Return the curves with the recommendation moved to a trial, whose curve comes first."""
    home = next(i for i, one in enumerate(curves) if trial in set(one.group[1]["trial"]))
    return [answer_one(curves[home].group, chosen=trial), *curves[:home], *curves[home + 1 :]]


# -- one curve


def _along_curve(
    group: _Group,
    images: pd.DataFrame,
    results: Results,
    share: float,
    how: Sureness,
    chosen: int | None = None,
) -> _Found:
    """Return the answer of one curve's trials; `chosen` is the one to recommend, if others decided.

    Of a projection it is the best of all: what is claimed of a curve would be claimed of other values too.
    """
    settings, trials = group
    main, scattered = curve_parameter_of(results), is_projection(results)
    own = images.merge(trials[["trial", "at"]], on="trial")
    can_win = trials[~is_partial(trials)]
    alive = can_win[can_win["survived"] >= share]
    curve, doubt = None, SCATTERED if scattered else optimum.NOT_SEARCHED
    if main and not scattered:
        curve = optimum.curve_of(can_win, own, share, how, searched_ends(results, main))
        best, tied = optimum.recommended(curve, how.level)
    else:
        best = can_win.sort_values(["survived", "defect"], ascending=[False, True]).iloc[0]
        tied = as_good_as(int(best["trial"]), own, alive["trial"], optimum.MARGIN)
    if chosen is not None:
        tied = tuple(one for one in (int(best["trial"]), *tied) if one != chosen)
        best = can_win.set_index("trial", drop=False).loc[chosen]
    at = float(best["at"])
    window = plateau = elsewhere = None
    others: tuple[Window, ...] = ()
    if curve is not None:
        survived = trials.groupby("at")["survived"].mean()
        window = find_window(survived, own, at, share)
        doubt = optimum.doubt(curve, at, how, window)
        others = other_windows(survived, own, at, share)
        plateau = optimum.plateau(curve, at, how.level)
        elsewhere = optimum.elsewhere(curve, own, how.level)
    made = made_of(results.settings, {name: plain_value(best[name]) for name in results.parameters})
    answer = Slice(
        settings=settings,
        trial=int(best["trial"]),
        ratio=at if main else None,
        parent=made if isinstance(made, str) else None,
        survived=float(best["survived"]),
        defect=float(best["defect"]),
        images=int((results.images["trial"] == best["trial"]).sum()),
        doubt=doubt,
        window=window,
        estimated=tuple(sorted(set(trials["at"]) - set(can_win["at"]))) if curve else (),
        plateau=plateau,
        elsewhere=elsewhere,
        others=others,
    )
    return _Found(answer, tied, curve, group)


def _with_details(found: _Found, images: pd.DataFrame, results: Results, how: Sureness) -> Slice:
    """Add the details that are computed for the best slice only, since they take long."""
    best, curve = found.answer, found.curve
    if best.ratio is None or curve is None:
        return best
    own = images.merge(found.group[1][["trial", "at"]], on="trial")
    wanted = results.settings.get("search", {}).get("width")
    narrowed = optimum.with_narrowing(best.doubt, curve, wanted, how, best.window)
    return replace(best, doubt=narrowed, disagreement=disagreement(own, best.ratio))


# -- the rest


def _held_out(results: Results, trials: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out images of leaders that may win: others wait for added prompts, or were stopped."""
    rows = results.checks_of("held_out").assign(loss=_loss)
    return rows[rows["trial"].isin(trials.loc[~is_partial(trials), "trial"])] if len(rows) else rows


def _loss(images: pd.DataFrame) -> np.ndarray:
    return image_losses(images["verdict"], images["defect"])


def _rivals(
    best: int, tied: tuple[int, ...], trials: pd.DataFrame, images: pd.DataFrame, level: float
) -> Rivals:
    """Return how many other whole trials these images leave as possibly better, and what would tell."""
    others = [int(trial) for trial in trials.loc[~is_partial(trials), "trial"] if trial != best]
    open_ones = [one for one in undecided(best, images, others, level) if one not in tied]
    prompts = images.loc[images["trial"] == best, "prompt_id"].nunique()
    wanted = prompts_to_tell(best, images, open_ones, level)
    return Rivals(len(others), len(open_ones), prompts, wanted and max(wanted - prompts, 1))


def _runner_up(
    slices: tuple[Slice, ...], tied: tuple[int, ...], images: pd.DataFrame, level: float
) -> int | None:
    """Return the best trial of the next curve where it is as good or not surely worse; see `Answer`."""
    if len(slices) < 2:
        return None
    best, other = slices[:2]
    fewer = best.survived - other.survived
    alike = -SAME <= fewer <= 1 / best.images + SAME
    open_one = other.trial in tied or undecided(best.trial, images, [other.trial], level)
    return other.trial if alike and open_one else None


def _importances(
    trials: pd.DataFrame, images: pd.DataFrame, results: Results
) -> tuple[tuple[str, float], ...]:
    if trials.empty:
        return ()
    loss = images.groupby("trial")["loss"].mean().rename("loss")
    own = without_copies(trials, images).join(loss, on="trial").dropna(subset="loss")
    return importances(own, results.parameters)
