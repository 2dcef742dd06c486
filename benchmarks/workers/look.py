"""The cost of a leader's look at a study with many trials under way, and more that have ended.

    python -m benchmarks.workers.look [RUNNING ENDED [NUMBERS]]

On a real PostgreSQL, filled with such a study: 1,000 trials of 16 images under way and 10,000 ended, along
one number, where nothing else is said. Then pgbench says what that server carries on this machine.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from benchmarks.workers.counting import counting
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.results.shared import queue
from gridsearch.results.shared.connect import connect
from gridsearch.results.shared.optuna_private import storage_of, study_id
from gridsearch.results.shared.optuna_tables import database_of, waiting_trial_ids, write_together
from gridsearch.search.samplers.cmaes import GENERATION
from gridsearch.search.workers.dispatch import alike, learnt_from, propose, twin_of, wanted
from tests.helpers.postgres import Postgres, binaries_here, serving

USUAL = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "50"}
IMAGES, RUNG = 16, 8  # images of a trial, and of a rung
SPACE = FloatDistribution(0.0001, 1.0, step=0.0001)
# As long as a real row, which has its metrics, its verdict, the picture's hash and what it took.
ROW = {f"metric_{i}": 0.123456789 + i for i in range(22)} | {
    "file": "images/t00000_p1_1.png",
    "digest": "0" * 64,
}
LEASE = '{"worker": "machine 1 2", "beat": 3}'
BLOCKS = ["default", "M00", *(f"{part}{block:02}" for block in range(9) for part in ("IN", "OUT"))]
PGBENCH = ("-n", "-c", "16", "-j", "2", "-T", "15")


def main(running: int, ended: int, numbers: int = 1) -> None:
    binaries = binaries_here()
    if binaries is None:
        sys.exit("There is no PostgreSQL here: apt-get install postgresql.")
    with serving(binaries, USUAL) as server:
        server.execute("CREATE DATABASE filled")
        with connect(server.url("filled")) as storage:
            study = optuna.create_study(study_name="filled", storage=storage)
            _fill(study, running, ended, [*_experiment("tpe", numbers).searched()])
        with connect(server.url("filled")) as storage:
            study = optuna.load_study(study_name="filled", storage=storage)
            print(f"{running} under way, {ended} ended, along {numbers}")
            _measure(study, server, numbers)
        _pgbench(server, binaries)


def _measure(study: optuna.Study, server: Postgres, numbers: int) -> None:
    def timed(name: str, what: Callable[[], object], times: int) -> None:
        """Seconds of processors, here and in the server: other programs do not count."""
        if times > 1:
            what()  # what is imported or read once is not counted
        counted, here, there = counting(), time.process_time(), server.seconds()
        for _ in range(times):
            what()
        spent = [1000 * took / times for took in (time.process_time() - here, server.seconds() - there)]
        each = f"{spent[0]:9.1f}{spent[1]:9.1f} ms{counted.transactions / times:8.1f} transactions"
        print(f"  {name:40}{each}", flush=True)

    print(f"{'':42}     here   server")
    timed("the first read of all", lambda: study.get_trials(deepcopy=False), 1)
    timed("a look", lambda: study.get_trials(deepcopy=False), 3)
    trials = study.get_trials(deepcopy=False)
    known: dict[int, tuple] = {}
    alike(trials, known)

    def proposing(experiment: Experiment, without: int = 0) -> Callable[[], None]:
        same, learnt = alike(trials, known), learnt_from(experiment, trials[without:])

        def proposed() -> None:
            assert wanted(study, experiment, trials)
            new = propose(study, experiment, learnt, len(trials))
            twin_of(new, same)
            queue.put_back(study, new)
            trials.append(new)

        return proposed

    for name in ("random", "tpe", "cmaes", "gp"):
        experiment = _experiment(name, numbers)
        timed(f"before proposals of {name}", partial(proposing, experiment), 3)
        timed(f"a proposal of {name}", proposing(experiment), 20)
        timed("  the first after a trial's end", proposing(experiment, 1), 1)
    timed(
        "a worker's look", lambda: (queue.read_orders(study), waiting_trial_ids(study, 0, queue.CHOICE)), 20
    )

    def taken() -> None:
        trial = queue.take(study, "worker", None)
        write_together(trial, "rung 0000", [ROW] * RUNG, dict.fromkeys(range(RUNG), 0.5))
        write_together(trial, "rung 0001", [ROW] * RUNG, {})
        study.tell(trial, 0.5)

    timed("a worker's trial, but for its drawing", taken, 8)


def _experiment(sampler: str, numbers: int) -> Experiment:
    each = {"low": SPACE.low, "high": SPACE.high, "step": SPACE.step}
    settings = {
        "name": "filled",
        "models": {"a": "a.safetensors", "b": "b.safetensors"},
        "merge": [
            {"models": ["a", "b"], "ratio": each if numbers == 1 else dict.fromkeys(BLOCKS[:numbers], each)}
        ],
        "prompt": [{"text": "a"}],
        "search": {"sampler": sampler, "trials": 10**6},
    }
    return parse_experiment(settings, Path(), "here")


def _fill(study: optuna.Study, running: int, ended: int, names: Sequence[str]) -> None:
    """Rows by the thousand: Optuna's own way would take an hour."""
    generation = 4 + int(3 * math.log(len(names)))  # of CMA-ES
    rung = json.dumps({"images": [ROW] * RUNG, "seconds": {"render": 40.0}})
    began = datetime.now() - timedelta(days=1)
    with database_of(storage_of(study)).engine.begin() as connection:

        def put(model: type, rows: list[dict]) -> None:
            connection.execute(sqlalchemy.insert(model.__table__), rows)

        for first in range(0, running + ended, 1000):
            ids = range(first + 1, min(first + 1000, running + ended) + 1)
            done = [number for number in ids if number <= ended]
            state = lambda number: TrialState.COMPLETE if number <= ended else TrialState.RUNNING  # noqa: E731
            put(
                models.TrialModel,
                [
                    {
                        "trial_id": i,
                        "number": i - 1,
                        "study_id": study_id(study),
                        "state": state(i),
                        "datetime_start": began,
                        "datetime_complete": began if i <= ended else None,
                    }
                    for i in ids
                ],
            )
            space = distribution_to_json(SPACE)
            put(
                models.TrialParamModel,
                [
                    {
                        "trial_id": i,
                        "param_name": name,
                        "param_value": max(round(i * place * 0.618034 % 1, 4), 0.0001),
                        "distribution_json": space,
                    }
                    for i in ids
                    for place, name in enumerate(names, 1)
                ],
            )
            put(
                models.TrialSystemAttributeModel,
                [
                    {"trial_id": i, "key": key, "value_json": text}
                    for i in ids
                    for key, text in (("lease", LEASE), (GENERATION, str(i // generation)))
                ],
            )
            parts = [(i, part) for i in ids for part in range(IMAGES // RUNG if i <= ended else 1)]
            put(
                models.TrialUserAttributeModel,
                [{"trial_id": i, "key": f"rung {part:04}", "value_json": rung} for i, part in parts],
            )
            put(
                models.TrialIntermediateValueModel,
                [
                    {
                        "trial_id": i,
                        "step": part * RUNG + step,
                        "intermediate_value": 0.5,
                        "intermediate_value_type": "FINITE",
                    }
                    for i, part in parts
                    for step in range(RUNG)
                ],
            )
            if done:
                put(
                    models.TrialValueModel,
                    [
                        {"trial_id": i, "objective": 0, "value": 0.5 + i % 97 / 100, "value_type": "FINITE"}
                        for i in done
                    ],
                )
        connection.exec_driver_sql(f"SELECT setval('trials_trial_id_seq', {running + ended})")


def _pgbench(server: Postgres, binaries: Path) -> None:
    """Transactions a second of PostgreSQL's own benchmark: of five statements, and of one that only reads."""
    server.execute("CREATE DATABASE pgbench")
    url = server.url("pgbench").replace("+psycopg", "")
    with tempfile.TemporaryFile() as nowhere:
        subprocess.run([binaries / "pgbench", "-i", "-q", "-s", "10", url], check=True, stderr=nowhere)
    for name, options in (("writes", ()), ("reads", ("-S",))):
        said = subprocess.run([binaries / "pgbench", *PGBENCH, *options, url], capture_output=True, text=True)
        line = next(line for line in said.stdout.splitlines() if line.startswith("tps"))
        print(
            f"  pgbench, 16 clients, {name}: {float(line.split()[2]):.0f} transactions a second", flush=True
        )


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) > 2 else (1000, 10_000)))
