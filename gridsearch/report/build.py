"""Everything that is made from stored results: tables, answer, sheet and report."""

import io
from pathlib import Path

from PIL import Image

from gridsearch.errors import BadInput
from gridsearch.files import write_atomic
from gridsearch.report.analysis import analyse
from gridsearch.report.answer import Answer
from gridsearch.report.best import write_best
from gridsearch.report.html import write_report
from gridsearch.report.results import Results
from gridsearch.report.sheet import contact_sheet
from gridsearch.report.tables import write_tables


def build(results: Results) -> Answer:
    """Write trials.csv, images.csv, best.json, sheet.png and report.html; renders nothing."""
    answer = analyse(results)
    write_tables(results)
    write_best(results, answer, results.folder / "best.json")
    write_png(contact_sheet(results, answer), results.folder / "sheet.png")
    write_report(results, answer, results.folder / "report.html")
    return answer


def write_png(image: Image.Image, path: Path) -> None:
    """Raises BadInput where the name asks for another format or there is no such folder."""
    if path.suffix.lower() != ".png":
        raise BadInput(
            "A sheet is written as .png.", where=path, fix=f"Use -o {path.with_suffix('.png').name}."
        )
    if not path.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=path.parent, fix="Make it first.")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())
