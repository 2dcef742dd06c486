"""Eight workers against one, and what a trial costs the database.

    python -m benchmarks.workers [grid|tpe|random] ...

A real run leads real workers; only their renderer sleeps a second for each image and draws nothing. A trial
has eight images, so that what it costs beside drawing weighs twice as much as with sixteen. Timed from the
beginning of the first trial to the end of the last; by then all workers have loaded.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import contextlib
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import optuna

from benchmarks.quiet import Quiet
from benchmarks.workers.asleep import Crew, using
from benchmarks.workers.counting import counting
from gridsearch.experiment.experiment import load_experiment
from gridsearch.results import store
from gridsearch.search.budget import Budget
from gridsearch.search.workers.leader import lead_workers
from tests.helpers.postgres import Postgres, binaries_here, serving

TOY = Path(__file__).parents[2] / "experiments" / "toy"
MANY = 8
EACH = 4  # trials a worker
# A server as it is after its installation, but for where it listens: what is committed is on the disk.
USUAL = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
EXPERIMENT = """
name = "asleep"
[models]
base = "{toy}/base.safetensors"
burnt = "{toy}/burnt.safetensors"
[[merge]]
models = ["base", "burnt"]
ratio = {{ low = 0.0, high = 1.0, step = {step} }}
[render]
prediction_type = "v_prediction"
config = "{toy}/config"
width = 64
height = 64
steps = 3
[score]
references = ["base"]
[[prompt]]
text = "a circle"
seeds = [1, 2, 3, 4]
[[prompt]]
text = "a star"
seeds = [1, 2, 3, 4]
[search]
{search}
"""
SEARCHES = {
    "grid": 'sampler = "grid"',
    "tpe": 'sampler = "tpe"\ntrials = 1000\nracing = false',
    "random": 'sampler = "random"\ntrials = 1000\nracing = false',
}


@dataclass(frozen=True)
class Timed:
    """A run.

    Attributes:
        seconds: from the first trial's beginning to the last one's end.
        lead, workers: transactions, of the workers together.
        processor: seconds of processors that the workers took together.
    """

    trials: int
    seconds: float
    lead: int
    workers: int
    processor: float

    @property
    def per_minute(self) -> float:
        return 60 * self.trials / self.seconds


def main(searches: Sequence[str]) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python", end=" ")
    print(platform.python_version(), *(f"{name} {version(name)}" for name in ("optuna", "psycopg")), sep=", ")
    print(
        "trials a minute; of a trial: transactions of who leads and of a worker, its seconds of a processor\n"
    )
    print(f"{'':20}   one  {MANY:4}      x   lead  worker     CPU")
    binaries = binaries_here()
    if binaries is None:
        sys.exit("There is no PostgreSQL here: apt-get install postgresql.")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(binaries, USUAL) as server,
    ):
        lines = [("PostgreSQL", search) for search in searches] + [("SQLite", searches[0])]
        for kind, search in lines:
            runs = [
                _run(Path(folder), server if kind == "PostgreSQL" else None, search, n) for n in (1, MANY)
            ]
            _show(f"{kind}, {search}", *runs)


def _show(name: str, one: Timed, many: Timed) -> None:
    speeds = f"{one.per_minute:6.1f}{many.per_minute:6.1f}{many.per_minute / one.per_minute:7.2f}"
    each = [spent / many.trials for spent in (many.lead, many.workers, many.processor)]
    print(f"{name:20}{speeds}{each[0]:7.1f}{each[1]:8.1f}{each[2]:8.2f}", flush=True)


def _run(folder: Path, server: Postgres | None, search: str, size: int) -> Timed:
    """A run of so many workers, in a folder and a database of its own."""
    name = f"{search}_{size}_{'server' if server else 'file'}"
    file, out = folder / f"{name}.toml", folder / name
    file.write_text(
        EXPERIMENT.format(toy=TOY, search=SEARCHES[search], step=0.01 if search == "grid" else 0.001)
    )
    with _database(server, name) as url, using(url):
        store.note_place(out, store.StudyPlace(url, name)) if url else out.mkdir()
        crew, counted = Crew(file, out, url, size), counting()
        lead_workers(load_experiment(file), file, out, Budget(trials=EACH * size), Quiet(), crew, retries=1)
        transactions = counted.transactions
        ended = [trial for trial in store.read_study(out).trials if trial.state in store.ENDED]
    of_workers, processor = map(sum, zip(*crew.said, strict=True))
    return Timed(len(ended), _seconds(ended), transactions, of_workers, processor)


@contextlib.contextmanager
def _database(server: Postgres | None, name: str) -> Iterator[str | None]:
    if server is None:
        yield None
        return
    server.execute(f"CREATE DATABASE {name}")
    yield server.url(name)


def _seconds(trials: Sequence[optuna.trial.FrozenTrial]) -> float:
    first = min(trial.datetime_start for trial in trials)
    return (max(trial.datetime_complete for trial in trials) - first).total_seconds()


if __name__ == "__main__":
    main(sys.argv[1:] or ["grid", "tpe"])
