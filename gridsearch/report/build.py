"""Everything that is made from stored results: tables, answer, sheet and report."""

import io

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
    sheet = io.BytesIO()
    contact_sheet(results, answer).save(sheet, "PNG")
    write_atomic(results.folder / "sheet.png", sheet.getvalue())
    write_report(results, answer, results.folder / "report.html")
    return answer
