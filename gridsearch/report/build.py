"""Building everything that follows from stored results: tables, answer, sheet and report."""

import filelock

from gridsearch.base.faults import file_fault
from gridsearch.report.crossed import sheet_grid
from gridsearch.report.csv import write_tables
from gridsearch.report.grid import MOST_CELLS
from gridsearch.report.page.html import write_report
from gridsearch.report.sheet.sheet import write_sheets
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.best_json import write_best
from gridsearch.results.results import Results

REPORT_LOCK = ".report.lock"  # a run updates its report while another program may build it too


def build(results: Results, sheets: bool = True) -> Answer:
    """Write trials.csv, images.csv, best.json, sheet.png and report.html.

    Args:
        sheets: whether to write the contact sheet and its pages. During a run the report is enough.

    Raises:
        RunFailed: the folder cannot be written to.
    """
    answer = analyse(results)
    try:
        with filelock.FileLock(results.folder / REPORT_LOCK):
            write_tables(results)
            write_best(results, answer, results.folder / "best.json")
            if sheets:
                grid = sheet_grid(results, answer, most=MOST_CELLS)
                write_sheets(grid, results, answer, results.folder / "sheet.png")
            write_report(results, answer, results.folder / "report.html")
    except OSError as error:
        raise file_fault(error, results.folder) from error
    return answer
