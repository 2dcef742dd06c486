"""The commands of a search: `plan`, `run` and `worker`."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import (
    INTERRUPTED,
    ArtifactsUrl,
    AsJson,
    ExperimentFile,
    ModelFiles,
    NewFolder,
    Storage,
    Workers,
    command,
    load_checked,
    say_place,
    write_and_show_results,
)
from gridsearch.app.cli.documents import Events, answer_dict, plan_dict, show_event
from gridsearch.app.cli.finished import told_as_finished
from gridsearch.app.cli.workers import WorkerProcesses, hands_asked
from gridsearch.app.live_report import LiveReport, write_results
from gridsearch.app.processes import interrupted_by_sigterm, modules_loading
from gridsearch.app.watch import Watched
from gridsearch.app.watch import notify as tell_command
from gridsearch.base.errors import BadInput, Busy, GridsearchError, RunFailed
from gridsearch.base.machine import process_name


@command(
    "plan",
    "gridsearch plan experiments/toy.toml --time",
    "gridsearch plan experiments/toy.toml --workers auto",
)
def plan_command(
    experiment_file: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT.toml", help="The experiment file, or an sd-mecha recipe (.mecha) to merge."
        ),
    ],
    out: NewFolder = None,
    time: Annotated[
        bool, typer.Option("--time", help="Render one image to measure how long it takes.")
    ] = False,
    workers: Workers = None,
    model: ModelFiles = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that can be checked without rendering, and show what the run will do.

    For a recipe, show what its merge will read, how long it takes, and how much memory it needs.
    """
    if experiment_file.suffix == ".mecha":
        _plan_recipe(experiment_file, model or [], as_json)
        return
    if model:
        raise BadInput(
            "An experiment says itself where its models are.", where="--model", fix="Leave it out."
        )
    with terminal.ProgressBar(shown=not as_json) as progress:
        with modules_loading():
            experiment, folder = load_checked(experiment_file, out)
            progress.loading()
            from gridsearch.search.plan import ALONE, make_plan

        hands = hands_asked(workers, experiment.render.device, fewest=1) if workers else ALONE
        made = make_plan(
            experiment, folder, progress if time else None, hands, experiment_file, progress.hashing
        )
    if as_json:
        terminal.show_json(plan_dict(made, folder))
    else:
        terminal.show_plan(made)
        say_place(experiment_file, folder, out)


def _plan_recipe(path: Path, model: list[str], as_json: bool) -> None:
    if as_json:
        raise BadInput("The plan of a recipe is for people.", where="--json", fix="Leave it out.")
    with terminal.ProgressBar() as progress:
        progress.loading()
        from gridsearch.experiment.mecha.read import read_mecha
        from gridsearch.merge.export.forecast import forecast
        from gridsearch.merge.export.options import files_from
        from gridsearch.merge.export.single import with_files

        notes: list[str] = []
        made = forecast(with_files(read_mecha(path, notes.append), files_from(model)))
    terminal.show_forecast(path.name, made, notes)


