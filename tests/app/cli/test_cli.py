"""The command line: what is wrong is said in one to four lines with exit code 2, and nothing is written."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.merge.export.source import open_merge
from tests.helpers.experiments import GOOD
from tests.helpers.program import gridsearch


@pytest.fixture
def files(tmp_path, toy):
    """Broken checkpoints, beside which the experiment stands."""
    head = (toy / "base.safetensors").read_bytes()
    (tmp_path / "truncated.safetensors").write_bytes(head[: len(head) // 2])
    (tmp_path / "text.safetensors").write_text("not a checkpoint")
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04.")
    save_file({"cond_stage_model.transformer.x": torch.ones(1)}, tmp_path / "sd15.safetensors")
    return tmp_path


WRONG = {
    "missing file": (("{toy}/burnt.safetensors", "gone.safetensors"), "There is no such checkpoint"),
    "SD 1.5": (
        ("{toy}/burnt.safetensors", "sd15.safetensors"),
        "is an incomplete Stable Diffusion 1.5",
    ),
    "truncated": (("{toy}/burnt.safetensors", "truncated.safetensors"), "truncated"),
    "not safetensors": (("{toy}/burnt.safetensors", "text.safetensors"), "not a safetensors file"),
    "pickle": (("{toy}/burnt.safetensors", "model.ckpt"), "pickle"),
    "unknown key": (("steps = 2", "stepps = 2"), "nearest known key is 'steps'"),
    "low over high": (("low = 0.0", "low = 3.0"), "low = 3 must be less than high = 1"),
    "no prompt": (('[[prompt]]\ntext = "a circle"', ""), "'prompt' is missing"),
    "parents disagree": (('prediction_type = "v_prediction"', ""), "must set how to render"),
    "a sampler that is none": (("steps = 2", 'steps = 2\nsampler = "DPM++ 3M"'), "'DPM++ 2M'"),
    "a layer that is not there": (("steps = 2", "steps = 2\nclip_skip = [2, 4]"), "has 2 layers"),
    "an adapter in a prompt": (('text = "a circle"', 'text = "a circle <lora:x:1>"'), "[adapters]"),
    "a value twice": (("{{ low = 0.0, high = 1.0, step = 0.5 }}", "[0.5, 0.5]"), "listed twice"),
    "too many values": (("step = 0.5", "step = 1e-9"), "1,000,000,001 values"),
    "no steps": (("steps = 2", "steps = 0"), "render.steps"),
    "no such config": (('{toy}/config"', 'nowhere"'), "config folder does not exist"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_bad_input(files, toy, case, command):
    (old, new), said = WRONG[case]
    assert old in GOOD
    (files / "bad.toml").write_text(GOOD.replace(old, new).format(toy=toy.resolve()))
    before = sorted(files.rglob("*"))
    done = gridsearch(command, "bad.toml", cwd=files)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    # without TOML to paste
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("    ")]
    assert 1 <= len(lines) <= 4
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(files.rglob("*")) == before


def test_a_merge_never_replaces_its_parents_and_needs_a_place(toy, tmp_path):
    shutil.copytree(toy, tmp_path / "toy", ignore=shutil.ignore_patterns("build"))
    (tmp_path / "x.toml").write_text(GOOD.format(toy=tmp_path / "toy"))
    before = (tmp_path / "toy" / "burnt.safetensors").read_bytes()
    for output, said in (
        ("toy/burnt.safetensors", "would replace a model"),
        ("nowhere/x.safetensors", "no such folder"),
        ("x.ckpt", "written as .safetensors"),
    ):
        done = gridsearch("merge", "x.toml", "--ratio", 0.5, "-o", output, cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    assert (tmp_path / "toy" / "burnt.safetensors").read_bytes() == before


def test_only_a_merge_of_the_same_experiment_is_replaced_without_force(toy, tmp_path):
    (tmp_path / "x.toml").write_text(GOOD.format(toy=toy))
    (tmp_path / "y.toml").write_text(GOOD.format(toy=toy).replace('"bad"', '"another"'))
    (tmp_path / "foreign.safetensors").write_bytes((toy / "vpred.safetensors").read_bytes())
    (tmp_path / "noted.merge.json").write_text('{"mine": true}')

    def merged(source, output, *more):
        return gridsearch("merge", f"{source}.toml", "--ratio", 0.5, "-o", output, *more, cwd=tmp_path)

    def digests():
        return {path.name: path.read_bytes() for path in tmp_path.glob("*.*") if path.suffix != ".toml"}

    assert merged("x", "m.safetensors").returncode == 0
    before = digests()
    for source, output in (("x", "foreign.safetensors"), ("x", "noted.safetensors"), ("y", "m.safetensors")):
        refused = merged(source, output)
        assert refused.returncode == 2
        assert "This file already exists" in refused.stderr
        assert "--force" in refused.stderr
    assert digests() == before
    assert merged("y", "m.safetensors", "--force").returncode == 0
    assert merged("y", "m.safetensors").returncode == 0
    assert digests().keys() == before.keys()
    assert merged("y", "foreign.safetensors", "--force").returncode == 0
    assert gridsearch("merge", "m.merge.json", "-o", "m.safetensors", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("flags", [[], ["nan"], ["x=0.5"], ["0.5", "0.6"], ["half"]])
def test_ratios_that_do_not_fit_are_refused(toy, tmp_path, flags):
    (tmp_path / "x.toml").write_text(GOOD.format(toy=toy.resolve()))
    ratios = [part for flag in flags for part in ("--ratio", flag)]
    done = gridsearch("merge", "x.toml", *ratios, "-o", "m.safetensors", cwd=tmp_path)
    assert done.returncode == 2
    assert "--ratio VALUE" in done.stderr
    assert not (tmp_path / "m.safetensors").exists()


def test_percent_are_not_taken_for_ratios_and_what_is_not_searched_is_told(toy, tmp_path):
    narrow = GOOD.replace("low = 0.0, high = 1.0", "low = 0.5, high = 1.0").format(toy=toy)
    (tmp_path / "x.toml").write_text(narrow)
    refused = gridsearch("merge", "x.toml", "--ratio", 47, "-o", "m.safetensors", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Did you mean 0.47?" in refused.stderr
    made = gridsearch("merge", "x.toml", "--ratio", 0.25, "-o", "m.safetensors", cwd=tmp_path)
    assert made.returncode == 0
    assert "ratio 0.25 lies outside of what is searched, 0.5 to 1." in made.stderr + made.stdout
    beyond = narrow.replace("[render]", "extrapolate = true\n[render]")
    (tmp_path / "x.toml").write_text(beyond)
    made = gridsearch("merge", "x.toml", "--ratio", 1.5, "-o", "m.safetensors", cwd=tmp_path)
    assert made.returncode == 0, made.stderr


def test_a_searched_prediction_type_must_be_said_for_a_merge(toy, tmp_path):
    both = GOOD.replace('prediction_type = "v_prediction"', 'prediction_type = ["epsilon", "v_prediction"]')
    (tmp_path / "x.toml").write_text(both.format(toy=toy.resolve()))
    arguments = ("merge", "x.toml", "--ratio", 0.5, "-o", "m.safetensors")
    assert "--prediction-type" in gridsearch(*arguments, cwd=tmp_path).stderr
    assert gridsearch(*arguments, "--prediction-type", "v_prediction", cwd=tmp_path).returncode == 0
    assert {"v_pred", "ztsnr"} <= load_file(tmp_path / "m.safetensors").keys()


def test_a_prediction_type_that_the_experiment_leaves_to_its_models_may_be_said(toy, tmp_path):
    left = GOOD.replace('prediction_type = "v_prediction"\n', "")
    (tmp_path / "x.toml").write_text(left.format(toy=toy.resolve()))
    for said in ("epsilon", "v_prediction"):
        assert open_merge(tmp_path / "x.toml", ["0.5"], said).prediction_type == said
    with pytest.raises(BadInput, match="epsilon, v_prediction, sample"):
        open_merge(tmp_path / "x.toml", ["0.5"], "v")


def test_debug_shows_the_traceback(files):
    command = [sys.executable, "-m", "gridsearch", "--debug", "run", "gone.toml"]
    assert "Traceback" in subprocess.run(command, cwd=files, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run x.toml --trails 5", "nearest is '--trials'"),
        ("merge a b --alpha 0.5 -o x", "There are --output, --ratio,"),
        ("run x.toml --hours -1", "--hours cannot be used: must be at least 0, not '-1'"),
        ("compare results --ratios 50%", "--ratios cannot be used: give a number, not '50%'"),
        ("export results", "`gridsearch export --help`"),
        ("rum x.toml", "Did you mean 'run'?"),
    ],
)
def test_a_slip_on_the_command_line_is_told_in_four_lines_of_our_own(files, arguments, said):
    done = gridsearch(*arguments.split(), cwd=files)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert 2 <= len(done.stderr.strip().splitlines()) <= 4
    assert not re.search("Input should|Usage", done.stderr)


def test_ctrl_c_has_one_exit_code_whatever_is_stopped(files, toy, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    (files / "good.toml").write_text(GOOD.format(toy=toy.resolve()))
    monkeypatch.setattr("gridsearch.checkpoint.inspect.open_any", stopped)
    monkeypatch.setattr("gridsearch.experiment.experiment.load_experiment", stopped)
    for arguments in (["inspect", "x.safetensors"], ["plan", "good.toml"], ["run", "good.toml"]):
        done = gridsearch(*arguments, cwd=files)
        assert (done.returncode, done.stdout, done.stderr) == (130, "Stopped.\n", "")


@pytest.mark.parametrize("command", ["report", "compare", "score", "export"])
def test_a_folder_without_results_is_refused(tmp_path, command):
    (tmp_path / "empty").mkdir()
    arguments = ["-o", "x.safetensors"] if command == "export" else []
    done = gridsearch(command, "empty", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no results" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    if command == "export":
        (tmp_path / "runs" / "night").mkdir(parents=True)
        (tmp_path / "runs" / "night" / "study.db").touch()
        (tmp_path / "night.toml").touch()
        for place, said in (
            ("runs", f"Name one of the runs in it: {Path('runs', 'night')}."),
            ("night.toml", "This is a file, not a results folder."),
            ("empyt", "There is no such folder."),
        ):
            assert said in gridsearch("export", place, *arguments, cwd=tmp_path).stderr


def test_a_bad_file_among_several_is_a_row_and_the_exit_code(tmp_path):
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    done = gridsearch("score", "bad.png", "good.png", "--csv", "scores.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "1 of 2 files could not be scored" in done.stderr
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [(row["image"], row["verdict"]) for row in rows] == [("bad.png", "error"), ("good.png", "blank")]
    assert rows[0]["reason"] in " ".join(done.stdout.split())
