"""Tables on the terminal: of a merge that is explained, and of a folder of models."""

from typing import Any

from gridsearch.app.terminal.tables import show_rows
from gridsearch.app.terminal.text import say, show_note
from gridsearch.base.words import shorten, size

NAME_LETTERS = 40


def show_explained(title: str, found: Any) -> None:
    """Print the weight of each model in each part of a merge, and what they leave."""
    headings = ("part", *found.models, "sum", "±", "unexplained", "")
    rows = []
    for part in found.parts:
        weights = ["–" if weight is None else f"{weight:.4f}" for weight in part.weights]
        error = max((error for error in part.errors if error is not None), default=None)
        errors = "–" if error is None else f"{error:.1g}"
        rows.append([part.name, *weights, f"{part.sum:.4f}", errors, f"{part.left:.1%}", part.why])
    show_rows(f"{title} as a sum of models", headings, rows)
    if step := found.as_step():
        say(
            f'As a step of an experiment: models = ["{found.models[0]}", "{found.models[1]}"], ratio = {step}'
        )
    for note in found.notes:
        show_note(note)


def show_pool(title: str, pool: Any) -> None:
    """Print a row for each model of a pool, numbered for the nearest ones, and what stands out."""
    parts = list(pool.relations) if pool.base else []
    rows = pool.rows()
    number = {row["model"]: str(i) for i, row in enumerate(rows, 1)}
    headings = ["", "model", "hash", "is", "predicts", "dtype", "size"]
    headings += [*(f"change {part}" for part in parts), "nearest", "distance"]
    texts = []
    for row in rows:
        own = [number[row["model"]], shorten(row["model"], NAME_LETTERS), row["hash"], row["is"]]
        own += [row["predicts"], row["dtypes"], size(row["bytes"])]
        own += [_share(row[f"change {part}"]) for part in parts]
        texts.append([*own, number.get(row["nearest"], "–"), _share(row["distance"])])
    minor = [f"change {part}" for part in parts if part != pool.main_part]
    show_rows(title, headings, texts, ["is", "size", "dtype", *minor[::-1], "predicts", "hash"])
    for name, said in pool.remarks.items():
        for text in said:
            say(f"{name}: {text}.")
    for note in pool.notes():
        show_note(note)


def _share(value: float | None) -> str:
    return "–" if value is None else "0" if value == 0 else f"{value:.2%}"
