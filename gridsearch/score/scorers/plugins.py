"""Plug-in scorers: functions of installed packages from an image and its case to a number.

A package offers one as an entry point of the group `gridsearch.scorers`, and an experiment names it. So only
code that the user has installed runs: no experiment and no checkpoint brings its own.

    def scorer(rgb, case, **options) -> float

`rgb` is its own copy, uint8 (H, W, 3); `case` has prompt_id, text, negative and seed; the options are those
of the experiment. A scorer may have an attribute `check`, a function of the options that raises BadInput if
they cannot work: it is called before anything is rendered.

A value counts by its distance beyond those of the healthy references, which is one-sided, unlike that of the
built-in metrics: who gives a scorer a weight says which way is better. If the experiment says so, a value
that is better than theirs counts too.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from math import isnan, nan, sqrt
from statistics import median
from typing import Any, Literal, Protocol

import numpy as np

from gridsearch.base.errors import BadInput, nearest_key, nearest_text
from gridsearch.base.words import one_line, shorten

GROUP = "gridsearch.scorers"
# Of a scorer's table; all others are its options.
OWN_KEYS = ("name", "scorer", "weight", "prompt_weights", "prompts", "direction", "one_sided")
MOST_VALUE = 1e100  # its square is still finite
MOST_SAID = 200  # characters of a scorer's error
LEAST_SPREAD = 0.1  # share of the references' median: a few can be alike by chance
MOST_BEYOND = 10.0  # spreads; a greater distance is not worse

Direction = Literal["lower", "higher"]  # which way is better
_WORSE: dict[Direction, int] = {"lower": 1, "higher": -1}  # the sign that makes larger values worse


class PluginFailed(Exception):
    """The error of a plug-in, on one line."""


class Wanted(Protocol):
    """A scorer as an experiment names it."""

    @property
    def name(self) -> str: ...
    @property
    def installed(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def prompt_weights(self) -> Mapping[str, float]: ...
    @property
    def prompts(self) -> Collection[str] | None: ...
    @property
    def direction(self) -> Direction | None: ...
    @property
    def one_sided(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


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
class Weighed:
    """A value beside the metrics, and how it counts in the defect."""

    name: str  # of its column
    weight: float  # of a spread beyond the references, where a built-in metric counts 1; 0: only a column
    direction: Direction | None  # None without a weight
    one_sided: bool = True  # a value better than the references' is as good as theirs
    prompt_weights: Mapping[str, float] = field(default_factory=dict)  # of prompts that have their own, by id
    prompts: Collection[str] | None = None  # the ids of those that are scored; None for all

    @property
    def counts(self) -> bool:
        """Whether it has a weight for any prompt."""
        return self.weight > 0 or any(self.prompt_weights.values())

    def weight_for(self, prompt_id: str) -> float:
        return self.prompt_weights.get(prompt_id, self.weight)


@dataclass(frozen=True)
class Scorer(Weighed):
    """An installed scorer with its options."""

    function: Callable[[np.ndarray, ScoredCase], float] = field(kw_only=True)


# -- finding and checking


def open_scorers(wanted: Sequence[Wanted], reserved: Collection[str]) -> tuple[Scorer, ...]:
    """Find and check the scorers of an experiment, before there is any image.

    Args:
        reserved: names that no scorer may have: those of the tables' own columns.
    Raises:
        BadInput: one is not installed, cannot be imported, or does not work with its options.
    """
    found = []
    for one in wanted:
        where = f"[[score.scorer]] {one.name}"
        entry, options = _entry(one.installed, where), dict(one.options)
        if one.name in reserved:
            raise BadInput(f"A scorer cannot be named {one.name!r}: a column has that name.", where=where)
        try:
            function = called(entry.load)
            _check_options(function, options, where)
            if check := getattr(function, "check", None):
                called(partial(check, **options))
        except PluginFailed as failure:
            raise BadInput("The scorer does not work.", where=where, why=f"{failure}.") from failure
        counts = one.weight, one.direction, one.one_sided, one.prompt_weights, one.prompts
        found.append(Scorer(one.name, *counts, function=partial(function, **options)))
    return tuple(found)


def _entry(name: str, where: str) -> EntryPoint:
    """Return the one installed scorer of this name."""
    installed = entry_points(group=GROUP)
    found = list(installed.select(name=name))
    if not found:
        known = sorted(installed.names)
        fix = nearest_text(name, known) if known else "Install gridsearch again: it has some of its own."
        raise BadInput(f"No scorer {name!r} is installed.", where=where, fix=fix)
    if len(found) > 1:
        what = f"{len(found)} installed packages have a scorer {name!r}."
        why = f"They are {', '.join(sorted(entry.value for entry in found))}."
        raise BadInput(what, where=where, why=why, fix="Uninstall all but one of them.")
    return found[0]


def _check_options(function: Callable, options: Mapping[str, Any], where: str) -> None:
    """Refuse a scorer that does not take an image, a case and exactly these options."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # written in C, perhaps: calling it will tell
        return
    except TypeError as error:
        raise BadInput("The scorer is not a function.", where=where, why=str(error)) from None
    try:
        signature.bind(None, None, **options)
    except TypeError as error:
        named = list(signature.parameters)[2:]
        for key in options:
            if key not in named:
                fix = nearest_key(key, [*OWN_KEYS, *named])
                raise BadInput(f"Unknown key {key!r}.", where=where, fix=fix) from None
        raise BadInput("The scorer's keys do not fit.", where=where, why=f"{error}.") from None


