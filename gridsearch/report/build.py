"""Everything that is made from stored results: tables, answer, sheet and report."""

import filelock

from gridsearch.errors import RunFailed
from gridsearch.report.analysis import analyse
from gridsearch.report.answer import Answer
from gridsearch.report.best import write_best
from gridsearch.report.html import write_report
from gridsearch.report.results import Results
from gridsearch.report.sheet_files import write_sheets
from gridsearch.report.tables import write_tables

LOCK = ".report.lock"  # a run refreshes its report while another program may make it too


def build(results: Results, all_pages: bool = True) -> Answer:
    """Write trials.csv, images.csv, best.json, sheet.png and report.html; renders nothing.

    Args:
        all_pages: also the pages of a sheet that is too large for one picture. While a run goes on, its
            overview is enough.

    Raises:
        RunFailed: the folder cannot be written to.
    """
    answer = analyse(results)
    try:
        with filelock.FileLock(results.folder / LOCK):
            write_tables(results)
            write_best(results, answer, results.folder / "best.json")
            write_sheets(results, answer, results.folder / "sheet.png", all_pages=all_pages)
            write_report(results, answer, results.folder / "report.html")
    except OSError as error:
        raise RunFailed("The report cannot be written.", where=results.folder, why=str(error)) from error
    return answer
