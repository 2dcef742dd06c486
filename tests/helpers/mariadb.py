"""A MariaDB of the tests' own, which speaks as MySQL does."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.helpers.server import PASSWORD, USER, Server, empty_database, missing, serving

HOW = "apt-get install mariadb-server, pip install 'gridsearch[mysql]'"
OPTIONS = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
]


class MariaDB(Server):
    """A server whose only user comes from this machine."""

    account, polite = "mysql", signal.SIGTERM

    def url(self, database: str = "mysql", password: str | None = PASSWORD) -> str:
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"mysql+pymysql://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        data = f"--datadir={self.folder / 'data'}"
        self.run("mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal")
        secret = PASSWORD.replace("'", "''")
        who = f"'{USER}'@'127.0.0.1'"
        first = self.folder / "first.sql"
        first.write_text(f"CREATE USER {who} IDENTIFIED BY '{secret}';\nGRANT ALL ON *.* TO {who};\n")
        self.own(first)
        self._first: Path | None = first

    def command(self) -> list[str | Path]:
        first = [f"--init-file={self._first}"] if self._first else []
        self._first = None
        place = [f"--datadir={self.folder / 'data'}", f"--socket={self.folder / 'socket'}"]
        return [_server(), "--no-defaults", *OPTIONS, *place, f"--port={self.port}", *first]

    def answers(self) -> bool:
        import pymysql

        try:
            self._connected().close()
        except pymysql.OperationalError:
            return False
        return True

    def execute(self, statement: str, database: str = "mysql") -> list[tuple]:
        """One statement; the rows that it gives."""
        with self._connected(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return [*cursor.fetchall()]

    def _connected(self, database: str = "mysql"):
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database, autocommit=True
        )


def _server() -> str | None:
    """Debian keeps it out of a user's PATH."""
    return shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin") or shutil.which("mariadbd")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    there = _server() is not None and shutil.which("mariadb-install-db") is not None
    try:
        import pymysql  # noqa: F401
    except ImportError:
        there = False
    if not there:
        missing("MariaDB", HOW, "REQUIRE_MARIADB")
    with serving(MariaDB) as server:
        yield server


@pytest.fixture
def mysql_database(mariadb) -> Iterator[str]:
    yield from empty_database(mariadb)
