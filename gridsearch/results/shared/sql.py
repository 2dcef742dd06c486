"""What Optuna has no single call for, straight from its tables: many share what their database carries.

A storage that is no database here, Optuna's gRPC proxy, is asked by Optuna's own calls.
"""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import TrialState

from gridsearch.base.errors import BadInput
from gridsearch.results.shared.retrying_storage import Patient
from gridsearch.results.shared.server import rdb_of

Result = TypeVar("Result")


def waiting(study: optuna.Study, below: int | None, most: int) -> list[int]:
    """Ids of the first trials that wait, by their numbers.

    Optuna would read every unfinished trial with all that is kept of it.

    Args:
        below: only trials with a smaller number; None for any.
    """
    if (rdb := _database(study)) is None:
        trials = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return [trial._trial_id for trial in trials if below is None or trial.number < below][:most]
    asked = sqlalchemy.select(TrialModel.trial_id).where(
        TrialModel.study_id == study._study_id, TrialModel.state == TrialState.WAITING
    )
    if below is not None:
        asked = asked.where(TrialModel.number < below)
    asked = asked.order_by(TrialModel.number).limit(most)
    return _in_one(study._storage, rdb, lambda session: [*session.scalars(asked)])


def opened(study: optuna.Study, trial_id: int) -> optuna.Trial:
    """A trial, read alone. Optuna sets no parameter of one that its cache does not know."""
    trial = optuna.Trial(study, trial_id)
    storage = study._storage.inner if isinstance(study._storage, Patient) else study._storage
    if isinstance(storage, _CachedStorage):
        with storage._lock:
            storage._studies.setdefault(study._study_id, _StudyInfo())
            storage._add_trials_to_cache(study._study_id, [copy.deepcopy(trial._cached_frozen_trial)])
    return trial


def state_and(study: optuna.Study, trial_id: int, key: str) -> tuple[TrialState, Any]:
    """A trial's state, and one of its system attributes; None where it has none of that name."""
    if (rdb := _database(study)) is None:
        found = study._storage.get_trial(trial_id)
        return found.state, found.system_attrs.get(key)
    attribute = TrialSystemAttributeModel

    def ask(session: Any) -> tuple[TrialState, Any]:
        state = TrialModel.find_or_raise_by_id(trial_id, session).state
        value = session.scalar(
            sqlalchemy.select(attribute.value_json).where(
                attribute.trial_id == trial_id, attribute.key == key
            )
        )
        return state, json.loads(value) if value else None

    return _in_one(study._storage, rdb, ask)


def keep(trial: optuna.Trial, key: str, value: Any, reports: Mapping[int, float]) -> None:
    """Set a trial's attribute and report values, all or none of it where the storage is a database.

    Args:
        reports: by step; none that was reported before.
    """
    if (rdb := _database(trial.study)) is None:
        trial.set_user_attr(key, value)
        for step, reported in reports.items():
            trial.report(reported, step)
        return

    def write(session: Any) -> None:
        rdb._set_trial_attr_without_commit(session, TrialUserAttributeModel, trial._trial_id, key, value)
        for step, reported in reports.items():
            rdb._set_trial_intermediate_value_without_commit(session, trial._trial_id, step, reported)

    _in_one(trial.study._storage, rdb, write)
    known = trial._cached_frozen_trial
    known.user_attrs[key] = value
    known.intermediate_values.update(reports)


def _database(study: optuna.Study) -> RDBStorage | None:
    try:
        return rdb_of(study._storage)
    except BadInput:
        return None


def _in_one(storage: BaseStorage, rdb: RDBStorage, ask: Callable[[Any], Result]) -> Result:
    """Do this in one transaction, with the patience of the storage."""

    def once() -> Result:
        with _create_scoped_session(rdb.scoped_session) as session:
            return ask(session)

    return storage.waiting.call(once) if isinstance(storage, Patient) else once()
