"""What a notebook sees of a run: tables, figures, pictures, and a piece of a page."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridsearch import load, run
from gridsearch.app.notebook import Run
from gridsearch.base.errors import BadInput, Busy, RunFailed
from gridsearch.report.build import build
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results
from tests.helpers.made_up import make_results
from tests.helpers.small_run import settings
from tests.helpers.stored import stored_run

HOSTILE = "</td><script>alert(1)</script> <img src=x onerror=alert(1)> \"quoted\" 'and' {{ 7 * 7 }}"


class Seen(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = stored_run(tmp_path_factory.mktemp("stored"), prompts=(HOSTILE, "a dog"))
    build(load_results(folder))
    return load(folder)


def test_importing_the_package_imports_nothing():
    code = "import sys, gridsearch; print(*{'numpy', 'pandas', 'optuna', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_it_says_what_the_files_say(stored):
    assert stored.best == json.loads((stored.folder / "best.json").read_text("utf-8"))
    assert stored.sentence == stored.best["sentence"]
    assert stored.trials["ratio"].tolist() == [0.5, 0.0, 1.0, 0.25, 0.75]
    assert len(stored.images) == 20
    assert all(path.is_absolute() and path.is_file() for path in stored.images["path"])
    trials = stored.trials
    trials["ratio"] = 0.0  # of a copy: the run stays as it is
    assert stored.trials["ratio"].nunique() == 5


def test_a_path_that_leads_out_of_the_folder_is_none(tmp_path):
    results = make_results(tmp_path, ratios=(0.4, 0.5, 0.6), prompts=("a",), seeds=(1,))
    results.images["file"] = ["../../etc/passwd", "/etc/passwd", "images/0002_p1_1.png"]
    seen = Run(results, analyse(results))
    assert seen.images["path"].tolist()[:2] == [None, None]
    with pytest.raises(BadInput, match="leads out of the results folder"):
        seen.image(ratio=0.4)


def test_figures_are_those_of_the_report(stored):
    ok = next(bars for bars in stored.plot().data if bars.name == "ok")
    images = stored.images.assign(ok=stored.images["verdict"] == "ok")
    np.testing.assert_allclose(ok.y, images.groupby("ratio")["ok"].mean())
    np.testing.assert_allclose(stored.plot("survived").data[0].y, ok.y)
    assert stored.plot("blur").data[0].x == (0, 0.25, 0.5, 0.75, 1)
    with pytest.raises(BadInput, match="nearest is 'survived'"):
        stored.plot("surviving")


def test_pictures_are_found_by_ratio_prompt_seed_and_trial(stored):
    def same(image, name):
        return np.array_equal(np.asarray(image), np.asarray(Image.open(stored.folder / name).convert("RGB")))

    assert same(stored.image(ratio=0.0, prompt="dog", seed=12), "images/t0001_p2_12.png")
    with pytest.warns(UserWarning, match=r"No image is rendered at 0\.01; the nearest, 0\.00, is shown"):
        assert same(stored.image(ratio=0.01, prompt="dog", seed=12), "images/t0001_p2_12.png")
    assert same(stored.image(trial=4), "images/t0004_p1_11.png")
    best = stored.best["trial"]
    assert same(stored.image(), f"images/t{best:04}_p1_11.png")
    for wrong in ({"ratio": 0.4}, {"prompt": "horse"}, {"seed": 13}, {"trial": 5}):
        with pytest.raises(BadInput):
            stored.image(**wrong)
    assert stored.sheet(ratios=[0.5]).width < stored.sheet().width


def test_the_piece_of_a_page_holds_pictures_and_no_script(stored):
    page = stored._repr_html_()
    seen = Seen(page)
    tags = [tag for tag, _ in seen.elements]
    assert not {"script", "style", "link", "iframe"} & set(tags)
    pictures = [attributes for tag, attributes in seen.elements if tag == "img"]
    assert len(pictures) == 5
    assert all(picture["src"].startswith("data:image/webp;base64,") for picture in pictures)
    assert not any(name.startswith("on") for _, attributes in seen.elements for name in attributes)
    assert "<script>alert(1)</script>" in seen.text  # as text
    assert stored.sentence in seen.text
    assert len(page) < 50_000


def test_a_run_that_has_only_begun_says_so(tmp_path):
    results = make_results(tmp_path, ratios=(0.4, 0.6), prompts=("a",), seeds=(1,), done=1)
    begun = Run(results, analyse(results))
    assert "1 of 2 trials" in begun._repr_html_()
    with pytest.raises(BadInput, match="no curve"):
        begun.plot()
    with pytest.raises(BadInput, match="holds no results"):
        load(tmp_path)


def test_a_wrong_dict_and_a_wrong_type_of_day_are_named(toy, tmp_path):
    with pytest.raises(BadInput, match="nearest known key is 'prompt'"):
        run(settings(toy) | {"promt": []}, out=tmp_path / "a")
    with pytest.raises(BadInput, match="not a time of day"):
        run(settings(toy), out=tmp_path / "a", until="7 h")
    assert not (tmp_path / "a").exists()


def test_a_dict_is_run_in_silence_and_exported(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    merge = [{"models": ["base", "burnt"], "ratio": [0.45, 0.5]}]
    small = settings(toy.resolve(), merge=merge, prompt=[{"text": "a circle", "seeds": [101]}])
    found = run(small, progress=False)
    assert capsys.readouterr().out == ""
    assert found.folder == Path("results/small")
    assert set(found.trials["ratio"]) == {0.45, 0.5}
    assert found.best["finished"]
    assert all((found.folder / name).is_file() for name in ("trials.csv", "best.json", "report.html"))
    assert found.export("best.safetensors").stat().st_size > 1_000_000
    assert Path("best.merge.json").is_file()


@pytest.mark.parametrize(("ends_with", "writes"), [(RunFailed, True), (Busy, False), (BadInput, False)])
def test_a_run_that_ends_badly_says_why_and_one_that_did_not_start_writes_nothing(
    toy, tmp_path, monkeypatch, ends_with, writes
):
    stored_run(tmp_path)

    def ended(*_):
        raise ends_with("So it ended.")

    def unwritable(*_):
        raise OSError("no space left")

    monkeypatch.setattr("gridsearch.search.run.run_experiment", ended)
    monkeypatch.setattr("gridsearch.report.build.build", unwritable)
    with pytest.raises(ends_with, match="So it ended") as caught:
        run(settings(toy), out=tmp_path, progress=False)
    assert ["no space left" in note for note in getattr(caught.value, "__notes__", [])] == [True] * writes
