"""The Typer application, and what several of its commands share: arguments, experiments, results folders."""

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gridsearch import __version__
from gridsearch.app import terminal
from gridsearch.app.cli.documents import answer_dict
from gridsearch.app.live_report import write_results
from gridsearch.base.errors import BadInput
from gridsearch.base.faults import require_address_space
from gridsearch.results.shared import STORAGE_VARIABLE

if TYPE_CHECKING:  # they import pandas, which a command that prints its help must not wait for
    from gridsearch.experiment.experiment import Experiment
    from gridsearch.results.analysis.answer import Answer
    from gridsearch.results.results import Results

INTERRUPTED = 130  # the exit code of a command that was stopped by Ctrl-C, as shells have it
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
        app.command(name, help=help_text, epilog="\n\n".join([label, *examples]))(interruptible(function))
        return function

    return register


def interruptible(function: Callable) -> Callable:
    """Return a command that ends with one exit code when it is stopped by Ctrl-C, whatever it was doing."""

    @functools.wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except KeyboardInterrupt:
            terminal.say("Stopped.")
            raise typer.Exit(INTERRUPTED) from None

    return run


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
    typer.Option(
        "--model",
        metavar="NAME=FILE",
        help="Where a model or adapter has moved to, or NAME.PART=FILE for a part of a model (repeatable).",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite a file that is not an earlier result of the same merge.")
]
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


@command("schema", "gridsearch schema plan")
def schema_command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="plan, inspect, event, status, answer, scores, written, extracted, explained, error, best.",
        ),
    ],
) -> None:
    """Print the JSON schema of what commands print with --json, or of best.json.

    An event is a line of run; report and score DIR print an answer, score IMAGE prints scores, and merge and
    export print what was written.
    """
    from gridsearch.app.cli.schemas import json_schema

    terminal.show_json(json_schema(name))


def say_place(experiment_file: Path, folder: Path, out: Path | None) -> None:
    """Say where results go that are not beside the experiment: from the folder in which one is."""
    if out is None and experiment_file.resolve().parent != Path.cwd():
        terminal.say(f"The results go to {folder.resolve()}; --out chooses another folder.")


def load_checked(experiment_file: Path, out: Path | None) -> "tuple[Experiment, Path]":
    """Return the experiment once its model files are checked, and its folder; heavy imports come later."""
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.merge.parents import open_parents, require_drawable

    experiment = load_experiment(experiment_file)
    require_address_space()
    require_drawable(experiment, open_parents(experiment))
    return experiment, out or Path("results") / experiment.name


def write_and_show_results(
    folder: Path, as_json: bool = False, notes: Sequence[str] = (), brief: bool = False
) -> None:
    """Write tables and report, also of an unfinished run, and show the answer."""
    results, answer = write_results(folder)
    notes = [*notes, *results.notes]
    if as_json:
        terminal.show_json(answer_dict(results, answer, notes))
        return
    for note in notes:
        terminal.show_note(note)
    if answer is None:
        terminal.say("No trial is complete yet.")
    elif brief:
        terminal.show_sentence(results, answer)
    else:
        terminal.show_answer(results, answer)


def finished_results(folder: Path) -> "tuple[Results, Answer]":
    """Return the results in a folder, and their analysis.

    Raises:
        BadInput: the folder holds no study, or no trial is complete.
    """
    from gridsearch.results.analysis.analyse import analyse
    from gridsearch.results.results import load_results

    results = load_results(folder)
    if results.images.empty:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")
    return results, analyse(results)
