"""The run itself: `run`, and `worker`."""

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from gridsearch.app.cli import terminal
from gridsearch.app.cli.app import ArtifactsUrl, AsJson, ExperimentFile, NewFolder, Storage, Workers, app
from gridsearch.app.cli.crew import crew_of, hands_asked
from gridsearch.app.cli.ending import told_to_end
from gridsearch.app.cli.events import Events, show_event
from gridsearch.app.cli.live_report import LiveReport
from gridsearch.app.cli.silent import Silent
from gridsearch.app.cli.stored import checked, default_folder, settled, written
from gridsearch.base.errors import BadInput, Busy, GridsearchError, RunFailed
from gridsearch.base.machine import Hands, process_name
from gridsearch.search.loop import deadline


@app.command(
    epilog="Examples: gridsearch run experiments/toy.toml --until 07:30    "
    "gridsearch run experiments/toy.toml --workers auto    "
    "gridsearch run experiments/toy.toml --json > night.jsonl"
)
def run(
    experiment_file: ExperimentFile,
    out: NewFolder = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Start no trial that would end later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="HH:MM", help="The same as a time of day.")] = None,
    workers: Workers = None,
    storage: Storage = None,
    artifacts: ArtifactsUrl = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a trial is tried again whose worker died.")
    ] = 1,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors, and in the end the answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or resume it where it stopped.

    The report can be opened while it runs. Ctrl-C stops it; what is finished is kept.
    """
    if quiet and as_json:
        raise BadInput("--json prints every event, and --quiet none.", fix="Leave one of them out.")
    experiment = checked(experiment_file)
    folder = out or default_folder(experiment.name)
    end = deadline(hours, until)
    hands = hands_asked(workers, experiment.render.device) if workers or storage else None
    aloud = Silent() if quiet else terminal.RunScreen()
    listener = Events(experiment.name, folder) if as_json else aloud

    with told_to_end(), listener, settled(folder, storage, experiment.name, artifacts):
        try:
            listener.loading()
            with LiveReport(folder, listener) as live:
                _run(experiment, experiment_file, folder, (trials, end), live, hands, retries)
        except KeyboardInterrupt:
            listener.stop()
            _tell(folder, quiet, as_json)
            if as_json:
                show_event({"event": "interrupted"})
            else:
                terminal.say("Stopped. Every finished trial is kept; the same command goes on from here.")
            raise typer.Exit(1) from None
        except Busy:
            raise
        except RunFailed:
            listener.stop()
            with contextlib.suppress(GridsearchError):  # a full disk takes no report: why it failed says that
                _tell(folder, quiet, as_json)
            raise
    _tell(folder, quiet, as_json)


def _run(
    experiment: Any,
    file: Path,
    folder: Path,
    budget: tuple[int | None, float | None],
    listener: Any,
    hands: Hands | None,
    retries: int,
) -> None:
    """Draw in this process, or lead those that do."""
    from gridsearch.search.loop import Budget

    if hands is None:
        from gridsearch.search.run import run as run_here

        run_here(experiment, file, folder, Budget(*budget), listener)
        return
    from gridsearch.search.workers.leader import lead

    lead(experiment, file, folder, Budget(*budget), listener, crew_of(hands, file, folder, listener), retries)


@app.command(
    epilog="Example: gridsearch worker my.toml --storage postgresql+psycopg://me@host/db --out results/my"
)
def worker(
    experiment_file: ExperimentFile,
    storage: Storage = None,
    out: NewFolder = None,
    artifacts: ArtifactsUrl = None,
    name: Annotated[str | None, typer.Option(hidden=True, help="Its name, unlike any other's.")] = None,
    tied: Annotated[bool, typer.Option(hidden=True, help="End when the standard input is closed.")] = False,
) -> None:
    """One more worker on a study that a run leads, on this or another machine.

    It draws what the run asks for, and ends with it. Ctrl-C gives back what it is drawing.
    """
    experiment = checked(experiment_file)
    folder = out or default_folder(experiment.name)
    with told_to_end(tied), terminal.Lines() as lines, settled(folder, storage, experiment.name, artifacts):
        try:
            lines.loading()
            from gridsearch.search.workers.worker import work

            why = work(experiment, experiment_file, folder, name or process_name(), lines)
        except KeyboardInterrupt:
            lines.stop()
            terminal.say("Stopped. What it was drawing goes back to the queue.")
            raise typer.Exit(1) from None
    terminal.say(f"Nothing more to draw: {why}.")


def _tell(folder: Path, quiet: bool, as_json: bool) -> None:
    """Write what there is, also of a run that was stopped, and say what it comes to."""
    found = written(folder)
    if found is None:
        return
    results, answer = found
    if as_json:
        from gridsearch.results.analysis.best_json import best_dict

        best = None if answer is None else best_dict(results, answer)
        show_event({"event": "answer", "folder": str(folder), "best": best})
    elif answer is None:
        terminal.say("No trial is complete yet.")
    elif quiet:
        terminal.show_sentence(results, answer)
    else:
        terminal.show_answer(results, answer)
