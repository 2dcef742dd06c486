"""From two files to a merge: an experiment is written for them, and each command names the next."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file

from gridsearch.app.cli.app import say_place
from gridsearch.experiment.experiment import load_experiment
from gridsearch.search.draft_text import USUAL_PROMPTS
from tests.helpers.program import gridsearch
from tests.helpers.terminal import Terminal

MODELS = ("base.safetensors", "burnt.safetensors")
CODES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@pytest.fixture
def here(toy, tmp_path):
    """A folder with two files, and the configs that they need, being smaller than SDXL."""
    for name in (*MODELS, "config"):
        (tmp_path / name).symlink_to(toy / name)
    return tmp_path


def test_an_experiment_is_written_once_and_says_what_was_read_of_its_models(here):
    done = gridsearch("init", *MODELS, cwd=here)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("  gridsearch plan base-burnt.toml\n  gridsearch run base-burnt.toml\n")
    text = (here / "base-burnt.toml").read_text("utf-8")
    assert 'burnt = "burnt.safetensors"   # 7.9 MB, F16, predicts v_prediction, zero terminal SNR' in text
    made = load_experiment(here / "base-burnt.toml")
    assert [prompt.text for prompt in made.prompt] == list(USUAL_PROMPTS.values())
    render = made.render
    assert (render.prediction_type, render.zero_terminal_snr, render.width) == ("v_prediction", True, 64)
    refused = gridsearch("init", *MODELS, cwd=here)
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert (here / "base-burnt.toml").read_text("utf-8") == text
    assert gridsearch("init", *MODELS, "--force", "--prediction-type", "both", cwd=here).returncode == 0
    assert load_experiment(here / "base-burnt.toml").render.prediction_type == ("v_prediction", "epsilon")


def test_the_same_file_twice_is_no_merge(here, toy):
    (here / "copy.safetensors").write_bytes((toy / MODELS[0]).read_bytes())
    for other in (MODELS[0], "copy.safetensors"):
        refused = gridsearch("init", MODELS[0], other, "-o", "twice.toml", cwd=here)
        assert refused.returncode == 2
        assert "hold the same bytes" in refused.stderr
    assert gridsearch("init", *MODELS, "-o", "good.toml", cwd=here).returncode == 0
    text = (here / "good.toml").read_text("utf-8")
    (here / "good.toml").write_text(text.replace(f'"{MODELS[1]}"', '"copy.safetensors"'), "utf-8")
    planned = gridsearch("plan", "good.toml", cwd=here)
    assert "base and burnt hold the same bytes" in " ".join(planned.stdout.split())


def test_a_picture_gives_its_prompt_and_settings_and_a_third_model_a_step(here, toy):
    (here / "sub").mkdir()
    (here / "third one.safetensors").symlink_to(toy / "vpred.safetensors")
    said = PngInfo()
    said.add_text(
        "parameters", "a star\nSteps: 9, Sampler: DPM++ 2M Karras, CFG scale: 3.5, Seed: 7, Size: 72x64"
    )
    Image.new("RGB", (72, 64)).save(here / "x.png", pnginfo=said)
    models = (*MODELS, "third one.safetensors")
    done = gridsearch("init", *models, "--prompts", "x.png", "-o", "sub/three.toml", cwd=here)
    assert done.returncode == 0, done.stderr
    made = load_experiment(here / "sub" / "three.toml")
    (prompt,) = made.prompt
    assert (prompt.text, prompt.seeds, made.render.cfg) == ("a star", (7,), 3.5)
    assert (made.render.steps, made.render.width, made.render.sampler) == (9, 72, "dpmpp_2m_karras")
    assert made.searched().keys() == {"merged-1.ratio", "merged.ratio"}
    done = gridsearch("init", *models, "--one-of", "-o", "one.toml", cwd=here)
    assert done.returncode == 0, done.stderr
    assert load_experiment(here / "one.toml").merge[0].candidates()[1] == ("burnt", "third-one")


def test_two_models_are_merged_without_any_experiment(here):
    output = ("-o", "c.safetensors")
    for options, said in (
        (["--ratio", 0.5], "--prediction-type"),  # the models predict different things
        (["--ratio", 47], "Did you mean 0.47?"),
        ([], "--ratio 0.5"),
        (["--ratio", 0.5, "--prediction-type", "v"], "'v_prediction'"),
    ):
        done = gridsearch("merge", *MODELS, *options, *output, cwd=here)
        assert done.returncode == 2
        assert said in done.stderr
    mode = ("--prediction-type", "v_prediction")
    done = gridsearch("merge", *MODELS, "--ratio", 0.5, *mode, *output, cwd=here)
    assert done.returncode == 0, done.stderr
    a, b, made = (load_file(here / name) for name in (*MODELS, "c.safetensors"))
    key = max(made, key=lambda key: (made[key] - a[key]).abs().sum() if key in a else -1)
    assert not made[key].equal(a[key])
    assert made[key].equal(a[key].lerp(b[key], 0.5))
    again = ("merge", "c.safetensors", "--model=base=base.safetensors", "--model=burnt=burnt.safetensors")
    assert gridsearch(*again, "-o", "d.safetensors", cwd=here).returncode == 0
    assert (here / "d.safetensors").read_bytes() == (here / "c.safetensors").read_bytes()


@pytest.mark.night
def test_from_two_files_to_a_merge_each_command_as_the_one_before_printed_it(here):
    """In a terminal of 80 columns; the questions are answered with Enter."""
    typed = ["init", *MODELS]
    for following in ("run", "export", None):
        terminal = Terminal(here, *typed)
        if typed[0] == "init":
            for question in ("or both [v_prediction]: ", "usual ones): "):
                terminal.read(until=lambda said, q=question: said.endswith(q))
                terminal.type("\n")
        terminal.read(seconds=600)
        assert terminal.ended() == 0, terminal.said[-2000:]
        said = CODES.sub("", terminal.said)
        if following:
            typed = shlex.split(re.findall(rf"gridsearch ({following} .*\S)", said)[-1])
        if typed[0] == "run":  # fewer images: what is drawn is not what is tested
            text = (here / typed[1]).read_text("utf-8")
            small = re.sub(r"steps( *)= 20", r"steps\1= 2", text.replace("step = 0.01", "step = 0.25"))
            (here / typed[1]).write_text(re.sub(r"\[(\d+), \d+\]", r"[\1]", small), "utf-8")
    assert (here / typed[-1]).stat().st_size > 5_000_000
    kept = here / "results" / "base-burnt" / "experiment.toml"
    assert kept.read_bytes() == (here / "base-burnt.toml").read_bytes()
    code = (
        "import sys; from gridsearch.app.cli import main\n"
        "sys.argv = ['gridsearch', 'run', 'base-burnt.toml']\n"
        "try: main()\nexcept SystemExit: print('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    again = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert again.stdout.startswith("This run is finished: nothing is left to render.\n")
    assert "gridsearch export results/base-burnt" in again.stdout
    assert again.stdout.endswith("False\n")  # what takes seconds to import is not needed to say so


def test_results_that_do_not_lie_beside_their_experiment_are_said_to(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    say_place(Path("night.toml"), Path("results/night"), None)
    say_place(Path("sub/night.toml"), Path("results/night"), Path("results/night"))
    assert capsys.readouterr().out == ""
    say_place(Path("sub/night.toml"), Path("results/night"), None)
    assert f"The results go to {here / 'results' / 'night'}" in capsys.readouterr().out.replace("\n", "")
