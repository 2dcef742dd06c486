"""What is kept of an image, in either format."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridsearch.render.pictures import embedded_text, read_parameters, webp_bytes
from gridsearch.results import store
from gridsearch.search.budget import Budget
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from tests.helpers.small_run import FILE, Quiet, experiment, settings

CIRCLE = {"text": "a circle", "seeds": [1]}


def rows_of(out: Path) -> list[dict]:
    found = store.read_study(out)
    return [*(found.facts.references or ()), *(r for t in found.trials for r in store.images_of(t))]


@pytest.fixture(scope="module")
def changed(toy, tmp_path_factory):
    """A run of a reference and two trials, which went on with PNG after a first trial in WebP."""
    out = tmp_path_factory.mktemp("kept") / "small"
    for done, kept_as in enumerate(("webp", "png"), start=1):
        render = settings(toy)["render"] | {"trace": True}
        run_experiment(
            experiment(toy, render=render, images={"format": kept_as}, prompt=[CIRCLE]),
            FILE,
            out,
            Budget(trials=done),
            Quiet(),
        )
        if done == 1:
            (out / "images" / "t0001_p1_s1.webp").write_bytes(b"what a kill left of a picture without a row")
    return out


@pytest.mark.night
def test_a_run_loses_no_pixel_to_webp_and_may_go_on_with_png(changed):
    rows = rows_of(changed)
    ends = [Path(row["file"]).suffix for row in rows]
    assert ends == [".webp"] * 2 + [".png"]
    assert [Path(row["film"]).suffix for row in rows] == ends
    lying = {file.name for place in ("images", "references") for file in (changed / place).iterdir()}
    assert lying == {Path(row["file"]).name for row in rows}
    for row in rows:
        with Image.open(changed / row["file"]) as image:
            pixels = np.asarray(image.convert("RGB"))
        assert hashlib.blake2b(pixels.tobytes(), digest_size=8).hexdigest() == row["digest"]
        said = read_parameters(embedded_text(changed / row["file"]))
        assert (said.prompt, said.settings["Seed"]) == (row["prompt"], str(row["seed"]))
        assert embedded_text(changed / row["film"]) == embedded_text(changed / row["file"])


def test_small_pictures_keep_their_scores_when_all_are_scored_again(changed, tmp_path):
    shutil.copytree(changed, tmp_path / "copy")
    out = tmp_path / "copy"
    grey = np.full((16, 16, 3), 128, np.uint8)
    before = {row["file"]: row for row in rows_of(out)}
    for name in [name for name in before if name.startswith("images/t0000")]:
        (out / name).write_bytes(webp_bytes(grey, "a, Reduced from: 64x64"))
    notes = rescore(out, lambda _: lambda: None)
    assert notes == ["1 of 2 images are kept small and were not scored again: their scores stay."]
    assert {row["file"]: row for row in rows_of(out)} == before
