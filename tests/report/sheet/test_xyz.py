"""A run's pictures as the web UI's grids, read again by what reads the web UI's own."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.render.pictures import embedded_text, png_bytes, read_parameters
from gridsearch.report.sheet import xyz
from gridsearch.results.analysis.analyse import analyse
from gridsearch.score.measure import read_image, read_picture_file
from gridsearch.score.xyz_grid import cut_grid
from tests.helpers.made_up import judged, picture, results_of
from tests.helpers.sheets import write_grids

RATIOS, PROMPTS, SEEDS, SIDE = (
    (0.0, 0.5, 1.0),
    ("a red cat, (sitting:1.2)", "a dog\n<lora:x:1>"),
    (11, 12),
    128,
)
SAID = "a red cat\nSteps: 20, Sampler: Euler, CFG scale: 4.5, Seed: {}, Size: 128x128, Recipe: a + b"


def rows_of(folder, name, contrast):
    rows = []
    for p, prompt in enumerate(PROMPTS):
        for seed in SEEDS:
            file = f"{name}_p{p}_{seed}.png"
            image = picture(p, seed, contrast, SIDE)
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(png_bytes(np.asarray(image), SAID.format(seed)))
            case = {"prompt_id": f"p{p}", "prompt": prompt, "seed": seed, "prediction_type": "epsilon"}
            rows.append(case | judged(contrast, image) | {"file": file})
    return rows


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xyz")
    images = [
        {"trial": t, "ratio": ratio} | row
        for t, ratio in enumerate(RATIOS)
        for row in rows_of(folder, f"images/{t}", (0.5, 1.0, 2.5)[t])
    ]
    references = [{"model": "base"} | row for row in rows_of(folder, "references/base", 1.1)]
    results = results_of(folder, pd.DataFrame(images), ("ratio",), pd.DataFrame(references))
    return results, analyse(results)


def test_cut_again_every_cell_is_the_picture_bit_for_bit(night, tmp_path):
    results, answer = night
    files = list(write_grids(results, answer, tmp_path))
    assert len(files) == len(SEEDS)
    for seed, file in zip(SEEDS, files, strict=True):
        cells = {(cell.row, cell.column): cell.rgb for cell in cut_grid(read_image(file), file)}
        assert len(cells) == len(PROMPTS) * (1 + len(RATIOS))
        for (row, column), pixels in cells.items():
            name = "references/base" if column == 0 else f"images/{column - 1}"
            stored = Image.open(results.folder / f"{name}_p{row}_{seed}.png")
            np.testing.assert_array_equal(pixels, np.asarray(stored))


def test_the_name_is_numbered_on_and_says_seed_size_cfg_and_steps(night, tmp_path):
    (tmp_path / "xyz_grid-0041-7-100-100-4-20-20250101000000.jpg").touch()
    files = list(write_grids(*night, tmp_path, ratios=[0.5], prompts=["p1"]))
    for i, file in enumerate(files):
        width, height = Image.open(file).size
        assert re.fullmatch(
            rf"xyz_grid-004{2 + i}-{SEEDS[i]}-{width}-{height}-4\.5-20-\d{{14}}\.png", file.name
        )
        assert width == 2.75 * SIDE  # the row's label, a reference and a ratio


def test_its_text_says_what_the_axes_are(night, tmp_path):
    text = read_parameters(embedded_text(next(write_grids(*night, tmp_path))))
    assert text.prompt == PROMPTS[0]
    assert text.settings.items() >= {
        ("Script", "X/Y/Z plot"),
        ("X Type", "ratio"),
        ("X Values", "base, 0.00, 0.50, 1.00"),
        ("Y Type", "Prompt"),
        ("Y Values", "a red cat, (sitting:1.2), a dog <lora:x:1>"),
        ("Steps", "20"),
    }
    assert "Recipe" not in text.settings


def test_a_grid_with_too_many_pixels_is_several_each_with_the_references(night, tmp_path, monkeypatch):
    monkeypatch.setattr(xyz, "MAX_PIXELS", 6 * SIDE * SIDE)
    files = list(write_grids(*night, tmp_path, prompts=["p0"]))
    assert len(files) == 2 * len(SEEDS)  # ratios 0 and 0.5, then 1
    assert [Image.open(file).width for file in files[:2]] == [3.75 * SIDE, 2.75 * SIDE]


def tiles(size, number):
    """Flat squares, which take few bytes; another picture for each number, blank ones among them."""
    if number % 3 == 1:
        return np.full((size[1], size[0], 3), 120 + number % 7, np.uint8)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] // 32
    return np.stack([(y * 7 + x * 13 + number * 29 + c * 50) % 200 + 20 for c in range(3)], -1).astype(
        np.uint8
    )


def run_of(folder, size, ratios, prompts, model="base"):
    """A run without much in it but the pictures, and those by ratio and prompt; ratio -1 is the reference."""
    (folder / "images").mkdir()
    rows, drawn = [], {}
    row = judged(1.0, picture(0, 11, 1.0, 64))
    kinds = [tiles(size, kind) for kind in range(7)]
    for kind, pixels in enumerate(kinds):
        (folder / f"images/{kind}.png").write_bytes(png_bytes(pixels, said_of(size)))
    for number, (prompt, ratio) in enumerate((p, r) for p in range(prompts) for r in range(-1, ratios)):
        drawn[prompt, ratio] = kinds[number % 7]
        file = f"images/{number % 7}.png"
        case = {"prompt_id": f"p{prompt}", "prompt": f"prompt {prompt}", "seed": 11}
        rows.append(
            {"trial": ratio, "ratio": ratio / 10, "prediction_type": "epsilon", "file": file} | case | row
        )
    table = pd.DataFrame(rows)
    references = table[table["trial"] < 0].drop(columns=["trial", "ratio"]).assign(model=model)
    results = results_of(folder, table[table["trial"] >= 0], ("ratio",), references)
    return results, drawn


def said_of(size):
    return f"a\nSteps: 20, Sampler: Euler, CFG scale: 4.5, Seed: 11, Size: {size[0]}x{size[1]}, Recipe: a + b"


SHAPES = [
    ((64, 64), 1, 1),
    ((64, 64), 4, 3),
    ((256, 64), 3, 2),
    ((64, 256), 3, 2),
    ((1536, 640), 1, 1),
    ((200, 120), 12, 5),
    pytest.param((1344, 768), 10, 3, marks=pytest.mark.night),  # 39 megapixels
]


@pytest.mark.parametrize(("size", "ratios", "prompts"), SHAPES)
def test_what_is_written_is_always_cut_again(tmp_path, size, ratios, prompts):
    results, drawn = run_of(tmp_path, size, ratios, prompts, model="a long name of a model " * 4)
    (file,) = write_grids(results, analyse(results), tmp_path)
    read = read_picture_file(file)
    for name in (file, "xyz_grid-1.png"):
        cells = cut_grid(read.rgb, name, read.text)
        assert len(cells) == prompts * (ratios + 1)
        for cell in cells:
            np.testing.assert_array_equal(cell.rgb, drawn[cell.row, cell.column - 1])


def test_no_grid_is_written_that_could_not_be_read_or_cut(tmp_path, monkeypatch):
    results, _ = run_of(tmp_path, (128, 128), 2, 2)
    monkeypatch.setattr(xyz, "MAX_PIXELS", 3 * 128 * 128)
    with pytest.raises(BadInput, match="larger than 49,152 pixels"):
        next(write_grids(results, analyse(results), tmp_path))
    for number, size in enumerate([(56, 64), (640, 128)]):
        (tmp_path / str(number)).mkdir()
        results, _ = run_of(tmp_path / str(number), size, 2, 2)
        with pytest.raises(BadInput, match="cannot be cut out of an X/Y/Z grid again"):
            next(write_grids(results, analyse(results), tmp_path))


def test_a_picture_that_is_kept_small_is_enlarged_to_what_it_was(night, tmp_path):
    results, answer = night
    small = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    text = f"{SAID.format(11)}, Reduced from: {SIDE}x{SIDE}"
    (results.folder / "images/reduced.png").write_bytes(png_bytes(small, text))
    files = ["images/reduced.png", *results.images["file"][1:]]
    shown = replace(results, images=results.images.assign(file=files))
    file = next(write_grids(shown, answer, tmp_path))
    cells = {(cell.row, cell.column): cell.rgb for cell in cut_grid(read_image(file), file)}
    assert cells[0, 1].shape == (SIDE, SIDE, 3)
    assert (cells[0, 1] == (200, 100, 50)).all()
    assert "Reduced from" not in embedded_text(file)


def test_what_cannot_be_a_grid_is_refused(night, tmp_path):
    results, answer = night
    with pytest.raises(BadInput, match="no such folder"):
        next(write_grids(results, answer, tmp_path / "nowhere"))
    other = results.images.assign(file=["references/base_p0_11.png", *results.images["file"][1:]])
    Image.new("RGB", (64, 64)).save(results.folder / "images/small.png")
    other.loc[3, "file"] = "images/small.png"
    with pytest.raises(BadInput, match="same size"):
        list(write_grids(replace(results, images=other), answer, tmp_path))
    other["file"] = "../x.png"
    with pytest.raises(BadInput, match="leads out"):
        list(write_grids(replace(results, images=other), answer, tmp_path))


def test_a_cell_that_was_not_drawn_is_black_as_the_web_ui_leaves_it(night, tmp_path):
    results, answer = night
    partial = replace(results, images=results.images.iloc[1:])  # ratio 0, p0, seed 11
    file = next(write_grids(partial, answer, tmp_path))
    cells = {(cell.row, cell.column): cell.rgb for cell in cut_grid(read_image(file), file)}
    assert cells[0, 1].max() == 0
    assert cells[1, 1].max() > 0


def with_own_seeds(rows):
    """The same pictures, as if the second prompt had seeds of its own."""
    return rows.assign(seed=rows["seed"] + 10 * (rows["prompt_id"] == "p1"))


def test_prompts_with_seeds_of_their_own_stand_on_one_grid_seed_by_seed(night, tmp_path):
    results, answer = night
    own = replace(
        results, images=with_own_seeds(results.images), references=with_own_seeds(results.references)
    )
    files = list(write_grids(own, answer, tmp_path))
    assert [file.name.split("-")[2] for file in files] == ["11", "12"]
    for turn, file in enumerate(files):
        said = read_parameters(embedded_text(file)).settings
        assert (said["Seed"], said["Row seeds"]) == (str(SEEDS[turn]), f"{11 + turn}, {21 + turn}")
        cells = cut_grid(read_image(file), file)
        assert len(cells) == len(PROMPTS) * (1 + len(RATIOS))
        for cell in cells[1:4] + cells[5:]:  # without the references
            stored = Image.open(results.folder / f"images/{cell.column - 1}_p{cell.row}_{SEEDS[turn]}.png")
            np.testing.assert_array_equal(cell.rgb, np.asarray(stored))


def test_a_single_row_has_its_label_and_is_cut_again(night, tmp_path):
    file = next(write_grids(*night, tmp_path, prompts=["p1"]))
    cells = cut_grid(read_image(file), file)
    assert [(cell.row, cell.column) for cell in cells] == [(0, column) for column in range(1 + len(RATIOS))]
    assert "Row seeds" not in read_parameters(embedded_text(file)).settings


def test_a_picture_that_is_gone_is_black_and_told_of(night, tmp_path):
    results, answer = night
    names = results.images["file"].replace("images/1_p0_11.png", "images/gone.png")  # the best one
    names = names.mask(results.images["seed"] == SEEDS[1], "images/lost.png")
    told = []
    lost = replace(results, images=results.images.assign(file=names))
    first, _ = write_grids(lost, answer, tmp_path, gone=told.append)
    assert told == ["images/gone.png"] + ["images/lost.png"] * len(PROMPTS) * len(RATIOS)
    cells = {(cell.row, cell.column): cell.rgb for cell in cut_grid(read_image(first), first)}
    assert [cells[row, 2].max() > 0 for row in range(2)] == [False, True]
    nothing = replace(lost, references=results.references.assign(file="images/lost.png"))
    assert [file.name.split("-")[2] for file in write_grids(nothing, answer, tmp_path)] == ["11"]