@command(
    "run",
    "gridsearch run experiments/toy.toml --until 07:30",
    "gridsearch run experiments/toy.toml --workers auto",
    "gridsearch run experiments/toy.toml --json > night.jsonl",
)
def run_command(
    experiment_file: ExperimentFile,
    out: NewFolder = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Expect what an earlier study of the same models, or of one of them, has drawn.",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Stop at this many completed trials.")] = None,
    hours: Annotated[
        float | None, typer.Option(min=0, help="Start no trial that would end after this many hours.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="HH:MM", help="Start no trial that would end after this time of day."),
    ] = None,
    workers: Workers = None,
    storage: Storage = None,
    artifacts: ArtifactsUrl = None,
    retries: Annotated[int, typer.Option(min=0, help="How often to retry a trial whose worker died.")] = 1,
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="Run this when the run ends, stops, fails or makes no progress for long. The variables "
            "GRIDSEARCH_EVENT (done, stopped, failed or stalled), GRIDSEARCH_NAME, GRIDSEARCH_FOLDER, "
            "GRIDSEARCH_MESSAGE and GRIDSEARCH_ANSWER say what happened.",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only errors and the final answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or resume it where it stopped.

    The report can be opened during the run. Ctrl-C stops the run and keeps everything that is finished.
    """
    from gridsearch.search.budget import Budget, deadline

    if quiet and as_json:
        raise BadInput("--json prints every event and --quiet prints none.", fix="Leave one of them out.")
    budget = Budget(trials, deadline(hours, until))
    experiment, folder = load_checked(experiment_file, out)
    if earlier:
        search = experiment.search.model_copy(update={"earlier": earlier})
        experiment = experiment.model_copy(update={"search": search})
    if not (as_json or storage) and told_as_finished(experiment, folder, quiet):
        return
    if not (as_json or quiet):
        say_place(experiment_file, folder, out)
    hands = hands_asked(workers, experiment.render.device) if workers or storage else None
    listener: Any = terminal.SilentListener() if quiet else terminal.RunScreen()
    if as_json:
        listener = Events(experiment.name, folder)
    told = partial(_notified, notify, experiment.name, folder, listener.note)
    with interrupted_by_sigterm(), listener, _place_noted(folder, storage, experiment.name, artifacts):
        try:
            listener.loading()
            with (
                Watched(folder, experiment.name, listener, partial(told, "stalled")) as watched,
                LiveReport(folder, watched) as live,
            ):
                run = experiment, experiment_file, folder, budget, live
                if hands is None:
                    from gridsearch.search.run import run_experiment

                    run_experiment(*run)
                else:
                    from gridsearch.search.workers.leader import lead_workers

                    crew = WorkerProcesses(hands, experiment_file, folder, live.note)
                    lead_workers(*run, crew, retries)
        except KeyboardInterrupt:
            listener.stop()
            _tell(folder, quiet, as_json)
            if as_json:
                show_event("interrupted")
            else:
                terminal.say("Stopped. Every finished trial is kept; run the same command again to continue.")
            told("stopped", "The run was stopped.")
            raise typer.Exit(INTERRUPTED) from None
        except Busy:
            raise
        except Exception as error:
            listener.stop()
            if isinstance(error, RunFailed):
                with contextlib.suppress(GridsearchError):  # a full disk stops the report, too
                    _tell(folder, quiet, as_json)
            told("failed", str(error))
            raise
    _tell(folder, quiet, as_json)
    told("done", "The run has ended.")


def _notified(
    command: str | None, name: str, folder: Path, note: Callable[[str], None], event: str, message: str
) -> None:
    """Tell the command of --notify, where there is one, what has become of the run."""
    if command is None:
        return
    facts = {"name": name, "folder": str(folder.resolve()), "message": message}
    with contextlib.suppress(OSError, ValueError, KeyError):  # no trial is complete
        facts["answer"] = json.loads((folder / "best.json").read_bytes())["sentence"]
    tell_command(command, event, facts, note)


@command("worker", "gridsearch worker my.toml --storage postgresql+psycopg://me@host/db --out results/my")
def worker_command(
    experiment_file: ExperimentFile,
    storage: Storage = None,
    out: NewFolder = None,
    artifacts: ArtifactsUrl = None,
    name: Annotated[str | None, typer.Option(hidden=True, help="A name that no other worker has.")] = None,
    tied: Annotated[bool, typer.Option(hidden=True, help="Exit when the standard input is closed.")] = False,
) -> None:
    """Add a worker to a study that a run leads, on this machine or another.

    It renders what the run asks for and ends with the run. After Ctrl-C, its unfinished work goes back to the
    queue.
    """
    experiment, folder = load_checked(experiment_file, out)
    lines, noted = terminal.TrialLines(), _place_noted(folder, storage, experiment.name, artifacts)
    with interrupted_by_sigterm(tied), lines, noted:
        try:
            lines.loading()
            from gridsearch.search.workers.worker import work

            why = work(experiment, experiment_file, folder, name or process_name(), lines)
        except KeyboardInterrupt:
            lines.stop()
            terminal.say("Stopped. Its unfinished work goes back to the queue.")
            raise typer.Exit(INTERRUPTED) from None
    terminal.say(f"Nothing more to render: {why}.")


@contextlib.contextmanager
def _place_noted(folder: Path, storage: str | None, study: str, artifacts: str | None) -> Iterator[None]:
    """Note in the folder where its study lies, and take the note back if the input turns out to be bad.

    The storage address, which may hold a password, is for this process and those that it starts.

    Raises:
        BadInput: an address cannot be used, or the folder's study lies elsewhere.
    """
    from gridsearch.results.shared import STORAGE_VARIABLE
    from gridsearch.results.shared.url import check_url
    from gridsearch.results.store.artifacts import open_artifacts
    from gridsearch.results.store.location import POINTER, StudyPlace, note_place

    if artifacts:
        open_artifacts(artifacts)
        if not storage:
            raise BadInput("--artifacts needs --storage: it is for workers on several machines.")
    if storage:
        check_url(storage)
        os.environ[STORAGE_VARIABLE] = storage
    new = not (folder / POINTER).exists()
    note_place(folder, StudyPlace(storage, study, artifacts))
    try:
        yield
    except BadInput:
        if new:
            (folder / POINTER).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # there is something else in it
                folder.rmdir()
        raise


def _tell(folder: Path, quiet: bool, as_json: bool) -> None:
    from gridsearch.results.store import has_study

    if not has_study(folder):
        return
    if as_json:
        best = answer_dict(*write_results(folder))["best"]
        show_event("answer", folder=str(folder), best=best)
    else:
        write_and_show_results(folder, brief=quiet)
