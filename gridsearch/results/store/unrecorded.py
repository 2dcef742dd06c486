"""Pictures and a study of two moments: trials that it does not hold, and pictures that are gone.

The study has lost its latest records, or one of both was restored from an older copy. A trial, and the worker
that took it, are in the study before its first picture is drawn.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from gridsearch.results.shared.queue import lease_of
from gridsearch.results.store.study import Stored
from gridsearch.results.store.trials import batch_count

_OF_TRIALS = {"images": re.compile(r"t(\d+)_"), "checks": re.compile(r"c(\d+)_")}  # folder -> a file's name


def pictures_in(folder: Path) -> frozenset[tuple[str, int]]:
    """Return the trials and checks of which a folder holds pictures: "images" or "checks", and the number.

    Listed before the study is read: a trial that begins in between is no discovery.
    """
    return frozenset(
        (kind, int(found[1]))
        for kind, name in _OF_TRIALS.items()
        for path in (folder / kind).glob("*")
        if (found := name.match(path.name))
    )


def unrecorded_note(pictures: Collection[tuple[str, int]], stored: Stored | None, folder: Path) -> str | None:
    """Return a note where pictures say more than the study does, which is None where there is no study."""
    kept = {"images": stored.trials, "checks": stored.checks} if stored else {}
    begun = {(kind, trial.number) for kind, trials in kept.items() for trial in trials if _was_begun(trial)}
    lost = sorted({number for kind, number in pictures if (kind, number) not in begun})
    if not lost:
        return None
    what = f"trial {lost[0]}" if len(lost) == 1 else f"{len(lost)} trials ({lost[0]} to {lost[-1]})"
    return (
        f"{folder} holds pictures of {what} that its study does not know: the study is an older copy, or "
        "has lost its latest records. If you have another copy of study.db, restore it (with study.db-wal, "
        "where there is one) before a run draws these trials again; pictures of a former run can be deleted. "
        "No file is removed meanwhile."
    )


def missing_note(rows: Iterable[Mapping], folder: Path) -> str | None:
    """Return a note where pictures of these rows are not in the folder; None where all are."""
    files = {row["file"] for row in rows}
    folders = ("references", *_OF_TRIALS)
    there = {f"{kind}/{path.name}" for kind in folders for path in (folder / kind).glob("*")}
    if not (gone := len(files - there)):
        return None
    return (
        f"{folder} lacks {gone} of the {len(files)} pictures that its study names: they were removed, or the "
        "study is from another time. Their scores stay, and a run draws only references again; restore the "
        "pictures to see them, or to score them again."
    )


def _was_begun(trial: FrozenTrial) -> bool:
    waits = trial.state == TrialState.WAITING
    return not waits or lease_of(trial) is not None or batch_count(trial) > 0
