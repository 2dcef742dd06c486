"""Before the run: `plan`, `inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.cli import terminal
from gridsearch.cli.app import ExperimentFile, app
from gridsearch.cli.stored import checked, default_folder


@app.command(epilog="Example: gridsearch plan experiments/toy.toml --time")
def plan(
    experiment_file: ExperimentFile,
    out: Annotated[Path | None, typer.Option(help="The results folder. Default: results/<name>.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Draw one image, to know how long it takes.")] = False,
) -> None:
    """Check everything that can be checked without rendering, and say what the run will do."""
    experiment = checked(experiment_file)
    with terminal.Progress() as progress:
        progress.loading()
        from gridsearch.plan import make_plan

        made = make_plan(experiment, out or default_folder(experiment.name), time, progress)
    terminal.show_plan(made)


@app.command(epilog="Example: gridsearch inspect models/*.safetensors")
def inspect(checkpoints: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...")]) -> None:
    """Say what a checkpoint file or a diffusers folder is: layout, dtypes, prediction type, hashes, metadata.

    Where the prediction type was read is said too, and what says otherwise.
    """
    from gridsearch.inspection import cut, described, open_any

    opened = [open_any(path) for path in checkpoints]
    with terminal.Progress() as progress:
        for checkpoint in opened:
            terminal.show_checkpoint(cut(str(checkpoint.path)), described(checkpoint, progress.hashing))
