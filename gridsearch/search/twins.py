"""Parameters that draw the same pictures: equal ones, and those that differ only in what has no effect."""

from collections.abc import Mapping
from typing import Any

from gridsearch.report.trials import made_of
from gridsearch.store import tidy

Pictures = tuple[Any, tuple[tuple[str, Any], ...]]


def pictures_of(settings: Mapping[str, Any], parameters: Mapping[str, Any]) -> Pictures:
    """What is merged, and how it is drawn: equal where the pictures are.

    At ratio 0 of a weighted sum, say, it does not matter which model the second one is.

    Args:
        settings: the experiment, as plain data.
    """
    tidied = {name: tidy(value) for name, value in parameters.items()}
    drawn = {name: value for name, value in tidied.items() if name.startswith("render.")}
    return made_of(settings, tidied), tuple(sorted(drawn.items()))
