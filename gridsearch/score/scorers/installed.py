"""Finding and checking the plug-in scorers that an experiment names."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from gridsearch.base.errors import BadInput, nearest, nearest_text
from gridsearch.score.scorers.plugins import Direction, PluginFailed, Scorer, called

GROUP = "gridsearch.scorers"
OWN_KEYS = ("name", "weight", "direction")  # of a scorer's table; all others are its options


class Wanted(Protocol):
    """A scorer as an experiment names it."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def direction(self) -> Direction | None: ...

    @property
    def options(self) -> Mapping[str, Any]: ...


def open_scorers(wanted: Sequence[Wanted], reserved: Collection[str]) -> tuple[Scorer, ...]:
    """Find and check the scorers of an experiment, before there is any image.

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
        raise BadInput(f"A scorer cannot be named {wanted.name!r}: a column has that name.", where=where)
    try:
        function = called(entry.load)
        _check_options(function, options, where)
        if check := getattr(function, "check", None):
            called(partial(check, **options))
    except PluginFailed as failure:
        raise BadInput("The scorer does not work.", where=where, why=f"{failure}.") from failure
    return Scorer(wanted.name, wanted.weight, wanted.direction, partial(function, **options))


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
                fix = f"The nearest known key is {nearest(key, [*OWN_KEYS, *named])!r}."
                raise BadInput(f"Unknown key {key!r}.", where=where, fix=fix) from None
        raise BadInput("The scorer's keys do not fit.", where=where, why=f"{error}.") from None
