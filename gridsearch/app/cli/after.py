"""After the run: `report`, `score`."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app.cli import terminal
from gridsearch.app.cli.app import AsJson, ResultsFolder, app
from gridsearch.app.cli.documents import scores_dict
from gridsearch.app.cli.stored import write_what_there_is
from gridsearch.base.errors import BadInput


@app.command(epilog="Example: gridsearch report results/toy")
def report(folder: ResultsFolder, as_json: AsJson = False) -> None:
    """Make tables, sheet and report again from what is stored; renders nothing."""
    from gridsearch.results.tables import load_results

    load_results(folder)  # says what is wrong with the folder before anything is written
    write_what_there_is(folder, as_json)


@app.command(
    epilog="Examples: gridsearch score results/toy    gridsearch score results/toy --experiment new.toml    "
    "gridsearch score a.png b.png --reference good.png    "
    "gridsearch score xyz_grid-*.jpg --reference 0 --csv scores.csv"
)
def score(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR | IMAGE...", help="A results folder; or images, and folders of them."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE | COLUMN",
            help="What healthy looks like: an image, or a column of each X/Y/Z grid, from 0 at the left.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the scores to this file.")] = None,
    experiment: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPERIMENT.toml",
            help="Of a run: score it from now on as this file says under score. Default: as it was.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run's stored images again, or any images; renders nothing.

    A file named xyz_grid-* as AUTOMATIC1111 names its X/Y/Z grids is cut into its cells first, which are
    numbered by row and column from 0 at the top left.
    """
    from gridsearch.results.store import has_study

    if len(paths) == 1 and has_study(paths[0]):
        _score_again(paths[0], reference, csv, experiment, as_json)
    elif experiment:
        raise BadInput(
            "--experiment says how to score a run again.",
            where=paths[0],
            fix="Name one results folder, or leave it out.",
        )
    else:
        _score_files(paths, reference, csv, as_json)


def _score_again(
    folder: Path, reference: str | None, csv: Path | None, experiment_file: Path | None, as_json: bool
) -> None:
    if reference or csv:
        raise BadInput(
            "A run has its own references and tables.", where=folder, fix="Leave out --reference and --csv."
        )
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.search.resume.rescore import rescore

    scoring = load_experiment(experiment_file).score if experiment_file else None
    with terminal.Progress(shown=not as_json) as progress:
        notes = rescore(folder, progress.counting, scoring)
    write_what_there_is(folder, as_json, notes)


def _score_files(paths: list[Path], reference: str | None, csv: Path | None, as_json: bool) -> None:
    from gridsearch.base.files import write_atomic
    from gridsearch.report.csv import to_csv
    from gridsearch.results.store import require_study
    from gridsearch.score.files import UNSCORED, files_of, read_reference, score_files

    _require_no_run(paths)
    files = files_of(paths)
    if files == paths and len(paths) == 1 and paths[0].is_dir():
        require_study(paths[0])  # it holds no pictures: perhaps a run was meant
    with terminal.Progress(shown=not as_json) as progress:
        scored = score_files(files, read_reference(reference), progress.counting)
    if csv:
        write_atomic(csv, to_csv(scored.table))
    bad = int((scored.table["verdict"] == UNSCORED).sum())
    if as_json:
        terminal.show_json(scores_dict(scored, bad))
        raise typer.Exit(BadInput.exit_code if bad else 0)
    terminal.show_scores(scored.table)
    for note in scored.notes:
        terminal.show_note(note)
    if bad:
        raise BadInput(f"{bad} of {len(files)} files could not be scored; the table says why.")


def _require_no_run(paths: list[Path]) -> None:
    """Refuse a results folder among other files."""
    from gridsearch.results.store import has_study

    for path in paths:
        if path.is_dir() and has_study(path):
            raise BadInput(
                "A results folder is scored by itself.",
                where=path,
                fix=f"Give it alone, or its pictures as {path / 'images'}.",
            )
