"""A real terminal, by the system's own pseudo-terminals: what moves, what stays behind, what is not sent."""

import os
import re
import signal
import subprocess
import sys

import pytest

from tests.helpers.experiments import GOOD
from tests.helpers.terminal import Terminal

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
COLOUR = re.compile(r"\x1b\[[\d;]*(?:3|4|9)\d[\d;]*m")


@pytest.mark.night
def test_a_night_on_a_terminal(toy, tmp_path):
    """The view moves, the report is there after the first trial, Ctrl-C gives the cursor back."""
    night = GOOD.replace("step = 0.5", "step = 0.01") + "seeds = [1, 2, 3, 4, 5]"  # longer than a build takes
    night += '\n[search]\nsampler = "grid"'
    (tmp_path / "x.toml").write_text(night.format(toy=toy.resolve()))
    terminal = Terminal(tmp_path, "run", "x.toml", columns=100)
    terminal.read(until=lambda said: "trial    0" in said)
    report = tmp_path / "results" / "bad" / "report.html"
    terminal.read(until=lambda said: report.exists() and "images per minute" in said)
    live = report.read_text("utf-8")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ended() == 130
    assert "So far, with" in live
    assert "So far, with" in report.read_text("utf-8")
    said = terminal.said
    assert "step 2 of 2" in said
    assert "of 101" in said
    assert said.rfind(SHOW) > said.rfind(HIDE) > 0
    assert "run the same command again to continue" in said[said.rfind(SHOW) :]
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("env", "unwanted"),
    [
        ({"TERM": "dumb"}, re.compile("\x1b")),
        pytest.param({"NO_COLOR": "1"}, COLOUR, marks=pytest.mark.night),
    ],
)
def test_what_a_terminal_does_not_want_is_not_sent(toy, tmp_path, env, unwanted):
    model = toy.resolve() / "base.safetensors"
    terminal = Terminal(tmp_path, "inspect", model, model, columns=40, XDG_CACHE_HOME=str(tmp_path), **env)
    assert terminal.ended() == 0
    assert "side by side" in terminal.said
    assert not unwanted.search(terminal.said)


def test_a_file_is_no_terminal_whatever_is_forced(toy, tmp_path):
    command = [sys.executable, "-m", "gridsearch", "inspect", toy.resolve() / "base.safetensors"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "FORCE_COLOR": "1"}
    done = subprocess.run(
        command, env=env | {"XDG_CACHE_HOME": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True
    )
    assert "SHA-256" in done.stdout
    assert HIDE not in done.stdout
