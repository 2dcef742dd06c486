"""The commands after a run: `report`, `score`, and `compare`, which makes contact sheets and X/Y/Z grids."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, ResultsFolder, command, finished_results, write_and_show_results
from gridsearch.app.cli.documents import scores_dict
from gridsearch.base.errors import BadInput


@command("report", "gridsearch report results/toy")
def report_command(folder: ResultsFolder, as_json: AsJson = False) -> None:
    """Rebuild the tables, the contact sheet and the report from stored results. Renders nothing."""
    write_and_show_results(folder, as_json)


@command(
    "score",
    "gridsearch score results/toy",
    "gridsearch score results/toy --experiment new.toml",
    "gridsearch score a.png b.png --reference good.png",
    "gridsearch score xyz_grid-*.jpg --reference 0 --csv scores.csv",
)
def score_command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR | IMAGE...", help="A results folder, or images and folders of images."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE | COLUMN",
            help="A healthy image to compare with: an image file, or a column of each X/Y/Z grid, counted "
            "from 0 at the left.",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the scores to this file.")] = None,
    experiment: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPERIMENT.toml",
            help="For a results folder: use the score settings of this file from now on. Default: as before.",
        ),
    ] = None,
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look", help="For images: let a pretrained network judge too, if it is installed."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score a run's stored images again, or score any images. Renders nothing.

    A file named xyz_grid-*, as AUTOMATIC1111 names its X/Y/Z grids, is cut into its cells first, as is one
    named grid-* whose text says how large its images are. Rows and columns are numbered from 0 at the top
    left, the sub-grids of a Z axis from 0 at the left.
    """
    from gridsearch.results.store import has_study

    if len(paths) > 1 or not has_study(paths[0]):
        if experiment:
            fix = "Name a single results folder, or leave out --experiment."
            raise BadInput("--experiment only applies to a results folder.", where=paths[0], fix=fix)
        _score_files(paths, reference, csv, second_look, as_json)
        return
    if second_look:
        fix = "Set `second_look = true` in the [score] of a file, and name it as --experiment."
        raise BadInput("--second-look only applies to images.", where=paths[0], fix=fix)
    if reference or csv:
        what, fix = "A results folder has its own references and tables.", "Leave out --reference and --csv."
        raise BadInput(what, where=paths[0], fix=fix)
    from gridsearch.experiment.experiment import load_experiment
    from gridsearch.search.rescore import rescore

    scoring = load_experiment(experiment).score if experiment else None
    with terminal.ProgressBar(shown=not as_json) as progress:
        notes = rescore(paths[0], progress.counting, scoring)
    write_and_show_results(paths[0], as_json, notes)


def _score_files(
    paths: list[Path], reference: str | None, csv: Path | None, second_look: bool, as_json: bool
) -> None:
    from gridsearch.base.files import write_atomic
    from gridsearch.report.csv import to_csv
    from gridsearch.results.store import has_study, require_study
    from gridsearch.score.files import UNSCORED, files_of, read_reference, score_files
    from gridsearch.score.second_look import measure_by

    if folder := next(filter(has_study, paths), None):
        fix = f"Name it alone, or score its images: {folder / 'images'}."
        raise BadInput("A results folder must be scored on its own.", where=folder, fix=fix)
    files = files_of(paths)
    if files == paths and len(paths) == 1 and paths[0].is_dir():
        require_study(paths[0])  # a folder without images: perhaps a results folder was meant
    measured = measure_by(second_look)
    with terminal.ProgressBar(shown=not as_json) as progress:
        scored = score_files(files, read_reference(reference, measured), progress.counting, measured)
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


@command(
    "compare",
    "gridsearch compare results/toy --ratios 0.4 --ratios 0.6 -o sheet.jpg",
    "gridsearch compare results/toy --columns ratio --rows cfg",
    "gridsearch compare results/toy --xyz -o grids",
)
def compare_command(
    folder: ResultsFolder,
    ratios: Annotated[list[float] | None, typer.Option(help="Show only this ratio (repeatable).")] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help="Show only prompts with this id or text (repeatable).")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAME", help="The searched value that goes across.")
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="NAME", help='The searched value that goes down for each prompt, or "prompt".'),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE | DIR",
            help="The file to write: .png, .jpg or .webp (default: sheet.png). With --xyz, the folder to "
            "write to (default: the current one).",
        ),
    ] = None,
    xyz: Annotated[
        bool,
        typer.Option(
            "--xyz",
            help="Write full-size X/Y/Z grids, laid out and named as AUTOMATIC1111 does: one with the first "
            "seed of every prompt, one with the second, and so on.",
        ),
    ] = False,
) -> None:
    """Make a contact sheet: prompts down, ratios across.

    If two numbers were searched, one goes across and the other goes down for each prompt. --columns and
    --rows put other searched values on the axes.

    A sheet that is too large for one image becomes an overview, with the full sheet beside it as NAME-1,
    NAME-2, ...
    """
    from gridsearch.report.crossed import sheet_grid
    from gridsearch.report.sheet.sheet import write_sheets
    from gridsearch.report.sheet.xyz import write_grids

    results, answer = finished_results(folder)
    grid = sheet_grid(results, answer, columns=columns, rows=rows, ratios=ratios, prompts=prompts)
    for note in grid.notes:
        terminal.show_note(note)
    if not xyz:
        first, *pages = write_sheets(grid, results, answer, output or Path("sheet.png"))
        terminal.say(f"Wrote {first}{', an overview' if pages else ''}.")
        if pages:
            terminal.say(f"The full sheet is on {len(pages)} pages, {pages[0].name} to {pages[-1].name}.")
        return
    place = output or Path()
    if place.parent.is_dir():
        place.mkdir(exist_ok=True)
    gone: set[str] = set()
    some = False
    for file in write_grids(grid, results, answer, place, gone.add):
        some = True
        terminal.say(f"Wrote {file}.")
    if not some:
        raise BadInput("None of the images can be read.", where=results.folder, fix="Restore the files.")
    if gone:
        images = "1 image is" if len(gone) == 1 else f"{len(gone)} images are"
        terminal.show_note(f"{images} missing or unreadable and left black.")
