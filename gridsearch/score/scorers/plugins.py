"""Scorers from installed packages: plain functions from an image and its case to a number.

A package offers one as an entry point of the group `gridsearch.scorers`. An experiment names it, so nothing
runs that the user has not installed: a file of settings or weights never brings code along.

    def scorer(rgb, case, **options) -> float

`rgb` is a uint8 array (H, W, 3) of its own, `case` has prompt_id, text, negative and seed, and the options
are those of the experiment. A scorer may have an attribute `check`, a function of the options that raises
BadInput where they cannot work: it is called before anything is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any, Literal, Protocol

import numpy as np

from gridsearch.base.errors import BadInput

MOST_VALUE = 1e100  # its square is a number still
MOST_SAID = 200  # characters of what a scorer says

Direction = Literal["lower", "higher"]


class PluginFailed(Exception):
    """What a plug-in said when it raised, on one line."""


class ScorerCase(Protocol):
    """What an image was drawn from."""

    prompt_id: str
    text: str
    negative: str
    seed: int


@dataclass(frozen=True)
class Scorer:
    """An installed scorer with its options.

    Attributes:
        name: of its column.
        weight: how much a spread beyond the references counts, beside the program's own metrics' 1; 0 is a
            column alone.
        direction: which way is better; None where nothing weighs.
        function: (rgb, case) -> number.
    """

    name: str
    weight: float
    direction: Direction | None
    function: Callable[[np.ndarray, ScorerCase], float]


def values_of(
    scorers: Sequence[Scorer], rgb: np.ndarray, case: ScorerCase
) -> tuple[dict[str, float], dict[str, str]]:
    """Each scorer's value of an image, and why it has none.

    Args:
        rgb: uint8 (H, W, 3).
    Returns:
        name -> a finite value, or nan where there is none; and of those alone name -> why, on one line.
    """
    values, unscored = {}, {}
    for scorer in scorers:
        try:
            values[scorer.name] = called(partial(_number, scorer, rgb.copy(), case))
        except (PluginFailed, BadInput) as failure:
            values[scorer.name], unscored[scorer.name] = nan, one_line(str(failure))
    return values, unscored


def no_values(scorers: Sequence[Scorer]) -> dict[str, float]:
    """Those of an image whose pixels mean nothing: no scorer is asked."""
    return dict.fromkeys((scorer.name for scorer in scorers), nan)


def _number(scorer: Scorer, rgb: np.ndarray, case: ScorerCase) -> float:
    given = scorer.function(rgb, case)
    if not hasattr(given, "__float__"):  # a text, say, is not read as a number
        raise PluginFailed(f"it gave {given!r:.60}, which is no number")
    value = float(given)
    if not abs(value) <= MOST_VALUE:  # so written that nan is refused too
        raise PluginFailed(f"it gave {value}")
    return value


def called(call: Callable[[], Any]) -> Any:
    """What a call into a plug-in returns.

    The one place that catches every exception: a plug-in is foreign code, of any quality, and must not end a
    night's run. Interrupts go through, and so does what is said in this program's own words.

    Raises:
        BadInput: the plug-in raised it.
        PluginFailed: it raised anything else.
    """
    try:
        return call()
    except (BadInput, PluginFailed):
        raise
    except Exception as error:
        raise PluginFailed(one_line(f"{type(error).__name__}: {error}")) from error


def one_line(text: str) -> str:
    """The text without line breaks, and cut where it is long."""
    text = " ".join(text.split())
    return text if len(text) <= MOST_SAID else text[: MOST_SAID - 1] + "…"
