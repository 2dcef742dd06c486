"""Optuna's tables, read and written in few statements, with the reason for each use of its private parts.

Its own calls read every unfinished trial with all that is kept of it, or write one value a transaction: too
much for a database that many workers share. Written for Optuna 5.0, as `optuna_private` is.
"""

import collections
import contextlib
import copy
import functools
import gc
import json
import logging
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.storages._rdb.models import (
    StudyModel,
    TrialIntermediateValueModel,
    TrialModel,
    TrialParamModel,
    TrialSystemAttributeModel,
    TrialUserAttributeModel,
    TrialValueModel,
)
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from pydantic_core import from_json

from gridsearch.results.shared.optuna_private import frozen, storage_of, study_id, trial_id
from gridsearch.results.shared.retry import Result, RetryingStorage

# Optuna logs a lost connection with the statement and its values; `Retries` tells of it better, and once.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)


def database_of(storage: BaseStorage) -> RDBStorage:
    """Return the database inside a storage; TypeError of one in memory.

    `optuna.load_study` puts a cache around the storage that it is given, which does not say what is inside.
    """
    inner = _without_retries(storage)
    inner = inner._backend if isinstance(inner, _CachedStorage) else inner
    if not isinstance(inner, RDBStorage):
        raise TypeError(f"{type(inner).__name__} is no database.")
    return inner


def _without_retries(storage: BaseStorage) -> BaseStorage:
    return storage.inner if isinstance(storage, RetryingStorage) else storage


def _transaction(storage: BaseStorage, ask: Callable[[Any], Result]) -> Result:
    """Do this in one transaction, again where the storage calls again."""
    database = database_of(storage)

    def once() -> Result:
        with _create_scoped_session(database.scoped_session) as session:
            return ask(session)

    return storage.retries.call(once) if isinstance(storage, RetryingStorage) else once()


class QuickStorage(RDBStorage):
    """Optuna's storage, which reads a whole study several times as fast.

    Optuna makes an object of every row of every table, and parses the same distribution for each trial. Ten
    thousand trials of sixteen images took it 16 s, nearly all of it in Python. And where it cannot make or
    read its tables, as on a full disk, it leaves its connections open until they are collected.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._known: dict[tuple[int, str], BaseDistribution] = {}  # of studies and names, for new trials
        try:
            super().__init__(*args, **kwargs)
        except BaseException:
            if hasattr(self, "engine"):
                self.engine.dispose()
            raise

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return the trials with a higher id than that, and those that are included."""
        among = sqlalchemy.or_(
            TrialModel.trial_id > trial_id_greater_than,
            TrialModel.trial_id.in_([one for one in included_trial_ids if one <= trial_id_greater_than]),
        )
        asked = sqlalchemy.and_(TrialModel.study_id == study_id, among)
        if states is not None:
            asked = sqlalchemy.and_(asked, TrialModel.state.in_([one for one in TrialState if one in states]))
        with _create_scoped_session(self.scoped_session) as session, _no_collection():
            trials = _read_trials(session, asked)
            if not trials:
                StudyModel.find_or_raise_by_id(study_id, session)
            return trials

    def delete_study(self, study_id: int) -> None:
        super().delete_study(study_id)
        self._known.clear()  # SQLite gives the next study the same id

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Any
    ) -> TrialModel:
        """Add a trial, and its parameters in one statement but for those that no trial here had before.

        Optuna makes three of each: twenty numbers took five times as long as one.
        """
        if template_trial is None:
            return super()._get_prepared_new_trial(study_id, None, session)
        spaces = template_trial.distributions
        known = {name: self._known[study_id, name] for name in spaces if (study_id, name) in self._known}
        first = copy.copy(template_trial)
        first.params = {name: value for name, value in template_trial.params.items() if name not in known}
        made = super()._get_prepared_new_trial(study_id, first, session)
        for name, space in known.items():
            check_distribution_compatibility(space, spaces[name])
        rows = [
            {
                "trial_id": made.trial_id,
                "param_name": name,
                "param_value": spaces[name].to_internal_repr(template_trial.params[name]),
                "distribution_json": distribution_to_json(spaces[name]),
            }
            for name in known
        ]
        if rows:
            session.execute(sqlalchemy.insert(TrialParamModel.__table__), rows)
        self._known.update({(study_id, name): spaces[name] for name in first.params})
        return made


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: of millions of new values none is any."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _read_trials(session: Any, asked: Any) -> list[FrozenTrial]:
    """Return the trials that a condition on their table is true of, from one query of each table."""
    # tables instead of objects: a query of a few rows takes half as long
    connection = session.connection()
    heads = connection.execute(sqlalchemy.select(TrialModel.__table__).where(asked)).all()
    if not heads:
        return []
    ids = sqlalchemy.select(TrialModel.__table__.c.trial_id).where(asked)
    parts: dict[int, dict[str, dict]] = {head.trial_id: collections.defaultdict(dict) for head in heads}

    def rows(model: Any, *columns: str) -> Iterator[tuple[dict, Any]]:
        """Yield what is found of a table, with the trial's own part."""
        table = model.__table__.c
        wanted = sqlalchemy.select(table.trial_id, *(table[name] for name in columns))
        for number, *said in connection.execute(wanted.where(table.trial_id.in_(ids))):
            if number in parts:  # not one that was made since
                yield parts[number], said

    value, report = TrialValueModel, TrialIntermediateValueModel
    for part, (place, number, kind) in rows(value, "objective", "value", "value_type"):
        part["values"][place] = value.stored_repr_to_value(number, kind)
    for part, (step, number, kind) in rows(report, "step", "intermediate_value", "intermediate_value_type"):
        part["reports"][step] = report.stored_repr_to_intermediate_value(number, kind)
    for part, (order, name, number, text) in rows(
        TrialParamModel, "param_id", "param_name", "param_value", "distribution_json"
    ):
        part["params"][order] = name, _distribution(text), number
    for name, model in (("user", TrialUserAttributeModel), ("system", TrialSystemAttributeModel)):
        for part, (key, text) in rows(model, "key", "value_json"):
            part[name][key] = from_json(text)
    return [_frozen(head, parts[head.trial_id]) for head in heads]


