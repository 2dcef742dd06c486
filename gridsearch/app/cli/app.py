"""The Typer application, its own options, and the arguments that several commands share."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gridsearch import __version__
from gridsearch.app import terminal
from gridsearch.results.shared import STORAGE_VARIABLE

app = typer.Typer(
    name="gridsearch",
    help="Find, overnight, the ratio at which SDXL checkpoints should be merged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def command(name: str, *examples: str) -> Callable[[Callable], Callable]:
    """Register a function as a command; its docstring is the help, reflowed to the width of the terminal."""

    def register(function: Callable) -> Callable:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        help_text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        label = "Example:" if len(examples) == 1 else "Examples:"
        return app.command(name, help=help_text, epilog="\n\n".join([label, *examples]))(function)

    return register


ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", help="The experiment file.")]
ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]
NewFolder = Annotated[Path | None, typer.Option(help="The results folder. Default: results/<name>.")]

Storage = Annotated[
    str | None,
    typer.Option(
        envvar=STORAGE_VARIABLE,
        metavar="URL",
        show_envvar=True,
        help="URL of a database that several machines share: postgresql+psycopg://USER@HOST/NAME.",
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help='How many processes render; "auto" means one per GPU or, without a GPU, one per CPU core.',
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option("--artifacts", metavar="URL", help="Also upload the images to s3://BUCKET/PREFIX."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; `gridsearch schema` describes it.")
]
ModelFiles = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME=FILE", help="Where a model or adapter has moved to (repeatable)."),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 picks a free one.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address without opening a browser.")]


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"gridsearch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass
