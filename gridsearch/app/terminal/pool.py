"""Tables on the terminal: of a merge that is explained, and of a folder of models."""

from typing import Any

from gridsearch.app.terminal.tables import show_rows
from gridsearch.app.terminal.text import say, show_note


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
