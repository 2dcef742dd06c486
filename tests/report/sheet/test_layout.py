"""What is too large for one sheet: an overview, and pages on which every picture is large enough to judge."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.report.cells import CaseRow, Grid, GridColumn, Group, Picture
from gridsearch.report.grid import build_grid
from gridsearch.report.sheet.layout import LONGEST, MOST_PIXELS, WIDEST, lay_out, pages, smallest_cell
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import results_of, save
from tests.helpers.sheets import write_sheets

SIZE = (1024, 768)


def grid_of(columns: int, prompts: int, seeds: int = 2, slices: int = 1, alive=range(0)) -> Grid:
    """A reference and so many trials a slice; the middle of `alive` is the best."""
    cases = tuple(
        CaseRow(f"p{p}", "a cat", seed, label="a cat") for p in range(prompts) for seed in range(seeds)
    )

    def column(trial: int | None, best=False, lives=False) -> GridColumn:
        pictures = {case.id: Picture(f"{trial}.png", "ok", "", 0.0) for case in cases}
        return GridColumn(str(trial), ("", ""), 1.0, pictures, trial, trial, best, lives)

    best = alive[len(alive) // 2] if alive else -1
    groups = [
        Group(f"slice {s}", tuple(column(s * columns + i, i == best, i in alive) for i in range(columns)))
        for s in range(slices)
    ]
    return Grid(cases, (Group("references", (column(None),)), *groups))


@pytest.mark.parametrize(
    ("columns", "prompts", "seeds", "slices"),
    [(100, 16, 2, 1), (21, 100, 1, 1), (3, 1, 300, 1), (400, 1, 1, 1), (40, 40, 4, 2), (1, 500, 1, 1)],
)
def test_each_picture_is_on_one_page_at_a_size_to_be_judged(columns, prompts, seeds, slices):
    grid = grid_of(columns, prompts, seeds, slices)
    overview, *shown = pages(grid, SIZE)
    assert len(shown) > 1
    seen = []
    for page in shown:
        place = lay_out(page.grid, SIZE)
        assert max(place.cell) >= smallest_cell(SIZE) == 192
        assert place.size[0] * place.size[1] <= MOST_PIXELS
        assert max(place.size) <= LONGEST
        assert page.grid.groups[0].heading == "references"
        seen += [
            (c.trial, case.id) for g in page.grid.groups[1:] for c in g.columns for case in page.grid.cases
        ]
    assert len(seen) == len(set(seen)) == slices * columns * prompts * seeds
    assert lay_out(overview.grid, SIZE).fits
    assert f"of {slices * columns} columns and" in overview.note
    assert [page.note for page in shown[:2]] == [f"page 1 of {len(shown)}", f"page 2 of {len(shown)}"]


def test_a_prompts_seeds_stay_on_one_page():
    _, *shown = pages(grid_of(21, 30, seeds=3), SIZE)
    for page in shown:
        ids = [case.prompt_id for case in page.grid.cases]
        assert all(ids.count(prompt) == 3 for prompt in ids)


def test_the_overview_shows_the_window_and_where_it_breaks_on_either_side():
    overview = pages(grid_of(100, 16, alive=range(50, 80)), SIZE)[0].grid
    shown = [column.trial for column in overview.groups[1].columns]
    assert len(shown) <= WIDEST
    assert {0, 49, 50, 65, 79, 80, 99} <= set(shown)  # ends, edges on both sides, the best
    assert sum(50 <= trial < 80 for trial in shown) >= 8
    assert [(case.prompt_id, case.seed) for case in overview.cases] == [(f"p{i}", 0) for i in range(16)]


def test_what_fits_is_one_page():
    grid = grid_of(12, 8)
    (page,) = pages(grid, SIZE)
    assert page.grid is grid
    assert page.note == ""


@pytest.fixture
def long_run(tmp_path):
    """100 ratios of one prompt, whose pictures say by their red which ratio they are."""
    rows = []
    for trial in range(100):
        file = f"images/{trial}.png"
        save(Image.new("RGB", (32, 32), (2 * trial, 30, 60)), tmp_path / file)
        case = {"prompt_id": "p1", "prompt": "a cat", "seed": 1, "prediction_type": "epsilon"}
        verdict = "ok" if 40 <= trial < 60 else "burnt"
        row = {"trial": trial, "ratio": trial / 100, "verdict": verdict, "defect": abs(trial - 50) / 10}
        rows.append(case | row | {"reason": "", "file": file})
    return results_of(tmp_path, pd.DataFrame(rows), ("ratio",))


def test_pages_are_written_beside_their_overview_and_old_ones_removed(long_run):
    folder, answer = long_run.folder, analyse(long_run)
    first, *shown = write_sheets(long_run, answer, folder / "sheet.png")
    assert [path.name for path in shown] == [f"sheet-{i}.png" for i in range(1, len(shown) + 1)]
    reds = []
    for path, page in zip(shown, pages(build_grid(long_run, answer), (32, 32))[1:], strict=True):
        sheet, place = Image.open(path), lay_out(page.grid, (32, 32))
        boxes = [place.box(0, c, 0) for c in range(len(page.grid.groups[0].columns))]
        reds += [sheet.getpixel(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2))[0] for box in boxes]
    assert reds == list(range(0, 200, 2))

    (folder / "sheet-x.png").touch()  # no page
    short = replace(long_run, images=long_run.images.iloc[:5], trials=long_run.trials.iloc[:5])
    assert write_sheets(short, analyse(short), first) == [first]
    assert sorted(path.name for path in folder.glob("sheet*")) == ["sheet-x.png", "sheet.png"]


def test_the_name_says_the_format_and_other_folders_are_not_cleaned(long_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "a-1.jpg").touch()
    written = {}
    for name, kind in (("a.jpg", "JPEG"), ("a.webp", "WEBP"), ("a.PNG", "PNG")):
        (path,) = write_sheets(long_run, None, folder / name, ratios=[0.5])
        image = Image.open(path)
        assert image.format == kind
        written[kind] = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(written["JPEG"] - written["PNG"]).mean() < 3
    assert (folder / "a-1.jpg").exists()
    for wrong in (folder / "a.gif", folder / "nowhere" / "a.png", folder):
        with pytest.raises(BadInput):
            write_sheets(long_run, None, wrong)