_distribution = functools.lru_cache(1024)(json_to_distribution)


def _frozen(head: Any, part: Mapping[str, dict]) -> FrozenTrial:
    params = [part["params"][order] for order in sorted(part["params"])]
    return FrozenTrial(
        number=head.number,
        state=head.state,
        value=None,
        values=[part["values"][place] for place in sorted(part["values"])] or None,
        datetime_start=head.datetime_start,
        datetime_complete=head.datetime_complete,
        params={name: space.to_external_repr(value) for name, space, value in params},
        distributions={name: space for name, space, _ in params},
        user_attrs=dict(part["user"]),
        system_attrs=dict(part["system"]),
        intermediate_values=dict(part["reports"]),
        trial_id=head.trial_id,
    )


def waiting_trial_ids(study: optuna.Study, below: int | None, most: int) -> list[int]:
    """Return the ids of the first trials that wait, by their numbers: of those `below` a number, if given."""
    if isinstance(storage_of(study), InMemoryStorage):
        trials = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return [trial_id(trial) for trial in trials if below is None or trial.number < below][:most]
    asked = sqlalchemy.select(TrialModel.trial_id).where(
        TrialModel.study_id == study_id(study), TrialModel.state == TrialState.WAITING
    )
    if below is not None:
        asked = asked.where(TrialModel.number < below)
    asked = asked.order_by(TrialModel.number).limit(most)
    return _transaction(storage_of(study), lambda session: [*session.scalars(asked)])


def state_and_attr(study: optuna.Study, trial: optuna.Trial, key: str) -> tuple[TrialState, Any]:
    """Return a trial's state and one of its system attributes; None where it has none of that name."""
    attribute, number = TrialSystemAttributeModel, trial_id(trial)

    def ask(session: Any) -> tuple[TrialState, Any]:
        state: Any = TrialModel.find_or_raise_by_id(number, session).state
        value = session.scalar(
            sqlalchemy.select(attribute.value_json).where(attribute.trial_id == number, attribute.key == key)
        )
        return state, json.loads(value) if value else None

    return _transaction(storage_of(study), ask)


def open_trial(study: optuna.Study, number: int) -> optuna.Trial:
    """Return the trial with this id, having read it alone.

    Optuna sets no parameter of a trial that its cache does not know, and learns of one by reading all.
    """
    trial = optuna.Trial(study, number)
    cached = _without_retries(storage_of(study))
    if isinstance(cached, _CachedStorage):
        with cached._lock:
            cached._studies.setdefault(study_id(study), _StudyInfo())
            cached._add_trials_to_cache(study_id(study), [copy.deepcopy(frozen(trial))])
    return trial


def write_together(trial: optuna.Trial, key: str, value: Any, reports: Mapping[int, float]) -> None:
    """Set a trial's attribute and report new values, by step: in a database all of it or none."""
    storage, number = storage_of(trial.study), trial_id(trial)
    database = database_of(storage)

    def write(session: Any) -> None:
        database._set_trial_attr_without_commit(session, TrialUserAttributeModel, number, key, value)
        for step, reported in reports.items():
            database._set_trial_intermediate_value_without_commit(session, number, step, reported)

    _transaction(storage, write)
    frozen(trial).user_attrs[key] = value
    frozen(trial).intermediate_values.update(reports)


def replace_study(storage: RetryingStorage, new: str, old: str) -> None:
    """Give the study named `new` the name `old`, and delete one that has it; Optuna renames no study.

    Both names change in one transaction: a whole study is found under `old` at any time, and a kill leaves at
    most the replaced one under another name, which the next call deletes. A storage that is open may go on
    to call the study by its former name.
    """
    number, replaced = storage.get_study_id_from_name(new), f"{old} (replaced) "
    names = StudyModel.__table__

    def rename(session: Any) -> None:
        """Change nothing where a lost answer has it called again, and the study has its name already."""
        there = sqlalchemy.select(names.c.study_id).where(names.c.study_name == old).with_for_update()
        holder = session.execute(there).scalar()
        if holder == number:
            return
        if holder is not None:
            aside = names.update().where(names.c.study_id == holder)
            session.execute(aside.values(study_name=f"{replaced}{holder}"))
        taken = session.execute(names.update().where(names.c.study_id == number).values(study_name=old))
        if not taken.rowcount:
            raise KeyError(number)

    _transaction(storage, rename)
    for study in storage.get_all_studies():
        if study.study_name.startswith(replaced):
            optuna.delete_study(study_name=study.study_name, storage=storage)
