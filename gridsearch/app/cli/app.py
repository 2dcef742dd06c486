"""The Typer application, its own options, and the arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from gridsearch import __version__
from gridsearch.app import terminal
from gridsearch.app.cli import completion

# In the order in which they are used; --help lists them so.
ORDER = (
    "plan",
    "inspect",
    "run",
    "worker",
    "report",
    "score",
    "compare",
    "judge",
    "dashboard",
    "merge",
    "export",
)


class InOrder(TyperGroup):
    """Lists the commands in the order of `ORDER`."""

    def list_commands(self, _context: typer.Context) -> list[str]:
        return sorted(self.commands, key=ORDER.index)


app = typer.Typer(
    name="gridsearch",
    cls=InOrder,
    help="Find, overnight, the ratio at which SDXL checkpoints should be merged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

ExperimentFile = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT.toml", help="The experiment file.", autocompletion=completion.experiments
    ),
]
ResultsFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="A results folder.", autocompletion=completion.results_folders),
]
NewFolder = Annotated[
    Path | None,
    typer.Option(help="The results folder. Default: results/<name>.", autocompletion=completion.folders),
]
STORAGE_VARIABLE = "GRIDSEARCH_STORAGE"  # as in results.shared.url, which imports a database's packages

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
    bool, typer.Option("--json", help="Print JSON for programs; gridsearch/app/cli/schemas describes it.")
]
ModelFiles = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="NAME=FILE", help="Where a model or adapter has moved to (repeatable)."),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 picks a free one.")]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address without opening a browser.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", is_eager=True, callback=lambda on: _version(on)
        ),
    ] = False,
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"gridsearch {__version__}")
        raise typer.Exit
