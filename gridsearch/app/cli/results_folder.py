"""Experiments and results folders as the commands use them."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gridsearch.app import terminal
from gridsearch.app.cli.documents import answer_dict
from gridsearch.base.errors import BadInput


def load_checked(experiment_file: Path):
    """Return the experiment once its model files are checked, before anything heavy is imported."""
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.merge.parents import open_parents, require_mode

    experiment = load_experiment(experiment_file)
    require_mode(experiment, open_parents(experiment))
    return experiment


@contextlib.contextmanager
def place_noted(folder: Path, storage: str | None, study: str, artifacts: str | None) -> Iterator[None]:
    """Note in the folder where its study lies, and take the note back if the input turns out to be bad.

    The storage address, which may hold a password, is for this process and those that it starts.

    Raises:
        BadInput: an address cannot be used, or the folder's study lies elsewhere.
    """
    from gridsearch.results.shared import STORAGE_VARIABLE
    from gridsearch.results.shared.url import check_url
    from gridsearch.results.store.artifacts import open_artifacts
    from gridsearch.results.store.location import POINTER, StudyPlace, note_place

    if storage:
        check_url(storage)
    if artifacts:
        open_artifacts(artifacts)
        if not storage:
            raise BadInput("--artifacts needs --storage: it is for workers on several machines.")
    if storage:
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


def default_folder(name: str) -> Path:
    return Path("results") / name


def write_results(out: Path) -> tuple[Any, Any] | None:
    """Write tables and report of a folder; return its results and their answer.

    None where no run has begun there. Where no trial has ended the answer is None, and nothing is written.
    """
    from gridsearch.report.build import build
    from gridsearch.results.store import has_study
    from gridsearch.results.tables import load_results

    if not has_study(out):
        return None
    results = load_results(out)
    return results, None if results.images.empty else build(results)


def write_and_show_results(out: Path, as_json: bool = False, notes: Sequence[str] = ()) -> None:
    """Write tables and report, also of an unfinished run, and show the answer."""
    found = write_results(out)
    if found is None:
        return
    results, answer = found
    if as_json:
        terminal.show_json(answer_dict(results, answer, notes))
        return
    for note in notes:
        terminal.show_note(note)
    if answer is None:
        terminal.say("No trial is complete yet.")
    else:
        terminal.show_answer(results, answer)


def require_images(results) -> None:
    if results.images.empty:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")
