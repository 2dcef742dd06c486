"""Sheets and X/Y/Z grids straight from results, of all their ratios and prompts or of those given."""

from gridsearch.report.grid import build_grid
from gridsearch.report.sheet import sheet, xyz


def contact_sheet(results, answer=None, **chosen):
    """The sheet, or its overview where there is too much for one picture."""
    return next(sheet.sheets(build_grid(results, answer, **chosen), results, answer))


def write_sheets(results, answer, path, **chosen):
    return sheet.write_sheets(build_grid(results, answer, **chosen), results, answer, path)


def write_grids(results, answer, folder, gone=lambda _: None, **chosen):
    return xyz.write_grids(build_grid(results, answer, **chosen), results, answer, folder, gone)
