"""The main job end to end, on the trained toy checkpoints."""

import contextlib
import random
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.experiment.prompts import cases_of
from gridsearch.merge.parents import open_parents
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.report.build import build
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.rescore import rescore
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import sampling_of
from tests.helpers import warm
from tests.helpers.small_run import FILE, TIMES, Quiet, experiment, gridsearch, settings


@pytest.fixture(scope="module")
def finished(toy, tmp_path_factory):
    """The folder of a finished run, with its tables."""
    out = tmp_path_factory.mktemp("run") / "small"
    run_experiment(experiment(toy), FILE, out, Budget(), Quiet())
    build(load_results(out))
    return out


def test_the_results_folder_holds_what_is_promised(finished):
    names = ("study.db", "trials.csv", "images.csv", "best.json", "sheet.png", "report.html")
    assert all((finished / name).is_file() for name in names)
    trials, images = pd.read_csv(finished / "trials.csv"), pd.read_csv(finished / "images.csv")
    assert trials["ratio"].tolist() == [0.0, 1.0, 0.5, 0.25, 0.75]
    assert (trials["state"] == "COMPLETE").all()
    searched = images[images["role"] == "search"]
    assert len(searched) == 15
    assert set(searched["file"]) == {f"images/{path.name}" for path in (finished / "images").iterdir()}
    repeated = images.loc[images["role"] == "repeat", "file"]
    assert set(repeated) == {f"checks/{path.name}" for path in (finished / "checks").iterdir()}
    assert len(repeated) == 3
    assert len(list((finished / "references").iterdir())) == 3
    assert not list(finished.rglob("*.part"))


def test_study_db_alone_holds_every_trial_that_has_ended(toy, tmp_path):
    class Copying(Quiet):
        """Copies the file, without its log, whenever a trial has ended."""

        def __init__(self):
            self.found = []

        def trial(self, told):
            copy = tmp_path / f"copy{told.number}"
            copy.mkdir()
            shutil.copy(tmp_path / "run" / "study.db", copy)
            self.found.append(load_results(copy).trials["state"].eq("COMPLETE").sum())

    what, listener = experiment(toy, prompt=[{"text": "a circle", "seeds": [1]}]), Copying()
    run_experiment(what, FILE, tmp_path / "run", Budget(trials=3), listener)
    assert listener.found == [1, 2, 3]


def test_survived_and_defect_are_those_of_the_images(finished):
    trials, images = pd.read_csv(finished / "trials.csv"), pd.read_csv(finished / "images.csv")
    for row in trials.itertuples():
        own = images[(images["trial"] == row.trial) & (images["role"] == "search")]
        assert row.survived == pytest.approx((own["verdict"] == "ok").mean())
        assert row.defect == pytest.approx(own["defect"].mean())


def test_an_image_says_how_it_was_drawn(finished):
    text = Image.open(finished / "images" / "t0003_p2_s1.png").text["parameters"]
    assert text.splitlines()[0] == "a star"
    for part in (
        "Steps: 2",
        "Sampler: Euler",
        "CFG scale: 5",
        "Seed: 1",
        "Size: 64x64",
        "0.75 base + 0.25 burnt",
    ):
        assert part in text


def drawn_fresh(path: Path, toy: Path, what) -> dict[str, np.ndarray]:
    """What a checkpoint draws when nothing but it is loaded."""
    renderer = load_renderer(path, toy / "config", None, placement("cpu", "float32"))
    sampling = sampling_of(what.at({"ratio": 0.0}).render, open_parents(what))
    return {d.case.id: d.pixels for d in draw(renderer, cases_of(what.prompt), sampling, what.render.batch)}


def stored(out: Path, trial: int) -> dict[str, np.ndarray]:
    files = sorted((out / "images").glob(f"t{trial:04}_*.png"))
    return {file.stem.split("_", 1)[1]: np.asarray(Image.open(file)) for file in files}


