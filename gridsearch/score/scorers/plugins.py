"""Plug-in scorers: functions of installed packages from an image and its case to a number.

A package offers one as an entry point of the group `gridsearch.scorers`, and an experiment names it. So only
code that the user has installed runs: no experiment and no checkpoint brings its own.

    def scorer(rgb, case, **options) -> float

`rgb` is its own copy, uint8 (H, W, 3); `case` has prompt_id, text, negative and seed; the options are those
of the experiment. A scorer may have an attribute `check`, a function of the options that raises BadInput if
they cannot work: it is called before anything is rendered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any, Literal, Protocol

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.base.words import one_line, shorten

MOST_VALUE = 1e100  # its square is still finite
MOST_SAID = 200  # characters of a scorer's error

Direction = Literal["lower", "higher"]


class PluginFailed(Exception):
    """The error of a plug-in, on one line."""


class ScoredCase(Protocol):
    """The prompt and the seed of an image."""

    @property
    def prompt_id(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def negative(self) -> str: ...

    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Scorer:
    """An installed scorer with its options.

    Attributes:
        name: of its column.
        weight: how much a spread beyond the references counts, where a built-in metric counts 1; 0 makes it
            only a column.
        direction: which way is better; None without a weight.
        function: (rgb, case) -> number.
    """

    name: str
    weight: float
    direction: Direction | None
    function: Callable[[np.ndarray, ScoredCase], float]


def scorer_values(
    scorers: Sequence[Scorer], rgb: np.ndarray, case: ScoredCase
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the scorers' values of an image, and why some have none.

    Args:
        rgb: uint8 (H, W, 3).
    Returns:
        name -> a finite value, or nan where there is none; and for the latter name -> why, on one line.
    """
    values, unscored = {}, {}
    for scorer in scorers:
        try:
            values[scorer.name] = called(partial(_number, scorer, rgb.copy(), case))
        except (PluginFailed, BadInput) as failure:
            values[scorer.name], unscored[scorer.name] = nan, _short(str(failure))
    return values, unscored


def no_values(scorers: Sequence[Scorer]) -> dict[str, float]:
    """Return the values of an image that is not finite, which no scorer is given."""
    return dict.fromkeys((scorer.name for scorer in scorers), nan)


def _number(scorer: Scorer, rgb: np.ndarray, case: ScoredCase) -> float:
    given = scorer.function(rgb, case)
    if not hasattr(given, "__float__"):  # so that a text is not parsed as a number
        raise PluginFailed(f"it gave {given!r:.60}, which is not a number")
    value = float(given)
    if not abs(value) <= MOST_VALUE:  # in this form it refuses nan too
        raise PluginFailed(f"it gave {value}")
    return value


def called(call: Callable[[], Any]) -> Any:
    """Call into a plug-in and return its result.

    This is the one place that catches every exception: a plug-in is foreign code of any quality and must not
    end a night's run. Interrupts and this program's own errors pass.

    Raises:
        BadInput: the plug-in raised it.
        PluginFailed: it raised anything else.
    """
    try:
        return call()
    except (BadInput, PluginFailed):
        raise
    except Exception as error:
        raise PluginFailed(_short(f"{type(error).__name__}: {error}")) from error


def _short(text: str) -> str:
    return shorten(one_line(text), MOST_SAID)
