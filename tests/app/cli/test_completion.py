"""Typer's shell completion: commands by name, and files by the shell itself."""

import os
import subprocess
import sys
from unittest.mock import patch

import shellingham

from tests.helpers.program import gridsearch


def words(shell: str, line: str, **more: str) -> dict[str, str]:
    """What a shell whose line is this tells the program, cut off where the cursor stands."""
    cut = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)} if shell == "bash" else {}
    return cut | {"_TYPER_COMPLETE_ARGS": line, "_GRIDSEARCH_COMPLETE": f"complete_{shell}"} | more


def asked(shell: str, line: str, **more: str) -> list[str]:
    """What the program answers."""
    with patch.dict(os.environ, words(shell, line, **more)):
        done = gridsearch()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip().splitlines()


def test_a_process_of_its_own_answers():
    told = {"PYTHONPATH": os.pathsep.join(sys.path)} | words("bash", "gridsearch expo")
    command = [sys.executable, "-m", "gridsearch"]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["export"], "")


def test_bash_zsh_and_fish_are_answered():
    assert asked("bash", "gridsearch expo") == ["export"]
    assert '"export"' in asked("zsh", "gridsearch expo")[0]
    (export,) = asked("fish", "gridsearch expo", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert export.startswith("export\t")


def test_files_are_left_to_the_shell():
    """With no answer bash and zsh offer files."""
    for line in ("gridsearch run experiments/t", "gridsearch export results/toy -o b"):
        assert asked("bash", line) == []
        assert asked("zsh", line) == ["_files"]


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import sys, gridsearch.app.cli; "
        "print(*({'torch', 'optuna', 'pandas', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_it_can_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))  # none runs the tests
    assert gridsearch("--install-completion", cwd=tmp_path).returncode == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert script.name == "gridsearch.sh"
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text()
