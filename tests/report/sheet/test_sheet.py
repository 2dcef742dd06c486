"""What stands where on the sheet, seen by its pixels."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageColor

from gridsearch.base.errors import BadInput
from gridsearch.report.colours import verdict_colour
from gridsearch.report.grid import build_grid
from gridsearch.report.sheet.layout import lay_out
from gridsearch.report.sheet.sheet import BEST, EMPTY
from gridsearch.results.analysis.analyse import analyse
from tests.helpers.made_up import results_of, save
from tests.helpers.sheets import contact_sheet

RATIOS, PROMPTS = (0.2, 0.4, 0.6), ("a red cat", "a blue dog")


def colour(ratio: float, prompt: int) -> tuple[int, int, int]:
    return round(400 * ratio), 100 + 90 * prompt, 30


@pytest.fixture
def run(tmp_path):
    """Solid pictures whose red says the ratio and whose green says the prompt; 0.4 is best, 0.6 burnt."""
    rows = []
    for trial, ratio in enumerate(RATIOS):
        for p, prompt in enumerate(PROMPTS):
            file = f"images/{trial}_{p}.png"
            save(Image.new("RGB", (32, 48), colour(ratio, p)), tmp_path / file)
            verdict, defect = {0.2: ("ok", 0.5), 0.4: ("ok", 0.1), 0.6: ("burnt", 2.0)}[ratio]
            rows.append(
                {"trial": trial, "ratio": ratio, "prompt_id": f"p{p}", "prompt": prompt, "seed": 1}
                | {
                    "prediction_type": "epsilon",
                    "verdict": verdict,
                    "defect": defect,
                    "reason": "",
                    "file": file,
                }
            )
    images = pd.DataFrame(rows)
    save(Image.new("RGB", (32, 48), (255, 255, 0)), tmp_path / "references/base.png")
    references = images[images["trial"] == 0].assign(model="base", file="references/base.png")
    return results_of(tmp_path, images, ("ratio",), references)


def middle(sheet: Image.Image, box: tuple) -> tuple[int, int, int]:
    return sheet.getpixel(((box[0] + box[2]) // 2, (box[1] + box[3]) // 2))


def test_every_picture_is_in_its_row_and_column(run):
    sheet, place = contact_sheet(run), lay_out(build_grid(run), (32, 48))
    assert middle(sheet, place.box(0, 0, 0)) == (255, 255, 0)
    for column, ratio in enumerate(RATIOS):
        for row in range(2):
            assert middle(sheet, place.box(1, column, row)) == colour(ratio, row)
    x = [place.box(1, column, 0)[0] for column in range(3)]
    assert x == sorted(x)
    assert place.box(0, 0, 0)[2] < x[0]
    assert place.box(1, 0, 0)[3] < place.box(1, 0, 1)[1]


def test_cells_keep_the_pictures_shape(run):
    width, height = lay_out(build_grid(run), (32, 48)).cell
    assert width / height == pytest.approx(32 / 48, abs=0.01)
    assert height >= 128


def test_a_broken_picture_is_framed_and_a_sound_one_is_not(run):
    sheet, place = contact_sheet(run), lay_out(build_grid(run), (32, 48))
    burnt, sound = place.box(1, 2, 0), place.box(1, 1, 0)
    assert sheet.getpixel((burnt[0] - 2, burnt[1] + 20)) == ImageColor.getrgb(verdict_colour("burnt"))
    assert sheet.getpixel((sound[0] - 2, sound[1] + 20)) == (255, 255, 255)


def test_the_best_column_is_framed_from_top_to_bottom(run):
    answer = analyse(run)
    sheet, place = contact_sheet(run, answer), lay_out(build_grid(run, answer), (32, 48))
    assert answer.best.ratio == 0.4
    pixels = np.asarray(sheet)
    is_blue = (pixels == ImageColor.getrgb(BEST)).all(axis=2)
    left, _, right, bottom = place.box(1, 1, 1)
    for x in (left - 6, right + 5):
        assert is_blue[place.top[0] : bottom, x].all()
    assert not is_blue[place.top[0] :, place.box(1, 2, 0)[2] :].any()


def test_what_was_not_rendered_is_an_empty_cell(run):
    partial = replace(run, images=run.images.iloc[:-1])
    (run.folder / "images/0_0.png").unlink()
    sheet, place = contact_sheet(partial), lay_out(build_grid(partial), (32, 48))
    for box in (place.box(1, 2, 1), place.box(1, 0, 0)):
        assert sheet.getpixel((box[0] + 4, box[1] + 4)) == ImageColor.getrgb(EMPTY)


def test_filters_take_the_nearest_ratio_and_prompts_by_id_or_words(run):
    grid = build_grid(run, ratios=[0.41], prompts=["dog"])
    assert grid.notes == ("No image is rendered at 0.41; the nearest, 0.40, is shown.",)
    assert build_grid(run, ratios=[0.4]).notes == ()
    assert [column.value for column in grid.groups[1].columns] == [0.4]
    assert [case.prompt_id for case in grid.cases] == ["p1"]
    assert [case.prompt_id for case in build_grid(run, prompts=["p0"]).cases] == ["p0"]


@pytest.mark.parametrize("asked", [{"ratios": [0.9]}, {"ratios": [0.3]}, {"prompts": ["horse"]}])
def test_a_filter_that_finds_nothing_is_refused(run, asked):
    with pytest.raises(BadInput):
        contact_sheet(run, **asked)


def test_an_empty_run_is_refused_in_words(run):
    empty = replace(run, images=run.images.iloc[:0], references=run.references.iloc[:0])
    with pytest.raises(BadInput, match="no images to show"):
        contact_sheet(empty)


def test_slices_stand_side_by_side_under_their_headings(modes):
    grid = build_grid(modes, analyse(modes))
    assert [group.heading for group in grid.groups] == ["references", "epsilon", "v_prediction"]
    assert [len(group.columns) for group in grid.groups] == [2, 11, 11]
    assert [sum(column.best for column in group.columns) for group in grid.groups] == [0, 1, 1]
