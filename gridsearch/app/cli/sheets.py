"""The command `compare`: contact sheets and X/Y/Z grids."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import ResultsFolder, command
from gridsearch.app.cli.results_folder import finished_results
from gridsearch.base.errors import BadInput


@command(
    "compare",
    "gridsearch compare results/toy --ratios 0.4 --ratios 0.6 -o sheet.jpg",
    "gridsearch compare results/toy --xyz -o grids",
)
def compare_command(
    folder: ResultsFolder,
    ratios: Annotated[list[float] | None, typer.Option(help="Show only this ratio (repeatable).")] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help="Show only prompts with this id or text (repeatable).")
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

    A sheet that is too large for one image becomes an overview, with the full sheet beside it as NAME-1,
    NAME-2, ...
    """
    from gridsearch.report.sheet.files import write_sheets

    results, answer = finished_results(folder)
    if xyz:
        _write_grids(results, answer, output or Path(), ratios, prompts)
        return
    first, *pages = write_sheets(results, answer, output or Path("sheet.png"), ratios=ratios, prompts=prompts)
    terminal.say(f"Wrote {first}{', an overview' if pages else ''}.")
    if pages:
        terminal.say(f"The full sheet is on {len(pages)} pages, {pages[0].name} to {pages[-1].name}.")


def _write_grids(
    results: Any, answer: Any, place: Path, ratios: list[float] | None, prompts: list[str] | None
) -> None:
    from gridsearch.report.sheet.xyz import write_grids

    if place.parent.is_dir():
        place.mkdir(exist_ok=True)
    gone: set[str] = set()
    files = write_grids(results, answer, place, ratios=ratios, prompts=prompts, gone=gone.add)
    some = False
    for file in files:
        some = True
        terminal.say(f"Wrote {file}.")
    if not some:
        raise BadInput("None of the images can be read.", where=results.folder, fix="Restore the files.")
    if gone:
        images = "1 image is" if len(gone) == 1 else f"{len(gone)} images are"
        terminal.show_note(f"{images} missing or unreadable and left black.")
