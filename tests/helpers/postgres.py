"""A PostgreSQL of the tests' own."""

import functools
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.helpers.server import PASSWORD, USER, Server, empty_database, missing, serving

HOW = "apt-get install postgresql, pip install 'gridsearch[postgres]'"
# Small and quick. What was committed outlives a killed server, though not the machine's own end.
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_connections": "100",
}


class Postgres(Server):
    """A server with a cluster of its own."""

    account, polite = "postgres", signal.SIGINT  # as `pg_ctl stop -m fast`

    def __init__(self, binaries: Path, folder: Path, options: Mapping[str, str] = OPTIONS) -> None:
        super().__init__(folder)
        self._binaries, self._options = binaries, options

    def url(self, database: str = "postgres", password: str | None = PASSWORD) -> str:
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"postgresql+psycopg://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self.own(secret)
        options = ["--no-sync", "--no-instructions", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        place = ["-D", self.folder / "data", "-U", USER, f"--pwfile={secret}"]
        self.run(self._binaries / "initdb", *place, *options)

    def command(self) -> list[str | Path]:
        options = [part for key, value in self._options.items() for part in ("-c", f"{key}={value}")]
        return [self._binaries / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options]

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(**self._place("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """One statement, beside any transaction; the rows that it gives."""
        import psycopg

        with psycopg.connect(**self._place(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def seconds(self) -> float:
        """Of processors, that the server and its sessions have taken."""
        server = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return sum(one.user + one.system for one in times)

    def _place(self, database: str) -> dict:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "dbname": database,
        }


def binaries_here() -> Path | None:
    """Debian keeps them out of PATH, a folder per version."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    return next((place for place in places if (place / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = binaries_here()
    try:
        import psycopg  # noqa: F401
    except ImportError:
        binaries = None
    if binaries is None:
        missing("PostgreSQL", HOW, "REQUIRE_POSTGRES")
    with serving(functools.partial(Postgres, binaries)) as server:
        yield server


@pytest.fixture
def database(postgres) -> Iterator[str]:
    yield from empty_database(postgres, "WITH (FORCE)")
