"""The program where the machine allows too little: what, where, how to mend it, and no traceback."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers.stored import stored_run
from tests.search.workers.night import write_experiment

NOBODY = 65534


def ended_with_words(command: list, what: str) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    said = done.stderr[done.stderr.rfind("error: ") :].splitlines()
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert what in said[0]
    assert [line.split(":")[0].strip() for line in said] == ["error", "where", "why", "fix"]


def program(*arguments: object) -> list:
    return [sys.executable, "-P", "-m", "gridsearch", *arguments]


@pytest.mark.night
@pytest.mark.parametrize(
    ("limit", "what"),
    [
        ("-n 10", "Too few files may be open."),
        ("-v 600000", "may address too little memory"),
        ("-f 1", "A file has reached the size"),
        ("-f 100", "A file has reached the size"),
    ],
)
def test_a_limit_of_the_shell(toy, tmp_path, limit, what):
    run = program("run", write_experiment(toy, tmp_path), "--out", tmp_path / "out")
    ended_with_words(["bash", "-c", f'ulimit {limit} && exec "$@"', "bash", *run], what)


@pytest.mark.night
@pytest.mark.parametrize("command", ["run", "score", "report"])
def test_a_folder_of_another_user(toy, tmp_path, command):
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("another user's folder is made, and rights are given up, by root with setpriv")
    out = stored_run(tmp_path / "out")
    out.chmod(0o755)
    for path in [out, *out.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    given: list[object] = (
        [out] if command != "run" else [write_experiment(toy, tmp_path), "--out", out / "new"]
    )
    powerless = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
    ended_with_words([*powerless, *program(command, *given)], "right")
