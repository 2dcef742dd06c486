"""Experiments and results folders as the commands take them."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gridsearch.app.cli import terminal
from gridsearch.app.cli.documents import answer_dict
from gridsearch.base.errors import BadInput


def checked(experiment_file: Path):
    """The experiment, if its files fit: what is wrong with them is said before anything heavy is imported."""
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.merge.parents import open_parents, require_mode

    experiment = load_experiment(experiment_file)
    require_mode(experiment, open_parents(experiment))
    return experiment


@contextlib.contextmanager
def settled(folder: Path, storage: str | None, study: str, artifacts: str | None) -> Iterator[None]:
    """Note in the folder where its study lies, for as long as nothing of what was given is wrong.

    The address, which may hold a password, is for this process and those that it starts.

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
            raise BadInput("--artifacts is for workers on several machines, which need --storage as well.")
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


def written(out: Path) -> tuple[Any, Any] | None:
    """The results of a folder and their answer, once tables and report are written.

    None where no run has begun there; the answer is None where no trial has ended, and nothing is written.
    """
    from gridsearch.report.build import build
    from gridsearch.results.store import has_study
    from gridsearch.results.tables import load_results

    if not has_study(out):
        return None
    results = load_results(out)
    return results, None if results.images.empty else build(results)


def write_what_there_is(out: Path, as_json: bool = False, notes: Sequence[str] = ()) -> None:
    """Write tables and report, also of a run that was stopped, and show the answer."""
    found = written(out)
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
