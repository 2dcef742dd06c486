"""A run as Optuna's dashboard shows it: sortable numbers instead of the stored rows, and the images.

The dashboard finds an image by an *artifact*: an entry in the system attributes of a trial or a study, and a
file with that id in a store. A finished trial takes no further attributes, and earlier runs have none; so
they are added to what is read, and nothing is written.
"""

import copy
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from statistics import fmean
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from gridsearch.base.words import one_line, shorten
from gridsearch.results import store
from gridsearch.results.shared.optuna_private import FrozenStudy
from gridsearch.results.store.paths import path_in
from gridsearch.score.metrics import CHARTED

SEARCH, CHECKS = 1, 2  # the studies' ids
ARTIFACT = "artifacts:"  # followed by its id, as optuna.artifacts stores it
METRIC_NAMES = "study:metric_names"  # as Study.set_metric_names stores it
# Any other file would be served as the type that it claims, perhaps a page with scripts.
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
SHOWN_METRICS = ("defect", *CHARTED)


@dataclass(frozen=True)
class Snapshot:
    """The content of a results folder at one moment.

    Attributes:
        studies, trials: by the study's id.
        files: artifact id -> file, for those images alone that the study names and that lie in its folder.
    """

    studies: dict[int, FrozenStudy]
    trials: dict[int, list[FrozenTrial]]
    files: dict[str, Path]


def read_snapshot(folder: Path) -> Snapshot:
    """Return the study, and one of the checks where there are any.

    Raises:
        BadInput: the folder holds no study.
    """
    stored = store.read_study(folder)
    files: dict[str, Path] = {}
    name = one_line(stored.facts.experiment["name"])
    goals = ["loss" if goal == "value" else goal for goal in store.objectives_of(stored.facts)]
    references = stored.facts.references or []
    about = {"experiment": stored.facts.file, "trials planned": stored.facts.planned}
    if stored.done:
        about["ended because"] = stored.done
    studies = {SEARCH: _study(SEARCH, name, goals, about, _artifacts(references, folder, files, "model"))}
    trials = {SEARCH: [_shown(trial, folder, files) for trial in stored.trials]}
    if stored.checks:
        studies[CHECKS] = _study(CHECKS, f"{name}: checks of the leaders", ["loss"], {}, {})
        trials[CHECKS] = [_shown(trial, folder, files) for trial in stored.checks]
    return Snapshot(studies, trials, files)


def _study(number: int, name: str, goals: list[str], said: dict, artifacts: dict) -> FrozenStudy:
    directions = [StudyDirection.MINIMIZE] * len(goals)
    return FrozenStudy(name, None, said, {METRIC_NAMES: goals} | artifacts, number, directions=directions)


def _shown(trial: FrozenTrial, folder: Path, files: dict[str, Path]) -> FrozenTrial:
    """Return the trial with numbers instead of its rows, and with its images as artifacts."""
    rows = store.images_of(trial)
    shown = copy.copy(trial)
    shown.user_attrs = dict(_numbers(rows)) | _plain_attributes(trial.user_attrs)
    shown.system_attrs = trial.system_attrs | _artifacts(rows, folder, files)
    return shown


def _numbers(rows: list[dict]) -> Iterator[tuple[str, Any]]:
    """Yield the share that survived, the means, and the number of images with each verdict."""
    if not rows:
        return
    verdicts = Counter(str(row["verdict"]) for row in rows)
    yield "survived", round(verdicts["ok"] / len(rows), 4)
    for name in SHOWN_METRICS:
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        if values := [value for value in values if math.isfinite(value)]:
            yield name, round(fmean(values), 4)
    yield "images", len(rows)
    for verdict, count in sorted(verdicts.items()):
        yield f"images {verdict}", count


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are a word or a number: why a trial was stopped, what a check is of."""
    return {key: value for key, value in attributes.items() if isinstance(value, (str, int, float))}


def _artifacts(rows: Iterable[Mapping], folder: Path, files: dict[str, Path], *named: str) -> dict[str, str]:
    """Return a system attribute for each image, and note its file in `files`."""
    found = {}
    for row in rows:
        kind = MEDIA_TYPES.get(PurePath(str(row["file"])).suffix.lower())
        path = path_in(folder, str(row["file"]))
        if kind is None or path is None:
            continue
        number = str(uuid5(NAMESPACE_URL, str(row["file"])))
        files[number] = path
        words = [row[name] for name in named] + [row["prompt_id"], f"seed {row['seed']}", row["verdict"]]
        label = shorten(one_line(" ".join(map(str, words))), 80) + path.suffix
        about = {"artifact_id": number, "filename": label, "mimetype": kind, "encoding": None}
        found[ARTIFACT + number] = json.dumps(about)
    return found
