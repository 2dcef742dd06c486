"""Experiments and results folders as the commands use them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gridsearch.app import terminal
from gridsearch.app.cli.documents import answer_dict
from gridsearch.app.live_report import write_results
from gridsearch.base.errors import BadInput

if TYPE_CHECKING:  # they import pandas, which a command that prints its help must not wait for
    from gridsearch.experiment.experiment import Experiment
    from gridsearch.results.analysis.answer import Answer
    from gridsearch.results.results import Results


def load_checked(experiment_file: Path, out: Path | None) -> "tuple[Experiment, Path]":
    """Return the experiment once its model files are checked, and its folder; heavy imports come later."""
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.merge.parents import open_parents, require_mode

    experiment = load_experiment(experiment_file)
    require_mode(experiment, open_parents(experiment))
    return experiment, out or Path("results") / experiment.name


def write_and_show_results(
    folder: Path, as_json: bool = False, notes: Sequence[str] = (), brief: bool = False
) -> None:
    """Write tables and report, also of an unfinished run, and show the answer."""
    results, answer = write_results(folder)
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
    from gridsearch.results.tables import load_results

    results = load_results(folder)
    if results.images.empty:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")
    return results, analyse(results)
