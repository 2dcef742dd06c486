"""A run in one process: the leader, with one worker that works while the leader waits."""

from pathlib import Path

import optuna

from gridsearch.base.machine import process_name
from gridsearch.experiment.experiment import Experiment
from gridsearch.results.shared import queue
from gridsearch.search.budget import Budget
from gridsearch.search.listener import Listener
from gridsearch.search.load import prepare_and_load
from gridsearch.search.workers.leader import lead
from gridsearch.search.workers.look import InProcess
from gridsearch.search.workers.worker import work_once, worker_of


def run_experiment(experiment: Experiment, file: Path, out: Path, budget: Budget, listener: Listener) -> None:
    """Run the experiment read from `file` into the folder `out`, or resume it there.

    Raises:
        BadInput: the experiment, a model, or what `out` already holds does not fit. Nothing was written.
        RunFailed: another run works in `out`, or too many trials failed.
    """
    prepared, setup = prepare_and_load(experiment, file, out, listener)

    def crew(study: optuna.Study) -> InProcess:
        worker = worker_of(process_name(), study, prepared, setup, listener, alone=True)
        return InProcess(lambda: work_once(worker, queue.read_orders(study)))

    lead(prepared, out, budget, listener, crew, retries=0, shared=False)
