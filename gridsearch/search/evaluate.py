"""What draws the cases of a trial, with everything that must go well around it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridsearch.search.disk.estimate import picture_bytes
from gridsearch.search.listener import Listener
from gridsearch.search.racing.rungs import Evaluate, OnRung
from gridsearch.search.trial.failures import Stamp, named, require_free, require_unchanged, stamps
from gridsearch.search.trial.setup import Setup
from gridsearch.search.trial.standard import failure_notes
from gridsearch.search.trial.trial import run_trial


@dataclass(frozen=True)
class Easel:
    """What draws, and what is minded while it does.

    Attributes:
        files: the models and other files by their names, and what they were like when they were opened.
        noted: scorers of which it was said already that they have no value.
    """

    setup: Setup
    listener: Listener
    files: Mapping[str, Path]
    before: Mapping[str, Stamp]
    noted: set[str] = field(default_factory=set)


def easel(setup: Setup, listener: Listener, files: Mapping[str, Path]) -> Easel:
    return Easel(setup, listener, files, stamps(files))


def evaluation(role: str, name: str, order: Sequence[str], on: Easel) -> Evaluate:
    """What draws cases of a trial whose images are named so."""
    setup, listener = on.setup, on.listener
    cases = {case.id: case for case in setup.cases}

    def evaluate(number: int, parameters: Mapping[str, Any], done: Collection[str], on_rung: OnRung) -> None:
        def noting(rows: list[dict], seconds: Mapping[str, float]) -> bool:
            note_failures(rows, on.noted, listener)
            return on_rung(rows, seconds)

        missing = [cases[case] for case in order if case not in done]
        with named(setup.out):
            require_unchanged(on.files, on.before)
            require_free(setup.out, len(missing) * picture_bytes(setup.experiment))
            listener.drawing(role, number, parameters, len(order) - len(missing), len(order))
            run_trial(f"{name}{number:04}_", parameters, setup, missing, listener.image, noting)

    return evaluate


def forget(setup: Setup) -> None:
    """Whatever is in place already is made anew: what is drawn once more is, from its very beginning."""
    setup.live.holds.clear()
    setup.renderer.encoded.clear()


def note_failures(rows: Sequence[Mapping], noted: set[str], listener: Listener) -> None:
    """Say of each scorer once what it has no value for; `noted` are those that were said of before."""
    for name, text in failure_notes(rows).items():
        if name not in noted:
            noted.add(name)
            listener.note(text)
