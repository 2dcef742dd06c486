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
from gridsearch.score.measure import measure
from gridsearch.score.score import score
from tests.helpers.pictures import drawn_grid, gained, scene


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
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_of([tmp_path]) == [tmp_path / name for name in names[:3]]


def test_what_a_reference_can_be(tmp_path):
    assert read_reference(None) is None
    assert read_reference("2") == 2
    picture = scene(64, 1)
    read = read_reference(str(save(tmp_path / "a.png", picture)))
    assert asdict(read) == pytest.approx(asdict(measure(picture)))
    with pytest.raises(BadInput, match="whole grid"):
        read_reference("xyz_grid-0001.png")


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@a.png"])
def test_no_file_name_becomes_a_formula(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / name, np.full((64, 64, 3), 128, np.uint8))
    (row,) = csv.DictReader(io.StringIO(to_csv(scored([Path(name)]).table)))
    assert row["image"] == f"'{name}"
    assert float(row["dial"]) < 0  # numbers stay numbers
