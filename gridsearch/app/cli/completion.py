"""What the shell offers after a Tab. It must come at once: nothing heavy is imported, and nothing raises."""

import re
import sqlite3
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MERGES = (".toml", ".merge.json", ".safetensors", ".mecha")
DEEP = 2  # folders under which results are looked for: `results/toy` is found from nothing
MOST = 500  # entries of a folder that are looked at


def experiments(incomplete: str) -> list[str]:
    """Experiment files, and folders on the way to them."""
    return list(_paths(incomplete, lambda path: path.suffix == ".toml"))


def checkpoints(incomplete: str) -> list[str]:
    return list(_paths(incomplete, lambda path: path.suffix == ".safetensors"))


def merges(incomplete: str) -> list[str]:
    """Whatever says how to merge."""
    return list(_paths(incomplete, lambda path: path.name.endswith(MERGES)))


def folders(incomplete: str) -> list[str]:
    return list(_paths(incomplete, lambda _: False))


def results_folders(incomplete: str) -> list[str]:
    """Folders with a study in them, and else folders on the way."""
    typed, _ = _split(incomplete)
    start = _meant(typed)
    found = [f"{typed}{path.relative_to(start)}" for path in _studies(start, DEEP)]
    return [name for name in found if name.startswith(incomplete)] or folders(incomplete)


def trials(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Numbers of the trials of the folder that stands on the line, each with its ratio."""
    folder = _said(ctx, "folder")
    return [] if folder is None else [one for one in _trials(_meant(folder)) if one[0].startswith(incomplete)]


def ratios(ctx: Any, incomplete: str) -> list[str]:
    """Names of the steps whose ratio is searched, of the experiment that stands on the line."""
    try:
        steps = tomllib.loads(_meant(_said(ctx, "source") or "").read_text("utf-8"))["merge"]
        names = [
            step.get("name", "merged") for step in steps if not isinstance(step.get("ratio"), (int, float))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [f"{name}=" for name in names if f"{name}=".startswith(incomplete)]


def _said(ctx: Any, argument: str) -> str | None:
    """An argument's word. Where an option at the end has no value yet, arguments are still in a heap."""
    said = ctx.params.get(argument) or next(iter(ctx.args), None)
    return said and str(said)


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> Iterator[str]:
    """Files and folders that begin so; the folders with a slash. A lone folder is looked into at once."""
    typed, start = _split(incomplete)
    beginning = [path for path in _entries(_meant(typed)) if path.name.startswith(start)]
    found = [path for path in beginning if path.is_dir() or wanted(path)]
    names = [f"{typed}{path.name}/" if path.is_dir() else f"{typed}{path.name}" for path in found]
    inside = list(_paths(names[0], wanted)) if len(names) == 1 and names[0].endswith("/") else []
    yield from inside or names


def _split(incomplete: str) -> tuple[str, str]:
    """The folders as they were typed, which is how the shell wants them back, and how the name begins."""
    folders, slash, start = incomplete.rpartition("/")
    return folders + slash, start


def _meant(typed: str) -> Path:
    try:
        return Path(typed).expanduser()
    except RuntimeError:  # `~nobody`
        return Path(typed)


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, hidden files left out."""
    try:
        return [path for path in sorted(folder.iterdir())[:MOST] if not path.name.startswith(".")]
    except (OSError, ValueError):
        return []


def _studies(folder: Path, deep: int) -> Iterator[Path]:
    for path in _entries(folder):
        if path.is_dir():
            if (path / "study.db").is_file():
                yield path
            elif deep > 1:
                yield from _studies(path, deep - 1)


def _trials(folder: Path) -> list[tuple[str, str]]:
    """Straight from the database: Optuna takes a second to import."""
    query = (
        "SELECT trials.number, trial_params.param_name, trial_params.param_value FROM trials "
        "JOIN studies USING (study_id) LEFT JOIN trial_params "
        "ON trial_params.trial_id = trials.trial_id AND distribution_json NOT LIKE '%Categorical%' "
        "WHERE studies.study_name = 'gridsearch' AND trials.state IN ('COMPLETE', 'PRUNED') "
        "ORDER BY trials.number, trial_params.param_name"
    )
    try:
        connection = sqlite3.connect(f"{(folder / 'study.db').resolve().as_uri()}?mode=ro", uri=True)
        try:
            rows = connection.execute(query).fetchall()
        finally:
            connection.close()
    except (sqlite3.Error, ValueError):
        return []
    found: dict[int, list[str]] = {}
    for number, name, value in rows:
        plain = re.sub(r"[^\w. -]", "", str(name))
        said = f"{plain} {value:.5g}" if isinstance(value, float) else plain
        found.setdefault(number, []).append(said)
    return [(str(number), ", ".join(said)) for number, said in found.items()]
