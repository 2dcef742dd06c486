"""Optuna's dashboard on a run: live, read-only, and with every image beside its trial.

It shows sortable numbers instead of the stored rows. It finds an image by an *artifact*: an entry in the
system attributes of a trial or a study, and a file with that id in a store. A finished trial takes no further
attributes, and earlier runs have none; so they are added to what is read, and nothing is written.
"""

import copy
import json
import math
import threading
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.cookies import CookieError
from pathlib import Path, PurePath
from statistics import fmean
from typing import Any, BinaryIO, NoReturn
from uuid import NAMESPACE_URL, uuid5
from wsgiref.types import StartResponse

from bottle import BaseRequest, HTTPResponse
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna_dashboard import wsgi

from gridsearch.app.web.server import READING, LocalPage, sent
from gridsearch.base.words import one_line, shorten
from gridsearch.results import store
from gridsearch.results.shared import optuna_private
from gridsearch.results.shared.optuna_private import FrozenStudy
from gridsearch.results.store.paths import path_in
from gridsearch.score.metrics import CHARTED

SEARCH, CHECKS = 1, 2  # the studies' ids
START_PAGE = f"/dashboard/studies/{SEARCH}"
FRESH = 1.0  # seconds before the folder is read again; one page asks many times
ARTIFACT = "artifacts:"  # followed by its id, as optuna.artifacts stores it
METRIC_NAMES = "study:metric_names"  # as Study.set_metric_names stores it
# Any other file would be served as the type that it claims, perhaps a page with scripts.
MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


def dashboard_page(folder: Path, token: str, port: int) -> LocalPage:
    """Return the dashboard of a results folder as a page that only reads.

    The address with `?token=` leaves the token in a cookie, as the dashboard's own links do not carry it.

    Raises:
        BadInput: the folder holds no study.
    """
    view = View(folder)
    dashboard = wsgi(view, artifact_store=view)
    cookie = f"gridsearch-{port}"  # browsers send a cookie to all ports of a host

    def carried(environ: dict[str, Any]) -> list[str]:
        request = BaseRequest(environ)
        try:
            return [request.query.get("token", ""), request.get_cookie(cookie, "")]
        except CookieError:  # another program's, of the same host
            return [request.query.get("token", "")]

    def answer(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        if BaseRequest(environ).query.get("token"):
            entered = HTTPResponse(status=302, headers={"Location": START_PAGE})
            entered.set_cookie(cookie, token, path="/", httponly=True, samesite="lax")
            return sent(entered, start)
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # the dashboard takes it for granted
        return dashboard(environ, start)

    return LocalPage(answer, token, f"?token={token}", carried, READING)


@dataclass(frozen=True)
class Snapshot:
    """The content of a results folder at one moment: studies and their trials by the study's id."""

    studies: dict[int, FrozenStudy]
    trials: dict[int, list[FrozenTrial]]
    files: dict[str, Path]  # by artifact id: only images that the study names and that lie in its folder


class View(BaseStorage):
    """A results folder as a read-only Optuna storage and artifact store, read again as the run goes on.

    The study's file is opened for a moment only, so that a run can replace it. Where there is no such study
    or trial, Optuna expects a KeyError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._read, self._held = time.monotonic(), read_snapshot(folder)

    @property
    def now(self) -> Snapshot:
        with self._lock:
            if time.monotonic() - self._read > FRESH:
                self._held = read_snapshot(self._folder)
                self._read = time.monotonic()
            return self._held

    # -- as a storage

    def get_all_studies(self) -> list[FrozenStudy]:
        return list(self.now.studies.values())

    def get_study_id_from_name(self, study_name: str) -> int:
        return {study.study_name: number for number, study in self.now.studies.items()}[study_name]

    def get_study_name_from_id(self, study_id: int) -> str:
        return self.now.studies[study_id].study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self.now.studies[study_id].directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self.now.studies[study_id].user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.now.studies[study_id].system_attrs

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self.now.trials[study_id]
        return [trial for trial in trials if states is None or trial.state in states]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        trials = (trial for some in self.now.trials.values() for trial in some)
        return {optuna_private.trial_id(trial): trial for trial in trials}[trial_id]

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise PermissionError("The dashboard is read-only.")

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
    set_trial_user_attr = set_trial_system_attr = _refuse

    # -- as an artifact store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        path = self.now.files.get(artifact_id)
        if path is None or not path.is_file():
            raise ArtifactNotFound(artifact_id)
        return path.open("rb")

    write = remove = _refuse


def read_snapshot(folder: Path) -> Snapshot:
    """Return the study, and one of the checks where there are any.

    Raises:
        BadInput: the folder holds no study.
    """
    stored = store.read_study(folder)
    files: dict[str, Path] = {}
    name = one_line(stored.facts.experiment["name"])
    goals = ["loss" if goal == "value" else goal for goal in store.objectives_of(stored.facts)]
    about = {"experiment": stored.facts.file, "trials planned": stored.facts.planned}
    if stored.done:
        about["ended because"] = stored.done
    references = _artifacts(stored.facts.references or [], folder, files, "model")
    studies = {SEARCH: _study(SEARCH, name, goals, about, references)}
    trials = {SEARCH: [_shown(trial, folder, files) for trial in stored.trials]}
    if stored.checks:
        studies[CHECKS] = _study(CHECKS, f"{name}: checks of the leaders", ["loss"], {}, {})
        trials[CHECKS] = [_shown(trial, folder, files) for trial in stored.checks]
    return Snapshot(studies, trials, files)


def _study(number: int, name: str, goals: list[str], said: dict, artifacts: dict) -> FrozenStudy:
    directions = [StudyDirection.MINIMIZE] * len(goals)
    return FrozenStudy(name, None, said, {METRIC_NAMES: goals} | artifacts, number, directions=directions)


def _shown(trial: FrozenTrial, folder: Path, files: dict[str, Path]) -> FrozenTrial:
    """Return the trial with numbers instead of its rows, and with its images as artifacts.

    Of its attributes, words and numbers stay: why it was stopped, or what it is a check of.
    """
    rows = store.images_of(trial)
    plain = {key: value for key, value in trial.user_attrs.items() if isinstance(value, (str, int, float))}
    shown = copy.copy(trial)
    shown.user_attrs = dict(_numbers(rows)) | plain
    shown.system_attrs = trial.system_attrs | _artifacts(rows, folder, files)
    return shown


def _numbers(rows: list[dict]) -> Iterator[tuple[str, Any]]:
    if not rows:
        return
    verdicts = Counter(str(row["verdict"]) for row in rows)
    yield "survived", round(verdicts["ok"] / len(rows), 4)
    for name in ("defect", *CHARTED):
        values = [row[name] for row in rows if isinstance(row.get(name), (int, float))]
        if values := [value for value in values if math.isfinite(value)]:
            yield name, round(fmean(values), 4)
    yield "images", len(rows)
    for verdict, count in sorted(verdicts.items()):
        yield f"images {verdict}", count


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
