"""The scorers that an experiment names, found among the installed packages and checked."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from gridsearch.base.errors import BadInput, nearest
from gridsearch.score.scorers.plugins import Direction, PluginFailed, Scorer, called

GROUP = "gridsearch.scorers"
OWN_KEYS = ("name", "weight", "direction")  # of a scorer's table; the rest are its options


class Wanted(Protocol):
    """A scorer as an experiment names it."""

    name: str
    weight: float
    direction: Direction | None

    @property
    def options(self) -> Mapping[str, Any]: ...


def open_scorers(wanted: Sequence[Wanted], reserved: Collection[str]) -> tuple[Scorer, ...]:
    """Find and check the scorers of an experiment. No image is looked at.

    Args:
        reserved: names that no scorer may have: those of the tables' own columns.
    Raises:
        BadInput: one is not installed, cannot be imported, or does not work with its options.
    """
    return tuple(_open(one, reserved) for one in wanted)


def _open(wanted: Wanted, reserved: Collection[str]) -> Scorer:
    where = f"[[score.scorer]] {wanted.name}"
    entry, options = _entry(wanted.name, where), dict(wanted.options)
    if wanted.name in reserved:
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
