"""The results of a run as tables: the input of the analysis and of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from gridsearch.results.store import Facts


def scorer_names(settings: Mapping) -> tuple[str, ...]:
    """Return the names of an experiment's plug-in scorers, which are those of their columns."""
    return tuple(scorer["name"] for scorer in settings.get("score", {}).get("scorer", ()))


@dataclass(frozen=True)
class Results:
    """One experiment's results.

    A metric that an image does not have (the blur of a blank one) is NaN, as is what an earlier version did
    not keep.

    Attributes:
        name: the experiment's name.
        folder: the results folder; every `file` below is relative to it.
        facts: the experiment, its files, and how the images were drawn.
        trials: a row per trial, with the columns `columns.TRIALS`.
        images: a row per image, those of stopped trials too, with the columns `columns.IMAGES`.
        references: the parents' own renders, with the columns `columns.REFERENCES`.
        parameters: the searched parameters' names, numeric and categorical.
        finished: every planned trial is complete.
        planned: how many trials there will be, done ones included.
        checks: the images that check a trial, with the columns `columns.CHECKED_IMAGES`. The role is
            "held_out" for a leader's images of the prompts that were kept apart, "repeat" for a second
            drawing of the best trial's. Empty where nothing was checked.
        judgements: a person's answers to blind pairs, by time: a row per `store.facts.Judgement`. Without
            columns where nothing was judged.
    """

    name: str
    folder: Path
    facts: Facts
    trials: pd.DataFrame
    images: pd.DataFrame
    references: pd.DataFrame
    parameters: tuple[str, ...]
    finished: bool
    planned: int
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)
    judgements: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def settings(self) -> dict[str, Any]:
        """The experiment as resolved; nested, JSON-able."""
        return self.facts.experiment

    @property
    def scorers(self) -> tuple[str, ...]:
        """The plug-in scorers' names."""
        return scorer_names(self.settings)

    def checks_of(self, role: str) -> pd.DataFrame:
        """Return the rows of one kind of check; none where there is no check at all."""
        return self.checks[self.checks["role"] == role] if len(self.checks) else self.images.iloc[:0]
