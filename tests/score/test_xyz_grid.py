"""Grids cut into their cells: drawn as the web UI does, and published ones."""

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.score.grid_names import is_batch_grid, is_grid, told_cell, told_size
from gridsearch.score.measure import read_image, read_picture_file
from gridsearch.score.xyz_grid import cut_batch_grid, cut_grid, grid_layouts
from tests.helpers.pictures import GRIDS, LABELS, drawn_grid, gained, needs_grids, scene, with_z_axis

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
    (layout,), seen = grid_layouts(as_jpeg(image, scale), NAME.format(*image.size))
    assert (layout.columns.count, layout.rows.count, layout.rows.margin) == (4, 2, margin)
    for row, column, box in layout.boxes(seen):
        assert box == pytest.approx(np.array(boxes[row, column]) * scale, abs=2)


@pytest.mark.parametrize("name", ["xyz_grid-0007.png", "xyz_grid-0007-123-a circle.png"])
def test_a_name_without_a_size_means_the_file_is_as_it_was_saved(name):
    image, boxes = sheet(3, 2, margin=8)
    (layout,), _ = grid_layouts(np.asarray(image), name)
    for row, column, box in layout.boxes():
        assert box == pytest.approx(boxes[row, column], abs=1)


@pytest.mark.parametrize("scale", [2.0, 1.5, 3.0])
@pytest.mark.parametrize(("margin", "labelled"), [(0, False), (0, True), (12, True)])
def test_a_grid_that_was_enlarged_is_cut_at_twice_the_places(scale, margin, labelled):
    image, boxes = sheet(4, 2, margin=margin, row_labels=labelled)
    pixels = as_jpeg(image, scale)
    (layout,), seen = grid_layouts(pixels, NAME.format(*image.size))
    assert (layout.columns.count, layout.rows.count, layout.rows.margin) == (4, 2, margin)
    for row, column, box in layout.boxes(seen):
        assert box == pytest.approx(np.array(boxes[row, column]) * scale, abs=2)
    cells = cut_grid(pixels, NAME.format(*image.size))
    assert cells[0].rgb.shape == (192 * scale - 2 * np.ceil(scale), 256 * scale - 2 * np.ceil(scale), 3)


@pytest.mark.parametrize("scale", [2.0, 0.5])
@pytest.mark.parametrize("margin", [0, 12])
def test_a_scaled_grid_whose_name_says_no_size_is_cut_by_that_of_its_pictures(scale, margin):
    image, boxes = sheet(3, 2, margin=margin)
    (layout,), seen = grid_layouts(as_jpeg(image, scale), "xyz_grid-0007.jpg", text_of(256, 192))
    assert (layout.columns.count, layout.rows.count, seen) == (3, 2, 1.0)
    for row, column, box in layout.boxes():
        assert box == pytest.approx(np.array(boxes[row, column]) * scale, abs=3)


def text_of(width, height, more=""):
    said = f"Steps: 20, Sampler: Euler, CFG scale: 5, Seed: 1, Size: {width}x{height}, Model: a{more}"
    return f"a cat\nNegative prompt: Size: 8x8, bad\n{said}"


def z_grid(columns, rows, sheets, **how):
    """A grid with a Z axis, and where each picture of it lies."""
    drawn = []
    for z in range(sheets):
        pictures = [
            [picture(256, 192, 50 * z + row * columns + k) for k in range(columns)] for row in range(rows)
        ]
        drawn.append(drawn_grid(pictures, **how))
    whole, places = with_z_axis(
        [image for image, _ in drawn], [f"CFG Scale: {z + 4}.0" for z in range(sheets)]
    )
    return whole, {
        (z, row, column): (left + x, top + y, right + x, bottom + y)
        for z, ((_, boxes), (x, y)) in enumerate(zip(drawn, places, strict=True))
        for (row, column), (left, top, right, bottom) in boxes.items()
    }


Z_GRIDS = [
    (2, 2, 2, 0, True),
    (3, 1, 2, 0, False),
    (4, 2, 3, 12, True),
    (1, 3, 2, 0, True),
    (3, 2, 3, 4, False),
]


