"""The house: which folders there are, who may import whom, and that a public name means one thing."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import gridsearch

ROOT = Path(gridsearch.__file__).parent
# From the ground up. A room may import from the floors below its own, never from its own floor or above.
FLOORS = (
    ("base",),
    ("score", "checkpoint"),
    ("render",),
    ("experiment",),
    ("merge", "results"),
    ("search",),
    ("report",),
    ("app",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
APART = ("merge", "render", "score")  # joined by search/trial only
HEAVY = ("torch", "diffusers", "transformers", "optuna", "pandas")
PRINTS_OR_EXITS = re.compile(r"\b(print|exit|quit)\b")


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    names = {
        ".".join(("gridsearch", *file.relative_to(ROOT).with_suffix("").parts)): file for file in files()
    }
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@dataclass(frozen=True)
class Facts:
    """What is asked of a module. Its tree is not kept: Python would look for garbage in all of them."""

    imports: tuple[str, ...]  # the package's modules, at its top or inside a function
    public: frozenset[str]  # functions, classes, constants and type aliases that it defines
    has_docstring: bool
    prints_or_exits: bool


@cache
def facts() -> dict[str, Facts]:
    found = {}
    for name, file in modules().items():
        text = file.read_text("utf-8")
        tree = ast.parse(text)
        speaks = PRINTS_OR_EXITS.search(text) is not None and prints_or_exits(tree)
        found[name] = Facts(imports(tree), definitions(tree), bool(ast.get_docstring(tree)), speaks)
    return found


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements in a node, however deep; no expression, which take ten times as long to walk."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, field, ()):
            if isinstance(inner, ast.stmt):
                yield inner
            yield from statements(inner)


def imports(tree: ast.Module) -> tuple[str, ...]:
    found = []
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in modules()]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gridsearch":
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in modules() else node.module for name in inner]
    return tuple(found)


def room(name: str) -> str | None:
    """The folder at the top that a module lies in; None for the package itself and its `__main__`."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else None


def between_rooms() -> set[tuple[str, str, str]]:
    """Importing module, its room, imported room, wherever the two rooms differ."""
    found = set()
    for name in modules():
        for other in facts()[name].imports:
            if room(name) and room(other) and room(name) != room(other):
                found.add((name, room(name), room(other)))
    return found


def test_ten_rooms_at_most_and_no_module_beside_them(capsys):
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    loose = {path.name for path in ROOT.glob("*.py")} - {"__init__.py", "__main__.py"}
    with capsys.disabled():
        print(f"\nrooms {len(folders)}, loose modules {len(loose)}, import floors {len(FLOORS)}")
    assert folders == set(FLOOR), "every folder has its floor"
    assert len(folders) <= 10
    assert not loose
    assert len(FLOORS) <= 9


def test_no_room_imports_upwards():
    upwards = {(name, other) for name, own, other in between_rooms() if FLOOR[other] >= FLOOR[own]}
    assert not upwards


def test_merge_render_and_score_do_not_import_one_another():
    assert not {found for found in between_rooms() if found[1] in APART and found[2] in APART}


def test_the_notebook_does_not_import_the_command_line():
    imported = facts()["gridsearch.app.notebook"].imports
    assert not [name for name in imported if name.startswith("gridsearch.app.cli")]


def parts_of_a_room() -> list[str]:
    """The rooms and every folder in them, as dotted names."""
    return sorted(name for name, file in modules().items() if file.name == "__init__.py")


@pytest.mark.parametrize("folder", parts_of_a_room())
def test_what_lies_in_a_folder_imports_in_one_direction(folder):
    """Modules and subfolders of one folder: who imports whom has no circle."""
    depth = len(folder.split("."))
    graph = defaultdict(set)
    for name in modules():
        own = name.split(".")[: depth + 1]
        for other in facts()[name].imports:
            theirs = other.split(".")[: depth + 1]
            if own[:depth] == theirs[:depth] == folder.split(".") and own != theirs and depth < len(own):
                graph[".".join(own)].add(".".join(theirs))
    assert circle(graph) is None


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """The first circle in a graph; None where it has none."""
    finished: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str] | None:
        if node in path:
            return path[path.index(node) :]
        if node in finished:
            return None
        for other in sorted(graph.get(node, ())):
            if found := walk(other, [*path, node]):
                return found
        finished.add(node)
        return None

    return next((found for node in sorted(graph) if (found := walk(node, []))), None)


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c"]
    assert circle({"a": {"b", "c"}, "b": {"c"}}) is None


def test_every_folder_says_what_it_is():
    silent = [name for name in parts_of_a_room() if not facts()[name].has_docstring]
    assert not silent


def test_the_tests_mirror_the_rooms():
    """A folder of tests is named as the folder that it tests."""
    here = Path(__file__).parent
    own = {"docs", "fuzz", "helpers", "__pycache__"}
    for folder in here.rglob("*"):
        place = folder.relative_to(here)
        if folder.is_dir() and place.parts[0] not in own and folder.name != "__pycache__":
            assert (ROOT / place).is_dir(), place


def test_no_test_module_is_imported():
    """Tests share through helper modules: one that is imported would be collected, or changed, for two."""
    tests = Path(__file__).parent
    for file in tests.rglob("*.py"):
        for node in statements(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            wrong = [one for one in names if one.startswith("tests.") and one.split(".")[-1][:5] == "test_"]
            assert not wrong, file


def definitions(tree: ast.Module) -> frozenset[str]:
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(name for name in found if not name.startswith("_"))


def test_no_public_name_is_defined_twice():
    found = defaultdict(list)
    for module, known in facts().items():
        for name in known.public:
            found[name].append(module)
    twice = {name: where for name, where in found.items() if len(where) > 1}
    assert not twice


def prints_or_exits(tree: ast.Module) -> bool:
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    methods = {ast.unparse(call) for call in calls if isinstance(call, ast.Attribute) and call.attr == "exit"}
    return bool(names & {"print", "exit", "quit"}) or "sys.exit" in methods


def test_only_the_app_prints_or_exits():
    assert not [name for name, known in facts().items() if known.prints_or_exits and room(name) != "app"]
    assert all(prints_or_exits(ast.parse(text)) for text in ("print(1)", "import sys; sys.exit(1)", "quit()"))
    assert not prints_or_exits(ast.parse("out.print(1)"))


def loaded_after(*statements: str) -> list[set[str]]:
    """The heavy packages that are loaded after each statement, one after another in a fresh process."""
    say = f"print(*[name for name in {HEAVY} if name in sys.modules])"
    code = "; ".join(["import sys", *(f"{statement}; {say}" for statement in statements)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_what_does_not_draw_loads_without_the_heavy_packages():
    light = "app.cli merge.parents report.build search.rescore score.files app.web.judge.pairs"
    light = f"{light} app.web.judge.routes app.web.dashboard merge.export.source app.notebook"
    command_line, all_light, leader = loaded_after(
        "import gridsearch.app.cli",  # `status` needs no more
        f"import {', '.join(f'gridsearch.{name}' for name in light.split())}",
        "import gridsearch.search.workers.leader",
    )
    assert command_line == set()
    assert all_light == {"optuna", "pandas"}
    assert leader == {"optuna", "pandas", "torch"}
