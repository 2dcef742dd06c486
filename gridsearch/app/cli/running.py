"""The commands that render a search: `run` and `worker`."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import ArtifactsUrl, AsJson, ExperimentFile, NewFolder, Storage, Workers, command
from gridsearch.app.cli.events import Events, show_event
from gridsearch.app.cli.results_folder import (
    default_folder,
    load_checked,
    place_noted,
    write_and_show_results,
)
from gridsearch.app.cli.workers import hands_asked, worker_processes
from gridsearch.app.live_report import LiveReport, write_results
from gridsearch.app.processes import interrupted_by_sigterm
from gridsearch.base.errors import BadInput, Busy, GridsearchError, RunFailed
from gridsearch.base.machine import LocalWorkers, process_name

if TYPE_CHECKING:
    from gridsearch.experiment.experiment import Experiment
    from gridsearch.search.budget import Budget


@command(
    "run",
    "gridsearch run experiments/toy.toml --until 07:30",
    "gridsearch run experiments/toy.toml --workers auto",
    "gridsearch run experiments/toy.toml --json > night.jsonl",
)
def run_command(
    experiment_file: ExperimentFile,
    out: NewFolder = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Start no trial that would end after this many hours.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="HH:MM", help="Start no trial that would end after this time of day."),
    ] = None,
    workers: Workers = None,
    storage: Storage = None,
    artifacts: ArtifactsUrl = None,
    retries: Annotated[int, typer.Option(min=0, help="How often to retry a trial whose worker died.")] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only errors and the final answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or resume it where it stopped.

    The report can be opened during the run. Ctrl-C stops the run and keeps everything that is finished.
    """
    from gridsearch.search.budget import Budget, deadline

    if quiet and as_json:
        raise BadInput("--json prints every event and --quiet prints none.", fix="Leave one of them out.")
    experiment = load_checked(experiment_file)
    folder = out or default_folder(experiment.name)
    budget = Budget(trials, deadline(hours, until))
    hands = hands_asked(workers, experiment.render.device) if workers or storage else None
    shown = terminal.SilentListener() if quiet else terminal.RunScreen()
    listener = Events(experiment.name, folder) if as_json else shown

    with interrupted_by_sigterm(), listener, place_noted(folder, storage, experiment.name, artifacts):
        try:
            listener.loading()
            with LiveReport(folder, listener) as live:
                _run(experiment, experiment_file, folder, budget, live, hands, retries)
        except KeyboardInterrupt:
            listener.stop()
            _tell(folder, quiet, as_json)
            if as_json:
                show_event({"event": "interrupted"})
            else:
                terminal.say("Stopped. Every finished trial is kept; run the same command again to continue.")
            raise typer.Exit(1) from None
        except Busy:
            raise
        except RunFailed:
            listener.stop()
            with contextlib.suppress(GridsearchError):  # a full disk stops the report, too
                _tell(folder, quiet, as_json)
            raise
    _tell(folder, quiet, as_json)


def _run(
    experiment: "Experiment",
    file: Path,
    folder: Path,
    budget: "Budget",
    listener: Any,
    hands: LocalWorkers | None,
    retries: int,
) -> None:
    """Run in this process alone, or lead workers in others."""
    if hands is None:
        from gridsearch.search.run import run_experiment

        run_experiment(experiment, file, folder, budget, listener)
    else:
        from gridsearch.search.workers.leader import lead_workers

        crew = worker_processes(hands, file, folder, listener)
        lead_workers(experiment, file, folder, budget, listener, crew, retries)


@command(
    "worker",
    "gridsearch worker my.toml --storage postgresql+psycopg://me@host/db --out results/my",
)
def worker_command(
    experiment_file: ExperimentFile,
    storage: Storage = None,
    out: NewFolder = None,
    artifacts: ArtifactsUrl = None,
    name: Annotated[str | None, typer.Option(hidden=True, help="A name that no other worker has.")] = None,
    tied: Annotated[bool, typer.Option(hidden=True, help="Exit when the standard input is closed.")] = False,
) -> None:
    """Add a worker to a study that a run leads, on this machine or another.

    It renders what the run asks for and ends with the run. After Ctrl-C, its unfinished work goes back to the
    queue.
    """
    experiment = load_checked(experiment_file)
    folder = out or default_folder(experiment.name)
    lines, noted = terminal.TrialLines(), place_noted(folder, storage, experiment.name, artifacts)
    with interrupted_by_sigterm(tied), lines, noted:
        try:
            lines.loading()
            from gridsearch.search.workers.worker import work

            why = work(experiment, experiment_file, folder, name or process_name(), lines)
        except KeyboardInterrupt:
            lines.stop()
            terminal.say("Stopped. Its unfinished work goes back to the queue.")
            raise typer.Exit(1) from None
    terminal.say(f"Nothing more to render: {why}.")


def _tell(folder: Path, quiet: bool, as_json: bool) -> None:
    """Write tables and report, also of a run that was stopped, and show the answer."""
    from gridsearch.results.store import has_study

    if not has_study(folder):
        return
    if not as_json:
        write_and_show_results(folder, brief=quiet)
        return
    from gridsearch.results.analysis.best_json import best_dict

    results, answer = write_results(folder)
    best = None if answer is None else best_dict(results, answer)
    show_event({"event": "answer", "folder": str(folder), "best": best})
