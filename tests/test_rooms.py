"""The rooms keep their doors: who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import gridsearch

ROOT = Path(gridsearch.__file__).parent
ROOMS = ("merge", "render", "score", "search", "report", "judge")
ALONE = ("merge", "render", "score")
HEAVY = ("torch", "diffusers", "transformers")


def imports_of(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(file: Path) -> set[str]:
    parts = (name.split(".") for name in imports_of(file) if name.startswith("gridsearch."))
    return {part[1] for part in parts} & set(ROOMS)


def test_merge_render_and_score_do_not_import_one_another():
    for room in ALONE:
        for file in (ROOT / room).rglob("*.py"):
            assert rooms_of(file) <= {room}, file


def test_report_imports_no_other_room():
    for file in (ROOT / "report").rglob("*.py"):
        assert rooms_of(file) <= {"report"}, file


def test_nothing_but_the_command_line_prints_or_exits():
    for file in set(ROOT.rglob("*.py")) - set((ROOT / "cli").rglob("*.py")):
        calls = [
            node.func for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)
        ]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        assert not names & {"print", "exit", "quit"}, file
        assert "sys.exit" not in {ast.unparse(call) for call in calls}, file


def loaded_by(statement: str) -> list[str]:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_the_command_line_and_the_report_load_without_the_heavy_packages():
    light = "cli parents report.build rescore score_files judge.pairs judge.server replay notebook"
    light = [f"gridsearch.{name}" for name in (light + " dashboard.server").split()]
    assert loaded_by(f"import {', '.join(light)}") == []
    assert loaded_by("import torch") == ["torch"]  # so that the check itself can fail


def test_who_leads_loads_nothing_that_draws():
    assert loaded_by("import gridsearch.search.lead") == ["torch"]
