"""Write docs/code.md: the rooms, folders and modules of gridsearch, each with its docstring's first line."""

import ast
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "gridsearch"
INTRODUCTION = """# The code

Ten rooms, from the ground up: a room imports only from rooms above it in this list, and a test holds it to
that. `merge`, `render` and `score` do not import one another; `search/trial` joins them. `report` never
imports torch. Only `app` prints or exits. [How to add](extend.md) a metric, a merge method, a sampler, a
column, a figure or a model family.

This page is made from the modules' docstrings by `make docs-map`.
"""
ROOMS = ("base", "score", "checkpoint", "render", "experiment", "merge", "results", "search", "report", "app")


def code_map() -> str:
    """The text of docs/code.md."""
    rooms = "\n\n".join(f"## {room}\n\n" + "\n".join(_lines(PACKAGE / room)) for room in ROOMS)
    return f"{INTRODUCTION}\n{rooms}\n"


def _lines(folder: Path, indent: str = "") -> Iterator[str]:
    if not indent:
        yield f"{_first_line(folder / '__init__.py')}\n"
    for file in sorted(folder.glob("*.py")):
        if file.name != "__init__.py":
            yield f"{indent}- `{file.stem}`: {_first_line(file)}"
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield f"{indent}- `{inner.name}/`: {_first_line(inner / '__init__.py')}"
        yield from _lines(inner, indent + "  ")


def _first_line(file: Path) -> str:
    """The first sentence or paragraph of a module's docstring, on one line."""
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    (DOCS / "code.md").write_text(code_map(), "utf-8")
