"""Experiments and results folders as the commands take them."""

from pathlib import Path

from gridsearch.cli import terminal
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


def write_what_there_is(out: Path) -> None:
    """Tables and report also of a run that was stopped, where it got as far as a trial."""
    from gridsearch.report.build import build
    from gridsearch.report.tables import load_results
    from gridsearch.store import has_study

    if not has_study(out):
        return
    results = load_results(out)
    if results.images.empty:
        terminal.say("No trial is complete yet.")
    else:
        terminal.show_answer(results, build(results))


def require_images(results) -> None:
    if results.images.empty:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")
