"""The command that begins: `init` writes an experiment from nothing but the models."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import Force, command
from gridsearch.base.errors import BadInput

if TYPE_CHECKING:
    from gridsearch.search.draft_text import ModelsFound, Wishes


@command(
    "init",
    "gridsearch init base.safetensors tuned.safetensors",
    "gridsearch init a.safetensors b.safetensors --prompts prompts.txt --prompts best/*.png -o night.toml",
)
def init_command(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Two or more checkpoints; the first is the base.")
    ],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="A text file with one prompt a line, or images that hold their own (repeatable). Default: "
            "eight prompts of different kinds.",
        ),
    ] = None,
    prediction_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="How merges are rendered: v_prediction, epsilon, sample or both."),
    ] = None,
    one_of: Annotated[
        bool,
        typer.Option("--one-of", help="Of three models or more: search which one to merge into the first."),
    ] = False,
    vae: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A VAE's own file, if the first model has none.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Component configs, if the models are smaller than SDXL. Default: config beside the first.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.toml", help="The file to write. Default: A-B.toml."),
    ] = None,
    force: Force = False,
) -> None:
    """Write a commented experiment for these models, and print the commands to go on with.

    In a terminal it asks at most three questions, each of which an option answers.
    """
    from gridsearch.base.files import write_atomic

    with terminal.ProgressBar() as progress:
        progress.loading()
        from gridsearch.search.draft import draft, find_models, usual_file
        from gridsearch.search.draft_text import Wishes

        found = find_models(models, config)
    file = output or usual_file(found)
    _require_new(file, force)
    terminal.show_models(found.parents)
    wishes = Wishes(tuple(prompts or ()), prediction_type, one_of, vae)
    if sys.stdin.isatty() and sys.stdout.isatty():
        wishes = _asked(found, wishes)
    text, experiment, time = draft(found, wishes, file)
    write_atomic(file, text)
    wide, high = experiment.render.picture_size
    terminal.say(f"Wrote {file}: {len(experiment.prompt)} prompts at {wide} x {high} px.")
    terminal.say(f"The run takes {time}.")
    terminal.say("Look through the file, then check it and run it:")
    for name in ("plan", "run"):
        terminal.say(f"  gridsearch {name} {shlex.quote(str(file))}")


def _require_new(file: Path, force: bool) -> None:
    """Refuse a place that cannot be written to, and unless forced a file that is there."""
    if file.suffix != ".toml":
        raise BadInput(
            "An experiment is written as .toml.", where=file, fix=f"Use -o {file.with_suffix('.toml').name}."
        )
    if not file.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=file.parent, fix="Make it first.")
    if file.is_dir() or (file.exists() and not force):
        fix = "Choose another name with -o, or replace it with --force."
        raise BadInput("This file already exists.", where=file, fix=fix)


def _asked(found: "ModelsFound", wishes: "Wishes") -> "Wishes":
    """Return the wishes with the answers to what no option has said."""
    names = list(found.parents.checkpoints)
    if wishes.prediction_type is None and len(found.modes) > 1:
        terminal.say(f"The models predict {' and '.join(found.modes)}.")
        terminal.say('Merges usually render well in one of these modes only; "both" tries each.')
        question = f"Render merges as {', '.join(found.modes)} or both"
        wishes = replace(wishes, prediction_type=typer.prompt(question, default=found.modes[0]).strip())
    if not wishes.one_of and len(names) > 2:
        question = (
            f"Search which one of {', '.join(names[1:])} to merge into {names[0]}, instead of merging all"
        )
        wishes = replace(wishes, one_of=typer.confirm(question, default=False))
    if not wishes.prompts:
        question = "Prompts: a text file, or an image that holds one (empty: eight usual ones)"
        said = typer.prompt(question, default="", show_default=False).strip().strip("\"'")
        wishes = replace(wishes, prompts=(said,) if said else ())
    return wishes
