"""A copy of the package in which some files are edited, as by somebody who adds a column or a metric."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gridsearch

PACKAGE = Path(gridsearch.__file__).parent


def edited_package(folder: Path, edits: Sequence[tuple[str, str, str]]) -> Path:
    """Copy the package into `folder`, and there put code after a line: (file, line, code)."""
    shutil.copytree(PACKAGE, folder / "gridsearch", ignore=shutil.ignore_patterns("__pycache__"))
    for name, line, new in edits:
        file = folder / "gridsearch" / name
        text = file.read_text("utf-8")
        assert text.count(line) == 1, f"{name}: {line}"
        file.write_text(text.replace(line, f"{line}\n{new}"), "utf-8")
    return folder


def answer_of(folder: Path, code: str) -> Any:
    """Run code with the package in `folder`, and return the JSON that it prints."""
    paths = os.pathsep.join([str(folder), str(PACKAGE.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
