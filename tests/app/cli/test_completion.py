"""What a Tab offers: as the shells ask for it, at once, and never an error."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import shellingham
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from gridsearch.app.cli import completion
from gridsearch.results import store
from tests.helpers.experiments import GOOD
from tests.helpers.program import gridsearch


@pytest.fixture
def place(tmp_path, monkeypatch, toy):
    """A folder as a user has it: two experiments, other files, a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    for name in ("toy.toml", "my merge.toml", "notes.txt", ".hidden.toml"):
        (tmp_path / "experiments" / name).write_text(GOOD.format(toy=toy.resolve()))
    (tmp_path / "results" / "empty").mkdir(parents=True)
    searched = {"ratio": FloatDistribution(0, 1), "render.rng": CategoricalDistribution(("cpu", "gpu"))}
    trials = [
        create_trial(value=1.0, params={"ratio": ratio, "render.rng": "gpu"}, distributions=searched)
        for ratio in (0.25, 0.5)
    ]
    facts = store.Facts({"search": {}, "score": {}}, {}, {}, None, 2, {}, "x.toml")
    store.write_study(tmp_path / "results" / "toy", facts, trials)
    return tmp_path


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


def test_bash_zsh_and_fish_are_answered(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    assert asked("bash", "gridsearch ex") == ["export"]
    trials = asked("zsh", "gridsearch export results/toy --trial ")
    assert ['"0":"ratio 0.25"' in trials[0], '"1":"ratio 0.5"' in trials[1]] == [True, True]
    assert asked("fish", "gridsearch run experiments/t", _TYPER_COMPLETE_FISH_ACTION="get-args") == [
        "experiments/toy.toml"
    ]


def test_nothing_heavy_is_imported_for_it():
    code = (
        "import sys, gridsearch.app.cli; "
        "print(*({'torch', 'optuna', 'pandas', 'numpy', 'pydantic', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_arguments_are_offered_what_fits_them(place):
    assert completion.experiments("") == ["experiments/", "results/"]
    assert completion.experiments("exp") == ["experiments/my merge.toml", "experiments/toy.toml"]
    assert completion.results_folders("") == completion.results_folders("results/t") == ["results/toy"]
    assert completion.results_folders("exp") == ["experiments/"]
    assert completion.folders("nowhere/") == []
    line = SimpleNamespace(params={"folder": "results/toy", "source": "experiments/toy.toml"}, args=[])
    assert completion.trials(line, "1") == [("1", "ratio 0.5")]
    assert completion.ratios(line, "") == ["merged="]


@pytest.mark.parametrize("before", ["", "./", "../{here}/", "~/", "{home}/", "results/../"])
def test_folders_are_offered_as_they_were_typed(place, monkeypatch, before):
    monkeypatch.setenv("HOME", str(place))
    before = before.format(here=place.name, home=place)
    assert completion.experiments(before) == [f"{before}experiments/", f"{before}results/"]
    assert completion.experiments(f"{before}experiments/t") == [f"{before}experiments/toy.toml"]
    assert completion.folders(f"{before}exp") == [f"{before}experiments/"]
    assert completion.results_folders(before) == [f"{before}results/toy"]
    assert completion.results_folders(f"{before}results/t") == [f"{before}results/toy"]
    line = SimpleNamespace(
        params={"folder": f"{before}results/toy", "source": f"{before}experiments/toy.toml"}, args=[]
    )
    assert [number for number, _ in completion.trials(line, "")] == ["0", "1"]
    assert completion.ratios(line, "") == ["merged="]


@pytest.mark.parametrize("word", ["results/gone", "results/empty", "experiments/notes.txt", "\0", ""])
def test_a_tab_never_raises(place, word):
    (place / "results" / "empty" / "study.db").write_text("no database")
    (place / "experiments" / "notes.txt").write_text("merge = 3")
    line = SimpleNamespace(params={}, args=[word] if word else [])
    assert completion.trials(line, "") == []
    assert completion.folders(f"~nobody/{word}/") == completion.results_folders(f"{word}/\0/") == []
    assert completion.ratios(line, "") == []


def test_it_can_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("bash", "/bin/bash"))  # none runs the tests
    assert gridsearch("--install-completion", cwd=tmp_path).returncode == 0
    (script,) = (tmp_path / ".bash_completions").iterdir()
    assert script.name == "gridsearch.sh"
    assert f"source '{script}'" in (tmp_path / ".bashrc").read_text()
