"""Contact sheets: `compare`."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.cli import terminal
from gridsearch.cli.app import Output, ResultsFolder, app
from gridsearch.cli.stored import require_images


@app.command(epilog="Example: gridsearch compare results/toy --ratios 0.4 --ratios 0.6 -o sheet.png")
def compare(
    folder: ResultsFolder,
    ratios: Annotated[
        list[float] | None, typer.Option(help="Only these ratios (may be given again).")
    ] = None,
    prompts: Annotated[list[str] | None, typer.Option(help="Only prompts with this id or text.")] = None,
    output: Output = Path("sheet.png"),
) -> None:
    """Make a contact sheet: prompts down, ratios across."""
    from gridsearch.report.analysis import analyse
    from gridsearch.report.build import write_png
    from gridsearch.report.sheet import contact_sheet
    from gridsearch.report.tables import load_results

    results = load_results(folder)
    require_images(results)
    write_png(contact_sheet(results, analyse(results), ratios=ratios, prompts=prompts), output)
    terminal.say(f"Wrote {output}.")
