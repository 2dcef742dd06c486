"""Contact sheets: `compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gridsearch.app.cli import terminal
from gridsearch.app.cli.app import ResultsFolder, app
from gridsearch.app.cli.stored import require_images
from gridsearch.base.errors import BadInput


@app.command(
    epilog="Examples: gridsearch compare results/toy --ratios 0.4 --ratios 0.6 -o sheet.jpg    "
    "gridsearch compare results/toy --xyz -o grids"
)
def compare(
    folder: ResultsFolder,
    ratios: Annotated[
        list[float] | None, typer.Option(help="Only these ratios (may be given again).")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="Only prompts with this id or text.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE | DIR",
            help="Where to write: .png, .jpg or .webp. Default: sheet.png here; with --xyz, this folder.",
        ),
    ] = None,
    xyz: Annotated[
        bool,
        typer.Option(
            "--xyz",
            help="As AUTOMATIC1111 draws and names its X/Y/Z grids, at full size: one with the first seed of "
            "every prompt, one with the second, and so on.",
        ),
    ] = False,
) -> None:
    """Make a contact sheet: prompts down, ratios across.

    What is too much for one picture becomes an overview, and beside it NAME-1, NAME-2, ... with all of it.
    """
    from gridsearch.report.sheet.files import write_sheets
    from gridsearch.results.analysis.analyse import analyse
    from gridsearch.results.tables import load_results

    results = load_results(folder)
    require_images(results)
    answer = analyse(results)
    if xyz:
        _write_grids(results, answer, output or Path(), ratios, prompts)
        return
    first, *pages = write_sheets(results, answer, output or Path("sheet.png"), ratios=ratios, prompts=prompts)
    terminal.say(f"Wrote {first}{', an overview' if pages else ''}.")
    if pages:
        terminal.say(f"All of it is on {len(pages)} pages, {pages[0].name} to {pages[-1].name}.")


def _write_grids(
    results: Any, answer: Any, place: Path, ratios: list[float] | None, prompts: list[str] | None
) -> None:
    from gridsearch.report.sheet.xyz import write_grids

    if place.parent.is_dir():
        place.mkdir(exist_ok=True)
    gone: set[str] = set()
    files = 0
    for file in write_grids(results, answer, place, ratios=ratios, prompts=prompts, gone=gone.add):
        terminal.say(f"Wrote {file}.")
        files += 1
    if not files:
        raise BadInput("None of the pictures can be read.", where=results.folder, fix="Put the files back.")
    if gone:
        pictures = "1 picture is" if len(gone) == 1 else f"{len(gone)} pictures are"
        terminal.show_note(f"{pictures} missing or cannot be read, and left black.")
