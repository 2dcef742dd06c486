"""The commands before a run: `plan` and `inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, ExperimentFile, NewFolder, Workers, command, load_checked
from gridsearch.app.cli.documents import checkpoint_dict, plan_dict
from gridsearch.app.cli.workers import hands_asked


@command(
    "plan",
    "gridsearch plan experiments/toy.toml --time",
    "gridsearch plan experiments/toy.toml --workers auto",
)
def plan_command(
    experiment_file: ExperimentFile,
    out: NewFolder = None,
    time: Annotated[
        bool, typer.Option("--time", help="Render one image to measure how long it takes.")
    ] = False,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that can be checked without rendering, and show what the run will do."""
    experiment, folder = load_checked(experiment_file, out)
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.search.plan import ALONE, make_plan

        hands = hands_asked(workers, experiment.render.device, fewest=1) if workers else ALONE
        made = make_plan(experiment, folder, progress if time else None, hands)
    if as_json:
        terminal.show_json(plan_dict(made, folder))
    else:
        terminal.show_plan(made)


@command(
    "inspect", "gridsearch inspect models/*.safetensors", "gridsearch inspect my-model.safetensors --json"
)
def inspect_command(
    checkpoints: Annotated[list[Path], typer.Argument(metavar="CHECKPOINT...")],
    as_json: AsJson = False,
) -> None:
    """Show what a checkpoint or a diffusers folder is: layout, dtypes, prediction type, hashes, metadata.

    The source of the prediction type is named, with anything that contradicts it. Several files are also
    compared side by side.
    """
    from gridsearch.checkpoint.inspect import described, open_any, printable

    opened = [open_any(path) for path in checkpoints]
    found = []
    with terminal.ProgressBar(shown=not as_json) as progress:
        for checkpoint in opened:
            name, rows = printable(str(checkpoint.path)), described(checkpoint, progress.hashing)
            found.append((name, rows))
            if not as_json:
                terminal.show_checkpoint(name, rows)
    if as_json:
        terminal.show_json(
            {"checkpoints": [checkpoint_dict(*one) for one in zip(opened, found, strict=True)]}
        )
    elif len(found) > 1:
        terminal.show_side_by_side(found)
