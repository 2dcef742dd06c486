"""A study that many share: in PostgreSQL or MySQL, or behind Optuna's gRPC proxy."""

import contextlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import sqlalchemy
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, _CachedStorage
from optuna.storages._rdb.models import StudyModel
from sqlalchemy import Engine

from gridsearch.base.errors import RunFailed
from gridsearch.results.shared.leader_lock import Leading, leading
from gridsearch.results.shared.retry import PATIENCE, Waiting
from gridsearch.results.shared.retrying_storage import Patient
from gridsearch.results.shared.server import ANSWER, arguments, named, own_connection, rdb_of
from gridsearch.results.shared.url import PROXY_PORT, check_url, cleaned, is_proxy, parse_url, redacted

__all__ = ["PATIENCE", "Leading", "Patient", "connect", "leading", "rdb_of", "replace_study"]

_TABLES = 0x677269647365  # the advisory lock under which the tables are made

# It logs a lost connection with the statement and its values; `Waiting` says it better, and once.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)


@contextlib.contextmanager
def connect(
    url: str, patience: float = PATIENCE, on_wait: Callable[[str], None] | None = None
) -> Iterator[Patient]:
    """The storage at this URL; its tables are made where there are none.

    Args:
        patience: seconds for which a lost connection is waited for; the first one is not.
        on_wait: is told that the database is gone, and that it is back.

    Raises:
        BadInput: the URL is none that can be used.
        RunFailed: nobody answers there, or what is there is of another version.
    """
    check_url(url)
    inner, close = _open_proxy(url) if is_proxy(url) else _open_database(url)
    waiting = Waiting(patience, on_wait, partial(cleaned, url=url))
    try:
        yield Patient(inner, waiting)
    finally:
        waiting.end()
        close()


def _open_proxy(url: str) -> tuple[BaseStorage, Callable[[], None]]:
    parsed = parse_url(url)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # it would log each lost connection to the terminal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls it experimental
        proxy = GrpcStorageProxy(host=parsed.host, port=parsed.port or PROXY_PORT)
    try:
        proxy.wait_server_ready(timeout=ANSWER)
    except ConnectionError:
        proxy.close()
        raise RunFailed(
            "The proxy does not answer.",
            where=redacted(url),
            why=f"Nothing for {ANSWER} s.",
            fix="Start it, and check host and port.",
        ) from None
    return proxy, proxy.close


def _open_database(url: str) -> tuple[BaseStorage, Callable[[], None]]:
    with named(url), _making_tables(url):
        # Few connections: a thousand workers share the server's. Optuna fills braces in its URL.
        storage = RDBStorage(
            _rendered(url).replace("{", "{{").replace("}", "}}"),
            engine_kwargs={
                "pool_pre_ping": True,
                "pool_size": 1,
                "max_overflow": 4,
                "connect_args": arguments(parse_url(url)),
            },
        )
        _widen(storage.engine)

    def close() -> None:
        storage.remove_session()
        storage.engine.dispose()

    return _CachedStorage(storage), close


def _rendered(url: str) -> str:
    return parse_url(url).render_as_string(hide_password=False)


@contextlib.contextmanager
def _making_tables(url: str) -> Iterator[None]:
    """Two that make the tables at once would each find them half made: one goes after the other."""
    with own_connection(parse_url(url)) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_TABLES})")
        else:
            connection.exec_driver_sql(f"SELECT GET_LOCK('gridsearch-tables-{_TABLES}', 60)")
        yield


def _widen(engine: Engine) -> None:
    """Optuna's texts are MySQL's TEXT, of 64 kB: the facts of a run and the rows of its images are longer."""
    if engine.dialect.name == "postgresql":
        return
    narrow = sqlalchemy.text(
        "SELECT table_name FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND column_name = 'value_json' AND data_type = 'text'"
    )
    with engine.begin() as connection:
        for (table,) in connection.execute(narrow).all():
            connection.exec_driver_sql(f"ALTER TABLE `{table}` MODIFY value_json LONGTEXT")


def replace_study(storage: BaseStorage, new: str, old: str) -> None:
    """The study named `new` takes the name `old`; one that has it is deleted.

    Both names change in one transaction: whoever looks finds a whole study under `old` at any time, and a
    kill leaves at most the replaced one under another name, which the next call deletes.

    Raises:
        BadInput: the storage is a proxy's.
        KeyError: there is no study named `new`.
    """
    rdb = rdb_of(storage)
    number = storage.get_study_id_from_name(new)
    _waiting(storage).call(lambda: _rename(rdb, number, old))
    if isinstance(cached := getattr(storage, "inner", storage), _CachedStorage):
        # It remembers names by number, and would say the former one.
        with cached._lock:
            if number in cached._studies:
                cached._studies[number].name = old
    for study in storage.get_all_studies():
        if study.study_name.startswith(_replaced(old)):
            storage.delete_study(study._study_id)


def _rename(rdb: RDBStorage, number: int, old: str) -> None:
    """Done once however often it is called: a study that has its name already keeps it."""
    names = StudyModel.__table__
    with rdb.engine.begin() as connection:
        there = sqlalchemy.select(names.c.study_id).where(names.c.study_name == old).with_for_update()
        holder = connection.execute(there).scalar()
        if holder == number:
            return
        if holder is not None:
            aside = names.update().where(names.c.study_id == holder)
            connection.execute(aside.values(study_name=f"{_replaced(old)}{holder}"))
        taken = connection.execute(names.update().where(names.c.study_id == number).values(study_name=old))
        if not taken.rowcount:
            raise KeyError(number)


def _replaced(old: str) -> str:
    return f"{old} (replaced) "


def _waiting(storage: BaseStorage) -> Waiting:
    return storage.waiting if isinstance(storage, Patient) else Waiting(patience=0)
