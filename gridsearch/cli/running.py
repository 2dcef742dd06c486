"""The run itself: `run`."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.cli import terminal
from gridsearch.cli.app import ExperimentFile, app
from gridsearch.cli.stored import checked, default_folder, write_what_there_is
from gridsearch.deadline import deadline
from gridsearch.errors import RunFailed


@app.command(epilog="Example: gridsearch run experiments/toy.toml --until 07:30")
def run(
    experiment_file: ExperimentFile,
    out: Annotated[Path | None, typer.Option(help="The results folder. Default: results/<name>.")] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[float | None, typer.Option(min=0, help="Start no trial that would end later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="HH:MM", help="The same as a time of day.")] = None,
) -> None:
    """Run an experiment, or resume it where it stopped."""
    experiment = checked(experiment_file)
    out = out or default_folder(experiment.name)
    end = deadline(hours, until)

    with terminal.Progress() as progress:
        progress.loading()
        from gridsearch.search.loop import Budget
        from gridsearch.search.run import run as run_experiment

        try:
            run_experiment(experiment, experiment_file, out, Budget(trials, end), progress)
        except KeyboardInterrupt:
            progress.stop()
            write_what_there_is(out)
            terminal.say("Stopped. Every finished trial is kept; the same command goes on from here.")
            raise typer.Exit(1) from None
        except RunFailed:
            progress.stop()
            write_what_there_is(out)
            raise
    write_what_there_is(out)