def assert_same_images(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert np.array_equal(first[name], second[name]), name


@pytest.mark.parametrize(("trial", "parent"), [(0, "base"), (1, "burnt")])
def test_the_ends_are_the_parents_bit_for_bit(finished, toy, trial, parent):
    assert_same_images(
        stored(finished, trial), drawn_fresh(toy / f"{parent}.safetensors", toy, experiment(toy))
    )


def test_an_exported_merge_loaded_fresh_draws_the_same_bit_for_bit(finished, toy, tmp_path):
    gridsearch("export", finished, "--trial", 3, "-o", tmp_path / "m.safetensors")
    assert_same_images(stored(finished, 3), drawn_fresh(tmp_path / "m.safetensors", toy, experiment(toy)))


def test_merge_writes_the_same_file_as_export(finished, toy, tmp_path):
    (tmp_path / "x.toml").write_text(
        f"""name = "small"
        models = {{ base = "{toy}/base.safetensors", burnt = "{toy}/burnt.safetensors" }}
        merge = [{{ models = ["base", "burnt"], ratio = [0.25, 0.5] }}]
        render = {{ prediction_type = "v_prediction" }}
        prompt = [{{ text = "x" }}]"""
    )
    gridsearch("merge", tmp_path / "x.toml", "--ratio", 0.25, "-o", tmp_path / "m.safetensors")
    gridsearch("export", finished, "--trial", 3, "-o", tmp_path / "e.safetensors")
    merged, exported = load_file(tmp_path / "m.safetensors"), load_file(tmp_path / "e.safetensors")
    assert merged.keys() == exported.keys()
    assert all(torch.equal(merged[key], exported[key]) for key in merged)
    assert {"v_pred", "ztsnr"} <= merged.keys()


def test_inspect_says_what_a_model_predicts_and_where_that_was_read(toy):
    said = gridsearch("inspect", toy / "base.safetensors", toy / "vpred.safetensors").stdout
    assert "epsilon (modelspec.prediction_type)" in said
    assert "v_prediction (marker key v_pred)" in said
    assert "yes (marker key ztsnr)" in said


def test_compare_shows_the_chosen_ratios_and_prompts(finished, tmp_path):
    for name, chosen in (("all", []), ("few", ["--ratios", 0.5, "--ratios", 1, "--prompts", "star"])):
        gridsearch("compare", finished, *chosen, "-o", tmp_path / f"{name}.png")
    everything, few = (Image.open(tmp_path / f"{name}.png") for name in ("all", "few"))
    assert few.width < everything.width
    assert few.height < everything.height


def test_scoring_again_changes_nothing_where_nothing_has_changed(finished, tmp_path):
    before = pd.read_csv(finished / "trials.csv")
    gridsearch("score", finished)
    pd.testing.assert_frame_equal(pd.read_csv(finished / "trials.csv"), before)


def test_scoring_again_follows_the_images(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    for file in (copy / "images").glob("t0002_*.png"):
        Image.new("RGB", (64, 64), (128, 128, 128)).save(file)
    gridsearch("score", copy)
    results = load_results(copy)
    grey = results.images[results.images["trial"] == 2]
    assert set(grey["verdict"]) == {"blank"}
    assert results.trials.set_index("trial").loc[2, "survived"] == 0
    assert pd.isna(grey["blur"]).all()


def test_a_changed_model_prompt_or_setting_is_refused_and_a_grown_range_is_not(finished, toy, tmp_path):
    weights = load_file(toy / "burnt.safetensors")
    weights["model.diffusion_model.out.2.bias"] += 1
    save_file(weights, tmp_path / "burnt.safetensors")
    models = {"base": str(toy / "base.safetensors"), "burnt": str(tmp_path / "burnt.safetensors")}
    render = settings(toy)["render"]
    for changes, said in (
        ({"models": models}, "model burnt"),
        ({"prompt": [{"text": "a ring"}]}, "the prompts"),
        ({"render": render | {"cfg": 2.0}}, "render.cfg (5.0 then, 2.0 now)"),
    ):
        with pytest.raises(BadInput) as caught:
            run_experiment(experiment(toy, **changes), FILE, finished, Budget(), Quiet())
        assert said in str(caught.value)


@pytest.mark.night
def test_a_score_between_a_kill_and_the_references_does_not_lose_them(toy, tmp_path):
    class Killed(Quiet):
        def reference(self, _):
            raise KeyboardInterrupt

    one = experiment(toy, prompt=[{"text": "a circle", "seeds": [1]}])
    with pytest.raises(KeyboardInterrupt):
        run_experiment(one, FILE, tmp_path / "x", Budget(), Killed())
    rescore(tmp_path / "x", lambda _: lambda: None)
    run_experiment(one, FILE, tmp_path / "x", Budget(trials=1), Quiet())
    assert len(load_results(tmp_path / "x").references) == 1


def test_a_study_that_another_program_reads_is_not_replaced_under_it(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "study.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM trials").fetchone()
        with pytest.raises(RunFailed, match="has the study open"):
            rescore(tmp_path / "copy", lambda _: lambda: None)
    before = load_results(finished).trials
    pd.testing.assert_frame_equal(load_results(tmp_path / "copy").trials, before)
    rescore(tmp_path / "copy", lambda _: lambda: None)
    pd.testing.assert_frame_equal(load_results(tmp_path / "copy").trials, before)


@pytest.mark.long
@pytest.mark.night
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(toy, tmp_path):
    (tmp_path / "x.toml").write_text(
        f"""name = "small"
        models = {{ base = "{toy}/base.safetensors", burnt = "{toy}/burnt.safetensors" }}
        merge = [{{ models = ["base", "burnt"], ratio = {{ low = 0.0, high = 1.0, step = 0.01 }} }}]
        search = {{ sampler = "grid" }}
        prompt = [{{ text = "a circle", seeds = [1, 2] }}]
        [render]
        prediction_type = "v_prediction"
        config = "{toy}/config"
        width = 64
        height = 64
        steps = 8"""
    )
    with (
        (tmp_path / "errors").open("wb") as errors,
        warm.program("run", "x.toml", cwd=tmp_path, streams={2: errors.fileno()}) as process,
    ):
        assert any(line.startswith("trial    2") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()
    assert process.returncode == 130
    assert (tmp_path / "errors").read_text() == ""
    assert "So far" in said
    assert "run the same command again to continue" in said.splitlines()[-1]
    trials = pd.read_csv(tmp_path / "results" / "small" / "trials.csv")
    assert (trials["state"][:3] == "COMPLETE").all()
    assert (trials["state"][-50:] == "WAITING").all()


class Counting(Quiet):
    """A line for each image, so that a kill lands in the work wherever it is told to."""

    def reference(self, _):
        print("reference", flush=True)

    def image(self, *_):
        print("image", flush=True)


def run_counting(toy, out):
    run_experiment(experiment(toy), FILE, out, Budget(), Counting())


@pytest.mark.long
@pytest.mark.night
def test_a_run_killed_at_random_moments_ends_like_an_unbroken_one(finished, toy, tmp_path):
    out, moments = tmp_path / "out", random.Random(0)
    for _ in range(3):
        with warm.Process(run_counting, toy, out) as process:
            for _ in range(moments.randint(1, 5)):
                assert process.stdout.readline()
            time.sleep(moments.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    run_experiment(experiment(toy), FILE, out, Budget(), Quiet())
    broken, unbroken = load_results(out), load_results(finished)
    pd.testing.assert_frame_equal(broken.trials.drop(columns=TIMES), unbroken.trials.drop(columns=TIMES))
    pd.testing.assert_frame_equal(
        broken.images.drop(columns="seconds"), unbroken.images.drop(columns="seconds")
    )
    for file in unbroken.images["file"]:
        assert (out / file).read_bytes() == (finished / file).read_bytes()
    assert not list(out.rglob("*.part"))