@pytest.mark.parametrize(("columns", "rows", "sheets", "margin", "labelled"), Z_GRIDS)
def test_the_sub_grids_of_a_z_axis_are_cut_each_on_its_own(columns, rows, sheets, margin, labelled):
    image, boxes = z_grid(columns, rows, sheets, margin=margin, row_labels=labelled)
    pixels = np.asarray(image)
    for name in ("xyz_grid-0007.png", NAME.format(*image.size)):
        found = {(cell.z, cell.row, cell.column): cell.rgb for cell in cut_grid(pixels, name)}
        assert found.keys() == boxes.keys()
    for place, (left, top, right, bottom) in boxes.items():
        np.testing.assert_array_equal(found[place], pixels[top:bottom, left:right])


@pytest.mark.parametrize("scale", [0.61, 2.0])
def test_the_sub_grids_of_a_scaled_jpeg_are_cut_too(scale):
    image, boxes = z_grid(2, 3, 3, row_labels=True)
    layouts, seen = grid_layouts(as_jpeg(image, scale), NAME.format(*image.size))
    found = {(z, *place): box for z, layout in enumerate(layouts) for *place, box in layout.boxes(seen)}
    assert found.keys() == boxes.keys()
    for place, box in boxes.items():
        assert found[place] == pytest.approx(np.array(box) * scale, abs=2 * max(scale, 1))


def test_columns_with_labels_of_different_heights_are_no_z_axis():
    """The middle ones of three have two lines, as if they were titles; but their letters are no larger."""
    labels = ("0.1", "a-long-name-of-a-model-55 0.2", "0.3", "0.4", "a-long-name-of-a-model-75 0.5", "0.6")
    image, boxes = sheet(6, 2, column_labels=labels)
    cells = cut_grid(np.asarray(image), NAME.format(*image.size))
    assert {(cell.z, cell.row, cell.column) for cell in cells} == {(None, *place) for place in boxes}


def test_a_z_axis_that_cannot_be_cut_is_named_with_what_to_do():
    with pytest.raises(BadInput, match="has a Z axis") as caught:
        cut_grid(scene(512, 1), "xyz_grid-1.png", text_of(100, 90, ", Script: X/Y/Z plot, Z Type: CFG Scale"))
    assert "sub-grids" in str(caught.value)


def unlabelled(columns, rows, width=128, height=96):
    """Pictures edge to edge, the last two of them blank."""
    count = columns * rows
    pictures = [
        scene(128, 20 + k)[:height, :width] if k < count - 2 else gained(scene(128, k)[:height, :width], 0)
        for k in range(count)
    ]
    return np.vstack([np.hstack(pictures[row * columns : (row + 1) * columns]) for row in range(rows)])


@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (3, 2), (1, 4), (5, 1), (4, 4)])
def test_a_batch_grid_is_cut_by_the_size_that_its_text_tells(columns, rows):
    pixels = unlabelled(columns, rows)
    for cell in cut_batch_grid(pixels, text_of(128, 96)):
        top, left = 96 * cell.row, 128 * cell.column
        np.testing.assert_array_equal(cell.rgb, pixels[top : top + 96, left : left + 128])
    places = {(cell.row, cell.column) for cell in cut_batch_grid(pixels, text_of(128, 96))}
    assert places == {(row, column) for row in range(rows) for column in range(columns)}


@pytest.mark.parametrize("scale", [2.0, 0.5, 0.7])
def test_a_scaled_batch_grid_is_cut_where_its_pictures_meet(scale):
    pixels = as_jpeg(Image.fromarray(unlabelled(3, 2)), scale)
    cells = cut_batch_grid(pixels, text_of(128, 96))
    assert [(cell.row, cell.column) for cell in cells] == [(r, c) for r in range(2) for c in range(3)]
    assert cells[0].rgb.shape[1] == pytest.approx(128 * scale, abs=2 + 2 * np.ceil(scale))


@pytest.mark.parametrize("size", [(8, 1024), (1, 99999)])
def test_no_grid_has_pictures_that_are_slivers(size):
    assert cut_batch_grid(scene(256, 20), text_of(*size)) is None


