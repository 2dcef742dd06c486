"""Experiments and results folders as the commands take them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gridsearch.cli import terminal
from gridsearch.cli.documents import answer_dict
from gridsearch.errors import BadInput


def checked(experiment_file: Path):
    """The experiment, if its files fit: what is wrong with them is said before anything heavy is imported."""
    from gridsearch.experiment import load_experiment
    from gridsearch.parents import open_parents, require_mode

    experiment = load_experiment(experiment_file)
    require_mode(experiment, open_parents(experiment))
    return experiment


def default_folder(name: str) -> Path:
    return Path("results") / name


def written(out: Path) -> tuple[Any, Any] | None:
    """The results of a folder and their answer, once tables and report are written.

    None where no run has begun there; the answer is None where no trial has ended, and nothing is written.
    """
    from gridsearch.report.build import build
    from gridsearch.report.tables import load_results
    from gridsearch.store import has_study

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
