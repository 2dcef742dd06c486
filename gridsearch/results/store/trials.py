"""A trial's attributes: its images in batches, as they were drawn, and its outcome. All of it is JSON."""

import copy
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from gridsearch.results.shared.optuna_tables import write_together

_IMAGES, _SECONDS = "images", "seconds"  # of a whole trial, as earlier versions kept them
_BATCH = "rung "  # begins the name of a batch, before its number: its images and seconds
SUMMARY = "summary"
REASON = "reason"
_KIND = "failure"  # the kind of failure of a trial, in a word
GLANCE = "glance"  # after so many images a trial is stopped where none is sound
EDGE = "edge"  # of a trial that is drawn to know whether it survives
WAS_COMPLETE = "whole"  # of a trial that gets more cases: it was drawn to its end before

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)
UNFINISHED = (TrialState.WAITING, TrialState.RUNNING)


def record_batch(
    trial: optuna.Trial,
    number: int,
    images: Sequence[Mapping],
    seconds: Mapping[str, float],
    losses: Mapping[int, float] = MappingProxyType({}),
) -> None:
    """Record a batch of a trial: rows of images that are on the disk, and the seconds that they took.

    `losses` are the images', by step, where the trial reports them.
    """
    write_together(trial, f"{_BATCH}{number:04}", json_safe({"images": images, "seconds": seconds}), losses)


def fail(study: optuna.Study, trial: optuna.Trial, reason: str, kind: str) -> None:
    """End a trial without a score."""
    trial.set_user_attr(REASON, reason)
    trial.set_user_attr(_KIND, kind)
    study.tell(trial, state=TrialState.FAIL)


def kind_of(trial: FrozenTrial) -> str | None:
    """Return the kind of failure that ended it; None where none did, or one without a kind."""
    return trial.user_attrs.get(_KIND)


def batch_count(trial: FrozenTrial) -> int:
    return len(batches_of(trial))


def batches_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the attributes that hold a trial's batches."""
    return {key: value for key, value in trial.user_attrs.items() if key.startswith(_BATCH)}


def images_of(trial: FrozenTrial) -> list[dict]:
    """Return a row per image, in the order in which they were drawn."""
    return [row for batch in _kept(trial) for row in batch["images"]]


def seconds_of(trial: FrozenTrial) -> dict[str, float]:
    """Return how long each part took."""
    found: dict[str, float] = {}
    for batch in _kept(trial):
        for part, seconds in batch["seconds"].items():
            found[part] = found.get(part, 0.0) + seconds
    return found


def _kept(trial: FrozenTrial) -> list[dict]:
    attrs = trial.user_attrs
    earlier = [{"images": attrs[_IMAGES], "seconds": attrs.get(_SECONDS, {})}] if _IMAGES in attrs else []
    return earlier + [batch for _, batch in sorted(batches_of(trial).items())]


def with_images(trial: FrozenTrial, images: Sequence[Mapping]) -> dict:
    """Return a trial's attributes with other rows for its images, in one batch."""
    kept = (_IMAGES, _SECONDS, *batches_of(trial))
    others = {key: value for key, value in trial.user_attrs.items() if key not in kept}
    batch = {"images": images, "seconds": seconds_of(trial)}
    return others | ({f"{_BATCH}0000": json_safe(batch)} if images else {})


def copied(trial: FrozenTrial, **changes: Any) -> FrozenTrial:
    """Return a copy of a trial with some parts changed: Optuna changes none that has ended."""
    changed = copy.copy(trial)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def json_safe(value: Any) -> Any:
    """Return nested JSON values: numpy's as Python's, NaN and infinities as null, others as text."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in value.items()}
    value = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_safe(item) for item in value]
    # NaN and NaT differ from themselves
    if value is None or value != value or value in (math.inf, -math.inf):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def tidy(value: Any) -> Any:
    """Return a parameter rounded to ten decimals: binary arithmetic adds more that mean nothing."""
    return round(value, 10) if isinstance(value, float) else value