def test_hires_pictures_are_larger_than_their_text_says():
    assert told_cell(text_of(512, 768)) == (512, 768)
    assert told_cell(text_of(512, 768, ", Hires upscale: 1.5, Hires steps: 3")) == (768, 1152)
    assert told_cell(text_of(512, 768, ", Hires resize: 1024x1536")) == (1024, 1536)
    assert told_cell("a cat, Size: 5x5\nno settings") is None
    assert cut_batch_grid(unlabelled(2, 2), "a cat") is None
    assert cut_batch_grid(unlabelled(2, 2), text_of(100, 90)) is None


def test_a_grid_without_its_legend_is_cut_by_the_size_that_its_text_tells():
    pixels = unlabelled(3, 2)
    for name in (NAME.format(384, 192), "xyz_grid-0007.png"):
        cells = cut_grid(pixels, name, text_of(128, 96))
        assert [(cell.row, cell.column) for cell in cells] == [(r, c) for r in range(2) for c in range(3)]
        assert cells[0].rgb.shape == (96, 128, 3)


def test_pictures_that_all_begin_with_white_rows_keep_them():
    drawn = scene(256, 1).repeat(4, axis=0).repeat(4, axis=1)  # 1024, a usual size
    drawn[:90] = 255
    image, boxes = drawn_grid([[drawn, drawn]], row_labels=False)
    (layout,), _ = grid_layouts(np.asarray(image), NAME.format(*image.size))
    for row, column, box in layout.boxes():
        assert box == pytest.approx(boxes[row, column])


def test_the_name():
    assert told_size("folder/xyz_grid-0001-1781861418-6720-1097-4.5-48-20251117231637.jpg") == (6720, 1097)
    assert told_size("xyz_grid-0001-6720-1097.jpg") is None
    assert told_size(NAME.format(0, 1097)) is told_size(NAME.format(6720, "00")) is None
    assert is_grid("folder/xyz_grid-0001.png")
    assert not is_grid("xyz_grid-folder/a.png")
    for name in ("my_xyz_grid-0001.PNG", "XYZ_GRID-3.png", "2026 xyz_grid-3 (1).jpg"):
        assert is_grid(name)
        assert not is_batch_grid(name)
    said = "Mine-XYZ_GRID-0001-17-6720-1097-4.5-48-20251117231637.JPG"
    assert told_size(said) == (6720, 1097)
    for name in ("grid-0001.png", "GRID-0012-123.PNG", "my_grid-0001-1.jpg"):
        assert is_batch_grid(name)
        assert not is_grid(name)
    assert not is_batch_grid("gridsearch-0001.png")
    assert not is_batch_grid("madrid-0001.png")


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
    for name in (NAME.format(width, height), NAME.format(0, 0), "xyz_grid-0007.png"):
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
def test_published_grids_are_cut_at_the_same_places_without_the_size_in_their_names(grid):
    (path,) = GRIDS.glob(f"xyz_grid-{grid}-*.jpg")
    read = read_picture_file(path)
    (layout,), seen = grid_layouts(read.rgb, path)
    wanted = [box for _, _, box in layout.boxes(seen)]
    half = np.asarray(Image.fromarray(read.rgb).reduce(2))
    for rgb, text, scale in ((read.rgb, read.text, 1), (read.rgb, "", 1), (half, read.text, 0.5)):
        (layout,), seen = grid_layouts(rgb, "xyz_grid-1.jpg", text)
        found = [box for _, _, box in layout.boxes(seen)]
        assert np.array(found) == pytest.approx(np.array(wanted) * scale, abs=3)


@needs_grids
@pytest.mark.parametrize("grid", LABELS)
def test_published_grids_have_cells_of_a_usual_size(grid):
    (path,) = GRIDS.glob(f"xyz_grid-{grid}-*.jpg")
    (layout,), _ = grid_layouts(read_image(path), path)
    width, height = told_size(path)
    assert (layout.columns.size, layout.rows.size) == ((1024, 1024) if grid == "0003" else (1344, 768))
    assert (layout.columns.count, layout.rows.count, layout.rows.margin) == (len(LABELS[grid]), 1, 0)
    assert (layout.columns.start, layout.rows.start) == (0, height - layout.rows.size)
    assert layout.columns.count * layout.columns.size == width
