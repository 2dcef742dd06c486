"""The run itself: `run`."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from gridsearch.cli import terminal
from gridsearch.cli.app import AsJson, ExperimentFile, NewFolder, app
from gridsearch.cli.events import Events, show_event
from gridsearch.cli.live_report import LiveReport
from gridsearch.cli.silent import Silent
from gridsearch.cli.stored import checked, default_folder, written
from gridsearch.deadline import deadline
from gridsearch.errors import BadInput, Busy, RunFailed


@app.command(
    epilog="Examples: gridsearch run experiments/toy.toml --until 07:30    "
    "gridsearch run experiments/toy.toml --json > night.jsonl"
)
def run(
    experiment_file: ExperimentFile,
    out: NewFolder = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Start no trial that would end later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="HH:MM", help="The same as a time of day.")] = None,
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
    aloud = Silent() if quiet else terminal.RunScreen()
    listener = Events(experiment.name, folder) if as_json else aloud

    with _told_to_end(), listener:
        try:
            listener.loading()
            from gridsearch.search.loop import Budget
            from gridsearch.search.run import run as run_experiment

            with LiveReport(folder, listener) as live:
                run_experiment(experiment, experiment_file, folder, Budget(trials, end), live)
        except KeyboardInterrupt:
            listener.stop()
            _tell(folder, quiet, as_json)
            if as_json:
                show_event("interrupted")
            else:
                terminal.say("Stopped. Every finished trial is kept; the same command goes on from here.")
            raise typer.Exit(1) from None
        except Busy:
            raise
        except RunFailed:
            listener.stop()
            _tell(folder, quiet, as_json)
            raise
    _tell(folder, quiet, as_json)


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Being told to end is as Ctrl-C: the report is written, and the terminal gets its cursor back."""

    def stop(*_signal: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(folder: Path, quiet: bool, as_json: bool) -> None:
    """Write what there is, also of a run that was stopped, and say what it comes to."""
    found = written(folder)
    if found is None:
        return
    results, answer = found
    if as_json:
        from gridsearch.report.best import best_dict

        show_event("answer", folder=str(folder), best=answer and best_dict(results, answer))
    elif answer is None:
        terminal.say("No trial is complete yet.")
    elif quiet:
        terminal.show_sentence(results, answer)
    else:
        terminal.show_answer(results, answer)