# -- calling


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
        if scorer.prompts is not None and case.prompt_id not in scorer.prompts:
            values[scorer.name] = nan  # it was not asked
            continue
        try:
            values[scorer.name] = called(partial(_number, scorer, rgb.copy(), case))
        except (PluginFailed, BadInput) as failure:
            values[scorer.name], unscored[scorer.name] = nan, _short(str(failure))
    return values, unscored


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

    This is the one place that goes on after any exception: a plug-in is foreign code of any quality and must
    not end a night's run. Interrupts and this program's own errors pass.

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


# -- comparing with the references


@dataclass(frozen=True)
class ScorerLimit:
    """The value at which a scorer stops being healthy."""

    value: float  # in the scorer's unit
    spread: float  # the unit of distance, in the scorer's unit, above 0
    direction: Direction


def edge_of(references: Sequence[float], own: float, direction: Direction) -> ScorerLimit | None:
    """Return the limit of the references' values, one spread to the worse side of their middle.

    As in a band (see `band.band_of`), the middle is the references' median, half-way to the value of the
    picture's own reference where it has one, and that value is always healthy. The spread is the references'
    standard deviation, and at least a tenth of their median. A value that is not there is nan. None without a
    scale: no reference has a value, or all have 0.
    """
    sign = _WORSE[direction]
    badness = [sign * value for value in references if not isnan(value)]
    if not badness:
        return None
    middle = median(badness)
    variance = sum((value - middle) ** 2 for value in badness) / len(badness)
    spread = max(sqrt(variance), LEAST_SPREAD * abs(middle))
    if spread == 0:
        return None
    limit = middle + spread if isnan(own) else max((middle + sign * own) / 2 + spread, sign * own)
    return ScorerLimit(sign * limit, spread, direction)


def beyond(value: float, edge: ScorerLimit | None, one_sided: bool = True) -> float:
    """Return how far a value lies beyond a limit, in spreads, 0 to MOST_BEYOND; 0 where either is undefined.

    A scorer without a value says nothing about the picture, so it does not change its defect. If better
    values count too, a distance x is ln(1 + exp(x)): x far beyond, ln 2 at the limit, and never quite 0.
    """
    if edge is None or isnan(value):
        return 0.0
    distance = _WORSE[edge.direction] * (value - edge.value) / edge.spread
    return float(np.clip(distance if one_sided else np.logaddexp(0, distance), 0.0, MOST_BEYOND))
