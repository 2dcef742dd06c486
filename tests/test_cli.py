"""The command line: what is wrong is said in one to four lines with exit code 2, and nothing is written."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

GOOD = """
name = "bad"
[models]
base  = "{toy}/base.safetensors"
other = "{toy}/burnt.safetensors"
[[merge]]
models = ["base", "other"]
ratio = {{ low = 0.0, high = 1.0, step = 0.5 }}
[render]
prediction_type = "v_prediction"
config = "{toy}/config"
width = 64
height = 64
steps = 2
[[prompt]]
text = "a circle"
"""


def gridsearch(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "gridsearch", *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )


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
    "SD 1.5": (("{toy}/burnt.safetensors", "sd15.safetensors"), "This is Stable Diffusion 1.5"),
    "truncated": (("{toy}/burnt.safetensors", "truncated.safetensors"), "truncated"),
    "not safetensors": (("{toy}/burnt.safetensors", "text.safetensors"), "not a safetensors file"),
    "pickle": (("{toy}/burnt.safetensors", "model.ckpt"), "pickle"),
    "unknown key": (("steps = 2", "stepps = 2"), "nearest known key is 'steps'"),
    "low over high": (("low = 0.0", "low = 3.0"), "low = 3 must be less than high = 1"),
    "no prompt": (('[[prompt]]\ntext = "a circle"', ""), "'prompt' is missing"),
    "parents disagree": (('prediction_type = "v_prediction"', ""), "must say how to draw"),
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
    assert 1 <= len(done.stderr.strip().splitlines()) <= 4
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(files.rglob("*")) == before


def test_debug_shows_the_traceback(files):
    done = gridsearch("--debug", "run", "gone.toml", cwd=files)
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("command", ["report", "compare", "score", "export"])
def test_a_folder_without_results_is_refused(tmp_path, command):
    (tmp_path / "empty").mkdir()
    arguments = ["-o", "x.safetensors"] if command == "export" else []
    done = gridsearch(command, "empty", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no results" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_every_command_has_help_with_an_example(tmp_path):
    for command in ("plan", "run", "report", "score", "compare", "merge", "export", "inspect"):
        done = gridsearch(command, "--help", cwd=tmp_path)
        assert done.returncode == 0
        assert "Example" in done.stdout, command
