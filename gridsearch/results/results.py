"""The results of a run as tables: the input of the analysis and of the report."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd


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
        trials: a row per trial, with the columns `columns.TRIALS`.
        images: a row per image, those of stopped trials too, with the columns `columns.IMAGES`.
        references: the parents' own renders, with the columns `columns.REFERENCES`.
        parameters: the searched parameters' names, numeric and categorical.
        settings: the experiment as resolved; nested, JSON-able.
        models: name -> path, sha256, short_hash, bytes, prediction_type, prediction_type_source, ...
        versions: package -> version.
        finished: every planned trial is complete.
        planned: how many trials there will be, done ones included.
        file: the experiment's file.
        extras: the same of adapters and of a VAE's own file: name -> path, sha256, bytes.
        provenance: each setting of the images: setting, value, source (where the value is from). Empty in a
            run of an earlier version.
        checks: the images that check a trial, with the columns `columns.CHECKED_IMAGES`. The role is
            "held_out" for a leader's images of the prompts that were kept apart, "repeat" for a second
            drawing of the best trial's. Empty where nothing was checked.
        parents: model -> the fingerprint that a merge has which is this model alone.
        held_out: ids of the prompts that are kept apart; no row of `images` has one.
        objectives: what is minimised: ("value",), or ("blur", "noise") side by side.
        wanted_width: how narrow the interval is asked to be, in units of the main parameter.
        judgements: what a person said of blind pairs, by time: first and second (the trials whose images
            stood left and right), prompt_id, seed, answer ("first", "second" or "equal"), time, session.
            Without columns where nothing was judged.
    """

    name: str
    folder: Path
    trials: pd.DataFrame
    images: pd.DataFrame
    references: pd.DataFrame
    parameters: tuple[str, ...]
    settings: dict
    models: dict
    versions: dict
    finished: bool
    planned: int
    file: str = "experiment.toml"
    extras: dict = field(default_factory=dict)
    provenance: tuple[dict[str, str], ...] = ()
    checks: pd.DataFrame = field(default_factory=pd.DataFrame)
    parents: dict[str, str] = field(default_factory=dict)
    held_out: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ("value",)
    wanted_width: float | None = None
    judgements: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def scorers(self) -> tuple[str, ...]:
        """The plug-in scorers' names."""
        return scorer_names(self.settings)

    def checks_of(self, role: str) -> pd.DataFrame:
        """Return the rows of one kind of check; none where there is no check at all."""
        return self.checks[self.checks["role"] == role] if len(self.checks) else self.images.iloc[:0]
