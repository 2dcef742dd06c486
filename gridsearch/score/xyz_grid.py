"""Cutting a grid of AUTOMATIC1111's web UI into its cells, by its name, its text and its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.score.grid_axes import GridLayout
from gridsearch.score.grid_layout import are_put_together, has_second_band, labelled_layouts
from gridsearch.score.grid_names import has_z_axis, told_cell, told_size
from gridsearch.score.grid_sheet import LabelledSheet, without_frames
from gridsearch.score.measure import luma_in_strips
from gridsearch.score.unlabelled_grid import unlabelled_layout

SIZE_UNIT = 8  # pixels; the web UI draws in multiples of it
MOST_REDUCED = 16  # times; a grid scaled down further shows nothing to score
MOST_ENLARGED = 4  # times
ENLARGED_BLUR = 3.0  # pixels of the full size: Lanczos' overshoot darkens the paper beside a dark picture


@dataclass(frozen=True)
class Cell:
    """One picture of a grid, uint8 (H, W, 3): row and column, from 0 at the top left of its sub-grid.

    `z` numbers the sub-grids of a Z axis from 0 at the left; None where there is no such axis.
    """

    row: int
    column: int
    rgb: np.ndarray
    z: int | None = None


def cut_grid(rgb: np.ndarray, path: str | Path, text: str = "") -> list[Cell]:
    """Return the cells of an X/Y/Z grid, sub-grid by sub-grid and row by row.

    Args:
        rgb: uint8 (H, W, 3), at full size or scaled.
        path: its file, for the name.
        text: the text in it.
    Raises:
        BadInput: no layout fits the name, the text and the pixels.
    """
    layouts, scale = grid_layouts(rgb, path, text)
    return _cells(rgb, layouts, scale, told_cell(text))


def cut_batch_grid(rgb: np.ndarray, text: str) -> list[Cell] | None:
    """Return the cells of a batch's grid, row by row; None where its text tells no size that fits it.

    Args:
        rgb: uint8 (H, W, 3), at full size or scaled.
        text: the text in it.
    """
    cell = told_cell(text)
    layout = unlabelled_layout(luma_in_strips(rgb), cell) if cell else None
    return _cells(rgb, [layout], 1.0, cell) if layout else None


def grid_layouts(rgb: np.ndarray, path: str | Path, text: str = "") -> tuple[Sequence[GridLayout], float]:
    """Return the layout of the cells at full size, one for each sub-grid, and the scale of this file.

    Raises:
        BadInput: see `cut_grid`.
    """
    height, width = rgb.shape[:2]
    told = told_size(path)
    full = told or (width, height)
    scale = width / full[0]
    off = max(2.0, 1 + full[1] / full[0]) * max(1.0, scale)  # as both sides were rounded
    if not 1 / MOST_REDUCED <= scale <= MOST_ENLARGED or abs(height - full[1] * scale) > off:
        raise BadInput(
            f"The grid has {width} x {height} pixels, but its name says {full[0]} x {full[1]}.",
            where=path,
            why=f"It must be the whole grid, reduced by at most {MOST_REDUCED} times or enlarged by "
            f"{MOST_ENLARGED}.",
            fix="Use the file as the web UI saved it, or rename it to score it as one picture.",
        )
    cell = told_cell(text)
    seen = rgb if scale <= 1 else _at_size(rgb, full)
    luma = luma_in_strips(seen)
    blur = 1.5 / scale - 0.5 if scale <= 1 else ENLARGED_BLUR
    unit = SIZE_UNIT if told else 0
    sheet = LabelledSheet(without_frames(luma, seen), full, min(scale, 1.0), unit, blur, cell)
    found = labelled_layouts(sheet, has_z_axis(text))
    if has_second_band(sheet, found[0]) if found else are_put_together(sheet):
        raise BadInput(
            "This file holds several grids.",
            where=path,
            why="Labels of columns were found in more than one place, without a title for each grid.",
            fix="Score each grid as a file of its own, as the web UI saved it.",
        )
    if found:
        return found, scale
    if cell and (plain := unlabelled_layout(luma, cell)):  # it was made without its legend
        return [GridLayout(*(axis.scaled(1 / sheet.scale) for axis in (plain.columns, plain.rows)))], scale
    raise _uncut(path, has_z_axis(text))


def _uncut(path: str | Path, has_z: bool) -> BadInput:
    if has_z:
        return BadInput(
            "The grid has a Z axis, and cannot be cut into its cells.",
            where=path,
            why="No title centred above each sub-grid and label centred above each column was found.",
            fix="Save it with its legend, or score its sub-grids (in the web UI: Include Sub Grids).",
        )
    return BadInput(
        "The grid cannot be cut into its cells.",
        where=path,
        why="No white band with a label centred above each column was found at the top.",
        fix="Save it with its legend, or score the cells as separate images.",
    )


def _at_size(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX))


def _cells(
    rgb: np.ndarray, layouts: Sequence[GridLayout], scale: float, told: tuple[int, int] | None
) -> list[Cell]:
    """Return the cells; of a grid that was scaled without their outermost pixels, blended with neighbours."""
    size = layouts[0].columns.size
    enlarged = size * scale / told[0] if told else scale
    inset = 0 if scale == 1 and (not told or size == told[0]) else ceil(max(enlarged, 1))
    cells = []
    for z, layout in enumerate(layouts):
        for row, column, box in layout.boxes(scale):
            left, top, right, bottom = map(round, box)
            inner = rgb[top + inset : bottom - inset, left + inset : right - inset]
            cells.append(Cell(row, column, inner, z if len(layouts) > 1 else None))
    return cells
