"""Files of every kind scored together: pictures, folders, grids, and what is bad."""

import csv
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.report.csv import to_csv
from gridsearch.score.band import band_of
from gridsearch.score.files import UNSCORED, files_of, read_reference, score_files
from gridsearch.score.measure import ORIENTATION, measure
from gridsearch.score.score import score
from tests.helpers.generated import png_with, unicode_comment, with_tags
from tests.helpers.pictures import drawn_grid, gained, scene, with_z_axis


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def scored(files, reference=None):
    return score_files(files, reference, lambda total: lambda: None)


@pytest.fixture
def grid(tmp_path):
    """Two rows of another picture each: healthy, blank, burnt."""
    rows = [[gained(scene(256, seed), gain) for gain in (1, 0.02, 3)] for seed in (20, 21)]
    image, _ = drawn_grid(rows, margin=4)
    path = tmp_path / f"xyz_grid-0001-123-{image.width}-{image.height}-4.5-48-20251117231637.png"
    image.save(path)
    return path, rows


def test_a_grid_gets_a_row_for_each_cell(grid):
    table = scored([grid[0]]).table
    assert list(zip(table["row"], table["column"], strict=True)) == [(r, c) for r in (0, 1) for c in range(3)]
    assert list(table["verdict"]) == ["ok", "blank", "burnt"] * 2


def test_a_column_is_the_reference_of_its_row_beside_those_of_the_other_rows(grid):
    path, rows = grid
    found = scored([path], 0)
    references = [measure(row[0]) for row in rows]
    expected = [
        score(picture, band_of(references, own)).defect
        for own, row in zip(references, rows, strict=True)
        for picture in row
    ]
    assert list(found.table["defect"]) == pytest.approx(expected)
    assert found.notes == ()


def test_a_reference_that_looks_broken_is_believed_and_noted(grid):
    (note, _) = scored([grid[0]], 2).notes
    assert "column 2, row 0" in note
    assert "burnt" in note


def test_a_bad_file_among_others_is_a_row_and_the_others_are_scored(tmp_path, grid):
    good = save(tmp_path / "good.png", scene(128, 20))
    (tmp_path / "bad.png").write_bytes(good.read_bytes()[:300])
    uncut = save(tmp_path / "xyz_grid-0001.png", scene(128, 20))
    files = [good, tmp_path / "bad.png", tmp_path / "gone.png", uncut]
    table = scored(files).table
    assert list(table["verdict"]) == ["ok", UNSCORED, UNSCORED, UNSCORED]
    assert all(reason and "\n" not in reason for reason in table["reason"][1:])
    assert list(table["image"]) == [str(file) for file in files]
    for bad in files[1:]:
        with pytest.raises(BadInput):
            scored([bad])


def test_a_column_that_is_not_there_is_an_error_of_that_file(tmp_path, grid):
    picture = save(tmp_path / "a.png", scene(128, 20))
    reasons = scored([grid[0], picture], 3).table["reason"]
    assert list(reasons) == ["This grid has no column 3.", "This is not a grid, so it has no column 3."]


