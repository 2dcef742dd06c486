"""What a run left behind, as tables: the one input of everything in this room."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

METRICS = ("blur", "noise", "contrast", "clipped", "colourfulness", "entropy")


@dataclass(frozen=True)
class Results:
    """One experiment's results. A metric that an image does not have (the blur of a blank one) is NaN.

    Attributes:
        name: the experiment's name.
        folder: the results folder; every `file` below is relative to it.
        trials: a row per trial: trial, state (COMPLETE, PRUNED where a race stopped it, FAIL, RUNNING,
            WAITING), one column per searched parameter, defect, survived, images, the metrics' means,
            seconds_merge, seconds_render, seconds_score, started, finished, reason (why it failed or was
            stopped), partial (its figures are those of some of its images), weights (fingerprint of what was
            merged). The last two are not there in a run of an earlier version.
        images: a row per image, those of stopped trials too: trial, the parameters, prompt_id, prompt, seed,
            prediction_type, verdict, defect, the metrics, dial, reason, seconds, unet_calls (made),
            unet_calls_saved, stopped (as what early abort stopped it), stopped_because, file, film, digest
            (of the pixels). What an earlier version did not keep is NaN, or not there.
        references: like images without trial and parameters, with the column model: the parents' own renders.
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
        checks: like images, with role: "held_out" for a leader's images of the prompts that were kept apart,
            "repeat" for a second drawing of the best trial's. `trial` is the trial that is checked. Empty
            where nothing was checked.
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

    def checks_of(self, role: str) -> pd.DataFrame:
        """The rows of one kind of check; none where there is no check at all."""
        return self.checks[self.checks["role"] == role] if len(self.checks) else self.images.iloc[:0]
