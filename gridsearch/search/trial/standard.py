"""The standard by which a run's images are scored: healthy bands, thresholds and plug-in scorers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot

import numpy as np

from gridsearch.experiment.tables import Scoring
from gridsearch.render.cases import Case, case_of
from gridsearch.results.columns import RESERVED
from gridsearch.score.band import Band
from gridsearch.score.score import Score, number, score
from gridsearch.score.scorers.plugins import (
    Scorer,
    ScorerLimit,
    beyond,
    no_values,
    open_scorers,
    scorer_values,
)
from gridsearch.score.verdict import USUAL_THRESHOLDS, Thresholds
from gridsearch.search.trial.outcome import stop_verdict


@dataclass(frozen=True)
class Standard:
    """The standard by which images are scored.

    Attributes:
        thresholds: of the gates.
        scorers: the plug-ins.
        bands: case id -> the healthy band of its metrics.
        edges: scorer with a weight -> case id -> the value at which it stops being healthy; None where the
            references do not tell.
    """

    thresholds: Thresholds = USUAL_THRESHOLDS
    scorers: Sequence[Scorer] = ()
    bands: Mapping[str, Band] = field(default_factory=dict)
    edges: Mapping[str, Mapping[str, ScorerLimit | None]] = field(default_factory=dict)


def open_standard(scoring: Scoring) -> Standard:
    """Open the scorers of an experiment; the standard has no bands before there are references.

    Raises:
        BadInput: a scorer is not installed, or does not work with its options.
    """
    return Standard(Thresholds(**scoring.thresholds.given()), open_scorers(scoring.scorer, RESERVED))


def with_values(row: Mapping, scorers: Sequence[Scorer], pixels: np.ndarray, case: Case) -> dict:
    """Return an image's row with the values of its plug-in scorers, and why some have none.

    Args:
        pixels: uint8 (H, W, 3).
    """
    values, unscored = scorer_values(scorers, pixels, case) if row["finite"] else (no_values(scorers), {})
    return {**row, "scorers": values, "unscored": unscored}


def score_image(standard: Standard, pixels: np.ndarray, row: Mapping) -> Score:
    """Score an image whose row has the values of its plug-in scorers already."""
    case = case_of(row)
    values = row["scorers"]
    distances = (
        scorer.weight * beyond(number(values[scorer.name]), standard.edges[scorer.name][case])
        for scorer in standard.scorers
        if scorer.weight
    )
    return score(
        pixels,
        standard.bands[case],
        finite=row["finite"],
        stopped=stop_verdict(row),
        beyond=hypot(*distances),
        thresholds=standard.thresholds,
    )


# -- notes for the user


def idle_notes(standard: Standard) -> list[str]:
    """Return a note on each scorer with a weight whose references have no value to compare with."""
    return [
        f"The scorer {name} adds nothing to the defect: no healthy reference has a value other than 0."
        for name, edges in standard.edges.items()
        if not any(edges.values())
    ]


def failure_notes(rows: Sequence[Mapping]) -> dict[str, str]:
    """Return scorer -> a note on the first of these images that it has no value for."""
    found: dict[str, str] = {}
    for row in rows:
        for name, said in row.get("unscored", {}).items():
            found.setdefault(
                name, f"The scorer {name} has no value for {row['file']}: {said}. Its cell is empty."
            )
    return found
