"""What a run's images are judged by: healthy bands, thresholds and plug-in scorers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot

import numpy as np

from gridsearch.experiment.tables import Scoring
from gridsearch.render.cases import Case, case_id
from gridsearch.results.columns import RESERVED
from gridsearch.score.band import Band
from gridsearch.score.score import Score, number, score
from gridsearch.score.scorers.distance import ScorerEdge, beyond
from gridsearch.score.scorers.installed import open_scorers
from gridsearch.score.scorers.plugins import Scorer, no_values, values_of
from gridsearch.score.verdict import USUAL_LIMITS, GateLimits
from gridsearch.search.trial.outcome import stop_verdict


@dataclass(frozen=True)
class Standard:
    """What images are judged by.

    Attributes:
        thresholds: of the gates.
        scorers: the plug-ins.
        bands: case id -> what healthy looks like.
        edges: scorer -> case id -> where its values stop being healthy; of those with a weight. None where
            the references do not say.
    """

    thresholds: GateLimits = USUAL_LIMITS
    scorers: Sequence[Scorer] = ()
    bands: Mapping[str, Band] = field(default_factory=dict)
    edges: Mapping[str, Mapping[str, ScorerEdge | None]] = field(default_factory=dict)


def opened(scoring: Scoring) -> Standard:
    """The thresholds and the scorers of an experiment, before there are references.

    Raises:
        BadInput: a scorer is not installed, or does not work with its options.
    """
    return Standard(GateLimits(**scoring.thresholds.given()), open_scorers(scoring.scorer, RESERVED))


def with_values(row: Mapping, scorers: Sequence[Scorer], pixels: np.ndarray, case: Case) -> dict:
    """An image's row with its plug-in scorers' values, and why some have none.

    Args:
        pixels: uint8 (H, W, 3).
    """
    values, unscored = values_of(scorers, pixels, case) if row["finite"] else (no_values(scorers), {})
    return {**row, "scorers": values, "unscored": unscored}


def judge(standard: Standard, pixels: np.ndarray, row: Mapping) -> Score:
    """The score of an image; its row has its plug-in scorers' values already."""
    case = case_id(row["prompt_id"], row["seed"])
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


# -- what a person should know


def idle_notes(standard: Standard) -> list[str]:
    """Of each scorer that has a weight and nothing to be held against."""
    return [
        f"The scorer {name} adds nothing to the defect: no healthy reference has a value other than 0."
        for name, edges in standard.edges.items()
        if not any(edges.values())
    ]


def failure_notes(rows: Sequence[Mapping]) -> dict[str, str]:
    """Scorer -> what it said of the first of these images that it has no value for."""
    found: dict[str, str] = {}
    for row in rows:
        for name, said in row.get("unscored", {}).items():
            found.setdefault(
                name, f"The scorer {name} has no value for {row['file']}: {said}. Its cell is empty."
            )
    return found
