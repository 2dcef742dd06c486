"""Scorers from installed packages: plain functions from an image and its case to a number.

A package offers one as an entry point of the group `gridsearch.scorers`. An experiment names it, so nothing
runs that the user has not installed: a file of settings or weights never brings code along.

    def scorer(rgb, case, **options) -> float

`rgb` is a uint8 array (H, W, 3) of its own, `case` has prompt_id, text, negative and seed, and the options
are those of the experiment. A scorer may have an attribute `check`, a function of the options that raises
BadInput where they cannot work: it is called before anything is drawn.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from math import nan
from typing import Any, Literal, Protocol

import numpy as np

from gridsearch.errors import BadInput
from gridsearch.nearest import nearest
from gridsearch.score.metrics import Metrics

GROUP = "gridsearch.scorers"
OWN_KEYS = ("name", "weight", "direction")  # of a scorer's table; the rest are its options
MOST_VALUE = 1e100  # its square is a number still
MOST_SAID = 200  # characters of what a scorer says

# The columns of images.csv and trials.csv, and of what else a stored row holds.
TAKEN = {field.name for field in fields(Metrics)} | {
    *(
        "trial",
        "state",
        "ratio",
        "model",
        "prompt_id",
        "prompt",
        "seed",
        "prediction_type",
        "images",
        "survived",
    ),
    *(
        "verdict",
        "defect",
        "dial",
        "reason",
        "finite",
        "seconds",
        "unet_calls",
        "unet_calls_saved",
        "stopped",
    ),
    *("stopped_because", "file", "film", "trajectory", "scorers", "unscored", "started", "finished"),
    *("seconds_merge", "seconds_render", "seconds_score"),
}

Direction = Literal["lower", "higher"]


class PluginFailed(Exception):
    """What a plug-in said when it raised, on one line."""


class Case(Protocol):
    """What an image was drawn from."""

    prompt_id: str
    text: str
    negative: str
    seed: int


class Wanted(Protocol):
    """A scorer as an experiment names it."""

    name: str
    weight: float
    direction: Direction | None

    @property
    def options(self) -> Mapping[str, Any]: ...


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
    function: Callable[[np.ndarray, Case], float]


# -- finding and opening


def open_scorers(wanted: Sequence[Wanted]) -> tuple[Scorer, ...]:
    """Find and check the scorers of an experiment. No image is looked at.

    Raises:
        BadInput: one is not installed, cannot be imported, or does not work with its options.
    """
    return tuple(_open(one) for one in wanted)


def _open(wanted: Wanted) -> Scorer:
    where = f"[[score.scorer]] {wanted.name}"
    entry, options = _entry(wanted.name, where), dict(wanted.options)
    if wanted.name in TAKEN:
        raise BadInput(f"No scorer can be named {wanted.name!r}: a column is.", where=where)
    try:
        function = called(entry.load)
        _check_options(function, options, where)
        if check := getattr(function, "check", None):
            called(partial(check, **options))
    except PluginFailed as failure:
        raise BadInput("The scorer does not work.", where=where, why=f"It says {failure}.") from failure
    return Scorer(wanted.name, wanted.weight, wanted.direction, partial(function, **options))


def _entry(name: str, where: str) -> EntryPoint:
    """The one installed scorer of this name."""
    installed = entry_points(group=GROUP)
    found = list(installed.select(name=name))
    if not found:
        known = sorted(installed.names)
        near = known and f"The nearest one is {nearest(name, known)!r}; there are {', '.join(known)}."
        raise BadInput(
            f"No scorer {name!r} is installed.",
            where=where,
            fix=near or "Install gridsearch again: it brings some along.",
        )
    if len(found) > 1:
        raise BadInput(
            f"{len(found)} installed packages have a scorer {name!r}.",
            where=where,
            why=f"They are {', '.join(sorted(entry.value for entry in found))}.",
            fix="Uninstall all but one of them.",
        )
    return found[0]


def _check_options(function: Callable, options: Mapping[str, Any], where: str) -> None:
    """Whether a scorer takes an image, a case and these options, and all that it needs is there."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C, perhaps: it will say itself what it does not like
        return
    except TypeError as error:
        raise BadInput("The scorer is no function.", where=where, why=str(error)) from None
    try:
        signature.bind(None, None, **options)
    except TypeError as error:
        named = list(signature.parameters)[2:]
        for key in options:
            if key not in named:
                near = nearest(key, [*OWN_KEYS, *named])
                fix = f"The nearest known key is {near!r}."
                raise BadInput(f"Unknown key {key!r}.", where=where, fix=fix) from None
        raise BadInput("The scorer's keys do not fit.", where=where, why=f"{error}.") from None


# -- asking


def values_of(
    scorers: Sequence[Scorer], rgb: np.ndarray, case: Case
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


def _number(scorer: Scorer, rgb: np.ndarray, case: Case) -> float:
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
