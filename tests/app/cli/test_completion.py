"""Typer's shell completion: commands by name, and files by the shell itself."""

import os
import subprocess
import sys

import shellingham

from tests.helpers.program import gridsearch


def asked(shell: str, line: str, **more) -> list[str]:
    """What the program answers a shell whose line is this, cut off where the cursor stands."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)} if shell == "bash" else {}
    env = (
        os.environ
        | words
        | {"_TYPER_COMPLETE_ARGS": line, "_GRIDSEARCH_COMPLETE": f"complete_{shell}"}
        | more
    )
    done = subprocess.run(
        [sys.executable, "-m", "gridsearch"], env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.strip().splitlines()


def test_bash_zsh_and_fish_are_answered(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert asked("bash", "gridsearch exp") == ["export"]
    assert '"export"' in asked("zsh", "gridsearch exp")[0]
    (export,) = asked("fish", "gridsearch exp", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert export.startswith("export\t")


def test_files_are_left_to_the_shell(monkeypatch):
    """With no answer bash and zsh offer files."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
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
