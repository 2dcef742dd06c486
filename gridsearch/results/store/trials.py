"""A trial's attributes: its images in rungs, as they came, and what it came to."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from gridsearch.results.shared import sql
from gridsearch.results.store.json_values import json_safe

_IMAGES, _SECONDS = "images", "seconds"  # of a whole trial, as earlier versions kept them
_RUNG = "rung "  # and its number: its images and seconds, as they came
SUMMARY = "summary"
WEIGHTS = "weights"
REASON = "reason"
_KIND = "failure"  # of a trial that failed: of what kind, in a word
WHOLE = "whole"  # of a trial that is drawn further: nothing stopped it before

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


def record_rung(
    trial: optuna.Trial,
    number: int,
    images: Sequence[Mapping],
    seconds: Mapping[str, float],
    losses: Mapping[int, float] = MappingProxyType({}),
) -> None:
    """Keep a rung of a trial: rows of images that are safe, and what they took.

    Args:
        losses: of the images, by step, where the trial reports them.
    """
    sql.keep(trial, f"{_RUNG}{number:04}", json_safe({"images": images, "seconds": seconds}), losses)


def fail(study: optuna.Study, trial: optuna.Trial, reason: str, kind: str) -> None:
    """End a trial without a score."""
    trial.set_user_attr(REASON, reason)
    trial.set_user_attr(_KIND, kind)
    study.tell(trial, state=TrialState.FAIL)


def kind_of(trial: FrozenTrial) -> str | None:
    """What kind of failure ended it; None where none did, or none that was named."""
    return trial.user_attrs.get(_KIND)


def rungs_of(trial: FrozenTrial) -> int:
    return len(rungs(trial))


def rungs(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes that hold a trial's rungs."""
    return {key: value for key, value in trial.user_attrs.items() if key.startswith(_RUNG)}


def images_of(trial: FrozenTrial) -> list[dict]:
    """A row per image, in the order in which they were drawn."""
    return [row for rung in _kept(trial) for row in rung["images"]]


def seconds_of(trial: FrozenTrial) -> dict[str, float]:
    """How long each part took."""
    found: dict[str, float] = {}
    for rung in _kept(trial):
        for part, seconds in rung["seconds"].items():
            found[part] = found.get(part, 0.0) + seconds
    return found


def _kept(trial: FrozenTrial) -> list[dict]:
    attrs = trial.user_attrs
    earlier = [{"images": attrs[_IMAGES], "seconds": attrs.get(_SECONDS, {})}] if _IMAGES in attrs else []
    return earlier + [rung for _, rung in sorted(rungs(trial).items())]


def with_images(trial: FrozenTrial, images: Sequence[Mapping]) -> dict:
    """A trial's attributes with other rows for its images, in one rung."""
    kept = (_IMAGES, _SECONDS, *rungs(trial))
    others = {key: value for key, value in trial.user_attrs.items() if key not in kept}
    rung = {"images": images, "seconds": seconds_of(trial)}
    return others | ({f"{_RUNG}0000": json_safe(rung)} if images else {})


def copied(trial: FrozenTrial, **changes: Any) -> FrozenTrial:
    """A trial with some of its parts changed, which Optuna does not do to one that has ended."""
    parts = (
        "state",
        "values",
        "params",
        "distributions",
        "user_attrs",
        "system_attrs",
        "intermediate_values",
    )
    copy = create_trial(**{name: getattr(trial, name) for name in parts} | changes)
    copy.datetime_start, copy.datetime_complete = trial.datetime_start, trial.datetime_complete
    return copy
