"""Grids cut into their cells: drawn as the web UI does, and published ones."""

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import read_image
from gridsearch.score.xyz_grid import cut_grid, grid_layout, is_grid, told_size
from tests.helpers.pictures import GRIDS, LABELS, drawn_grid, gained, needs_grids, scene

NAME = "xyz_grid-0007-123-{}-{}-4.5-48-20251117231637.png"


@cache
def picture(width, height, seed):
    """A healthy one, but each third one is blank: two blank neighbours show no edge."""
    drawn = scene(256, seed)[:height, :width]
    return gained(drawn, 0.02) if seed % 3 else drawn


def sheet(columns, rows, width=256, height=192, **how):
    pictures = [[picture(width, height, row * columns + k) for k in range(columns)] for row in range(rows)]
    return drawn_grid(pictures, **how)


def as_jpeg(image, scale, quality=85):
    """Scaled, saved and read again."""
    size = round(image.width * scale), round(image.height * scale)
    file = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize("labelled", [True, False], ids=["row labels", "no row labels"])
@pytest.mark.parametrize("margin", [0, 4, 20])
@pytest.mark.parametrize(("columns", "rows"), [(5, 1), (2, 2), (1, 3), (4, 3)])
def test_every_picture_comes_back_as_it_went_in(columns, rows, margin, labelled):
    image, boxes = sheet(columns, rows, margin=margin, row_labels=labelled)
    pixels = np.asarray(image)
    found = {(cell.row, cell.column): cell.rgb for cell in cut_grid(pixels, NAME.format(*image.size))}
    assert found.keys() == boxes.keys()
    for place, (left, top, right, bottom) in boxes.items():
        np.testing.assert_array_equal(found[place], pixels[top:bottom, left:right])


@pytest.mark.parametrize("scale", [1.0, 0.61, 0.5])
@pytest.mark.parametrize(("margin", "labelled"), [(0, False), (0, True), (12, True)])
def test_boundaries_in_a_jpeg_scaled_down_are_within_two_pixels(scale, margin, labelled):
    labels = ("25111701h-05-10k-55.safetensors [57a96b981e]", "a.safetensors [ce8ce64753]")
    image, boxes = sheet(4, 2, 256, 256, margin=margin, row_labels=labelled, column_labels=labels)
    layout, seen = grid_layout(as_jpeg(image, scale), NAME.format(*image.size))
    assert (layout.columns.count, layout.rows.count, layout.rows.margin) == (4, 2, margin)
    for row, column, box in layout.boxes(seen):
        assert box == pytest.approx(np.array(boxes[row, column]) * scale, abs=2)


@pytest.mark.parametrize("name", ["xyz_grid-0007.png", "xyz_grid-0007-123-a circle.png"])
def test_a_name_without_a_size_means_the_file_is_as_it_was_saved(name):
    image, boxes = sheet(3, 2, margin=8)
    layout, _ = grid_layout(np.asarray(image), name)
    for row, column, box in layout.boxes():
        assert box == pytest.approx(boxes[row, column], abs=1)


def test_pictures_that_all_begin_with_white_rows_keep_them():
    drawn = scene(256, 1).repeat(4, axis=0).repeat(4, axis=1)  # 1024, a usual size
    drawn[:90] = 255
    image, boxes = drawn_grid([[drawn, drawn]], row_labels=False)
    layout, _ = grid_layout(np.asarray(image), NAME.format(*image.size))
    for row, column, box in layout.boxes():
        assert box == pytest.approx(boxes[row, column])


def test_the_name():
    assert told_size("folder/xyz_grid-0001-1781861418-6720-1097-4.5-48-20251117231637.jpg") == (6720, 1097)
    assert told_size("xyz_grid-0001-6720-1097.jpg") is None
    assert is_grid("folder/xyz_grid-0001.png")
    assert not is_grid("xyz_grid-folder/a.png")


NO_GRIDS = {
    "a photograph": scene(512, 1),
    "a white page": np.full((300, 500, 3), 255, np.uint8),
    "one pixel": np.zeros((1, 1, 3), np.uint8),
    "no legend": np.hstack([scene(256, 1), scene(256, 2)]),
    "a band without text": np.vstack([np.full((60, 256, 3), 255, np.uint8), scene(256, 1)]),
}


@pytest.mark.parametrize("kind", NO_GRIDS)
def test_what_cannot_be_cut_is_named(kind):
    height, width = NO_GRIDS[kind].shape[:2]
    for name in (NAME.format(width, height), "xyz_grid-0007.png"):
        with pytest.raises(BadInput, match="cannot be cut") as caught:
            cut_grid(NO_GRIDS[kind], name)
        assert name in str(caught.value)


def test_a_part_of_a_grid_is_not_the_grid_of_that_name():
    image, _ = sheet(3, 1)
    for pixels, factor in ((np.asarray(image)[:-40], 1), (np.asarray(image), 1000)):
        with pytest.raises(BadInput, match="its name says"):
            cut_grid(pixels, NAME.format(factor * image.width, factor * image.height))


@needs_grids
@pytest.mark.parametrize("grid", LABELS)
def test_published_grids_have_cells_of_a_usual_size(grid):
    (path,) = GRIDS.glob(f"xyz_grid-{grid}-*.jpg")
    layout, _ = grid_layout(read_image(path), path)
    width, height = told_size(path)
    assert (layout.columns.size, layout.rows.size) == ((1024, 1024) if grid == "0003" else (1344, 768))
    assert (layout.columns.count, layout.rows.count, layout.rows.margin) == (len(LABELS[grid]), 1, 0)
    assert (layout.columns.start, layout.rows.start) == (0, height - layout.rows.size)
    assert layout.columns.count * layout.columns.size == width
