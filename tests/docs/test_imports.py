"""Every name that a benchmark or a script imports from the project is there: no test runs most of them."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
OURS = ("gridsearch", "tests", "benchmarks")


@cache
def names_of(module: str) -> frozenset[str] | None:
    """The names that a module binds at its top, or that lie in its folder; None where there is no module."""
    place = REPOSITORY / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not file.is_file():
        return None
    beside = {path.stem for path in place.iterdir()} if place.is_dir() else set()
    return frozenset(beside | set(_bound(ast.parse(file.read_text("utf-8")).body)))


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.If() | ast.Try() | ast.With() | ast.For():
                parts = ("body", "orelse", "handlers", "finalbody")
                for inner in (one for part in parts for one in getattr(node, part, [])):
                    yield from _bound(inner.body if isinstance(inner, ast.ExceptHandler) else [inner])
            case _:
                yield from (
                    one.id
                    for one in ast.walk(node)
                    if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
                )


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "experiments"])
def test_every_name_that_is_imported_is_there(folder):
    missing = []
    for file in (REPOSITORY / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
                known = names_of(node.module)
                names = [alias.name for alias in node.names if known is None or alias.name not in known]
                missing += [f"{file.name}: {name} of {node.module}" for name in names]
    assert missing == []