def test_a_folder_stands_for_its_pictures(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    assert files_of([folder]) == [folder]
    (folder / "notes.txt").write_text("")
    pictures = [save(folder / name, scene(64, 1)) for name in ("b.JPG", "a.png")]
    assert files_of([folder]) == pictures[::-1]


def test_a_folder_has_the_pictures_of_its_days(tmp_path):
    names = [
        "2026-01-01/00000.png",
        "2026-01-02/00000.png",
        "grid.png",
        ".trash/x.png",
        "2026-01-01/notes.txt",
        "2026-01-02/deeper/x.AVIF",
        "y.bmp",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    wanted = [names[0], names[1], names[5], names[2], names[6]]
    assert files_of([tmp_path]) == [tmp_path / name for name in wanted]


def test_what_a_reference_can_be(tmp_path):
    assert read_reference(None) is None
    assert read_reference("2") == 2
    picture = scene(64, 1)
    read = read_reference(str(save(tmp_path / "a.png", picture)))
    assert asdict(read) == pytest.approx(asdict(measure(picture)), nan_ok=True)
    with pytest.raises(BadInput, match="whole grid"):
        read_reference("xyz_grid-0001.png")


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@a.png"])
def test_no_file_name_becomes_a_formula(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / name, np.full((64, 64, 3), 128, np.uint8))
    (row,) = csv.DictReader(io.StringIO(to_csv(scored([Path(name)]).table)))
    assert row["image"] == f"'{name}"
    assert float(row["dial"]) < 0  # numbers stay numbers


SAID = "a cat\nSteps: 20, Sampler: Euler, CFG scale: 5, Seed: 1, Size: {}, Model: a{}"


def with_text(path, picture, text):
    """A picture with a web UI's text, as the web UI saves it."""
    if path.suffix.lower() == ".png":
        return png_with(path, picture, parameters=text)
    return with_tags(path, {}, unicode_comment(text), picture)


@pytest.mark.parametrize(
    "name", ["my_xyz_grid-0001.PNG", "XYZ_GRID-3.png", "xyz_grid-1.webp", "xyz_grid-1.bmp"]
)
def test_a_grid_is_cut_whatever_is_before_its_name_and_in_whatever_case(tmp_path, name):
    image, _ = drawn_grid([[gained(scene(256, 20), gain) for gain in (1, 0.02, 3)]])
    image.save(tmp_path / name, **({"lossless": True} if name.endswith("webp") else {}))
    assert list(scored([tmp_path / name]).table["verdict"]) == ["ok", "blank", "burnt"]


@pytest.mark.parametrize("name", ["grid-0001.png", "GRID-0001-5.JPG"])
def test_a_batch_grid_is_cut_and_without_its_text_noted(tmp_path, name):
    pictures = [gained(scene(256, seed), gain) for seed, gain in ((20, 1), (21, 0.02), (22, 3), (23, 1))]
    grid = np.vstack([np.hstack(pictures[:2]), np.hstack(pictures[2:])])
    with_text(tmp_path / name, grid, SAID.format("256x256", ""))
    found = scored([tmp_path / name])
    assert list(found.table["verdict"]) == ["ok", "blank", "burnt", "ok"]
    assert list(found.table["row"]) == [0, 0, 1, 1]
    assert found.notes == ()
    save(tmp_path / name, grid)
    found = scored([tmp_path / name])
    assert len(found.table) == 1
    assert "scored as one picture: no text tells its pictures' size" in found.notes[0]
    with_text(tmp_path / name, grid, SAID.format("200x300", ""))
    assert "pictures of 200 x 300 do not fill it" in scored([tmp_path / name]).notes[0]


def test_a_single_picture_that_is_numbered_like_a_grid_stays_one(tmp_path):
    path = with_text(tmp_path / "grid-0001.png", scene(256, 20), SAID.format("256x256", ""))
    found = scored([path])
    assert list(found.table["column"].isna()) == [True]
    assert found.notes == ()


def test_a_grid_of_another_name_is_told_from_its_text(tmp_path):
    said = SAID.format("256x256", ", Script: X/Y/Z plot, X Type: CFG Scale")
    (note,) = scored([with_text(tmp_path / "a.png", scene(256, 20), said)]).notes
    assert "Begin its name with xyz_grid-" in note


def test_only_the_first_picture_of_an_animation_is_scored_and_that_is_told(tmp_path):
    first, second = Image.fromarray(scene(256, 20)), Image.fromarray(gained(scene(256, 21), 0))
    for name in ("a.webp", "a.png", "a.avif"):
        first.save(tmp_path / name, save_all=True, append_images=[second])
        found = scored([tmp_path / name])
        assert list(found.table["verdict"]) == ["ok"]
        assert found.notes == (f"{name} holds 2 pictures; only the first was scored.",)


def test_a_column_of_each_sub_grid_is_the_reference_of_its_own_rows(tmp_path):
    subs = [[[gained(scene(256, seed + z), gain) for gain in (1, 3)] for seed in (20, 21)] for z in (0, 5)]
    image, _ = with_z_axis([drawn_grid(rows)[0] for rows in subs], ["CFG Scale: 4", "CFG Scale: 5"])
    image.save(tmp_path / "xyz_grid-1.png")
    table = scored([tmp_path / "xyz_grid-1.png"], 0).table
    places = [(z, row, column) for z in (0, 1) for row in (0, 1) for column in (0, 1)]
    assert list(table[["z", "row", "column"]].itertuples(index=False, name=None)) == places
    references = [measure(row[0]) for rows in subs for row in rows]
    for found, (z, row, column) in zip(table["defect"], places, strict=True):
        own = band_of(references, references[2 * z + row])
        assert found == pytest.approx(score(subs[z][row][column], own).defect)


def test_a_grid_that_lies_on_its_side_is_turned_upright(tmp_path):
    image, _ = drawn_grid([[gained(scene(256, 20), gain) for gain in (1, 0.02, 3)]])
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    image.rotate(90, expand=True).save(tmp_path / "xyz_grid-1.png", exif=exif)
    assert list(scored([tmp_path / "xyz_grid-1.png"]).table["verdict"]) == ["ok", "blank", "burnt"]


def test_a_batch_grid_cannot_be_the_reference(tmp_path):
    grid = np.hstack([scene(128, 20), scene(128, 21)])
    path = with_text(tmp_path / "grid-0001.png", grid, SAID.format("128x128", ""))
    with pytest.raises(BadInput, match="whole grid"):
        read_reference(str(path))
