"""A run as Optuna's dashboard shows it: numbers that can be sorted in the place of stored rows, and pictures.

The dashboard finds a picture by an *artifact*: an entry in a trial's or a study's system attributes, and a
file of that id in a store. A trial that has ended takes no further attribute, and runs made before have none;
so they are added to what is read, and nothing is written.
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
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial

from gridsearch.base.words import one_line, shorten
from gridsearch.results import store
from gridsearch.results.store.paths import within
from gridsearch.score.metrics import CHARTED

SEARCH, CHECKS = 1, 2  # the studies' ids
ARTIFACT = "artifacts:"  # and its id: as optuna.artifacts keeps them
METRIC_NAMES = "study:metric_names"  # as Study.set_metric_names keeps them
# Anything else would be served as what it says it is, a page with scripts perhaps.
KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
MEANS = ("defect", *CHARTED)


@dataclass(frozen=True)
class Snapshot:
    """What a results folder held at one moment.

    Attributes:
        studies, trials: by the study's id.
        files: a picture's artifact id -> where it lies; only pictures that the study names, in its folder.
    """

    studies: dict[int, FrozenStudy]
    trials: dict[int, list[FrozenTrial]]
    files: dict[str, Path]


def read_snapshot(folder: Path) -> Snapshot:
    """The study, and that of the checks where there are any.

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
    """The trial with figures for its rows, and its pictures as artifacts."""
    rows = store.images_of(trial)
    shown = copy.copy(trial)
    shown.user_attrs = dict(_figures(rows)) | _said(trial.user_attrs)
    shown.system_attrs = trial.system_attrs | _artifacts(rows, folder, files)
    return shown


def _figures(rows: list[dict]) -> Iterator[tuple[str, Any]]:
    """How many survived, the means, and how many of each verdict."""
    if not rows:
        return
    verdicts = Counter(str(row["verdict"]) for row in rows)
    yield "survived", round(verdicts["ok"] / len(rows), 4)
    for name in MEANS:
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        if values := [value for value in values if math.isfinite(value)]:
            yield name, round(fmean(values), 4)
    yield "images", len(rows)
    for verdict, count in sorted(verdicts.items()):
        yield f"images {verdict}", count


def _said(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What else is kept of a trial in a word or a number: why it was stopped, what a check is of."""
    return {key: value for key, value in attributes.items() if isinstance(value, (str, int, float))}


def _artifacts(rows: Iterable[Mapping], folder: Path, files: dict[str, Path], *named: str) -> dict[str, str]:
    """A system attribute for each picture, whose file is noted in `files`."""
    found = {}
    for row in rows:
        kind = KINDS.get(PurePath(str(row["file"])).suffix.lower())
        path = within(folder, str(row["file"]))
        if kind is None or path is None:
            continue
        number = str(uuid5(NAMESPACE_URL, str(row["file"])))
        files[number] = path
        words = [row[name] for name in named] + [row["prompt_id"], f"seed {row['seed']}", row["verdict"]]
        label = shorten(one_line(" ".join(map(str, words))), 80) + path.suffix
        about = {"artifact_id": number, "filename": label, "mimetype": kind, "encoding": None}
        found[ARTIFACT + number] = json.dumps(about)
    return found
