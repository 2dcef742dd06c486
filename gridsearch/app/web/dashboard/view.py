"""A run as a read-only Optuna storage and artifact store."""

import threading
import time
from collections.abc import Container
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gridsearch.app.web.dashboard.snapshot import Snapshot, read_snapshot
from gridsearch.results.shared import optuna_private
from gridsearch.results.shared.optuna_private import FrozenStudy

FRESH = 1.0  # seconds before the folder is read again; one page asks many times


class View(BaseStorage):
    """The content of a results folder, read again as the run goes on.

    The study's file is opened for a moment only, so that a run can replace it.
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

    def _study(self, study_id: int) -> FrozenStudy:
        return self.now.studies[study_id]  # Optuna expects a KeyError where there is none

    def get_study_id_from_name(self, study_name: str) -> int:
        return {study.study_name: number for number, study in self.now.studies.items()}[study_name]

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id).study_name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._study(study_id).directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).user_attrs

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).system_attrs

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
