"""The program itself, its options, and what the commands' arguments are."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from gridsearch import __version__
from gridsearch.app.cli import completion, terminal

# As a night goes, which is how --help lists them.
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
    "schema",
)


class InOrder(TyperGroup):
    """Lists the commands as they are used one after the other."""

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
VARIABLE = "GRIDSEARCH_STORAGE"  # as in store.url, which would import the packages of a database

Storage = Annotated[
    str | None,
    typer.Option(
        envvar=VARIABLE,
        metavar="URL",
        show_envvar=True,
        help="A database that several machines share: postgresql+psycopg://USER@HOST/NAME.",
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        help='Processes that draw; "auto" is one a GPU, or one a core of a CPU.',
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option("--artifacts", metavar="URL", help="Where images go besides: s3://BUCKET/PREFIX."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON, for programs; its form: `gridsearch schema NAME`.")
]
ModelFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME=FILE", help="A model or adapter that is elsewhere now (may be given again)."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")]


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of named errors.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=lambda on: _version(on)),
    ] = False,
) -> None:
    pass


def _version(wanted: bool) -> None:
    if wanted:
        terminal.say(f"gridsearch {__version__}")
        raise typer.Exit
