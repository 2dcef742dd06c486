"""The standard by which a run's images are scored: healthy bands, thresholds and plug-in scorers.

The bands are from the parents' own renders, the references.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from math import hypot, nan
from pathlib import Path

import numpy as np

from gridsearch.experiment.tables import Scoring
from gridsearch.render.cases import Case, case_of
from gridsearch.results.columns import CONTENT, FEATURES, RESERVED
from gridsearch.results.store.paths import picture_of
from gridsearch.score.band import Band, band_of
from gridsearch.score.measure import Measuring, measure, read_image
from gridsearch.score.metrics import METRICS, Metrics
from gridsearch.score.score import NEVER_FINITE, Score, number, score_of, score_row
from gridsearch.score.scorers.plugins import (
    Scorer,
    ScorerLimit,
    Weighed,
    beyond,
    edge_of,
    open_scorers,
    scorer_values,
)
from gridsearch.score.second_look import measure_by
from gridsearch.score.sets import backbone_key, packed
from gridsearch.score.verdict import USUAL_THRESHOLDS, Thresholds, Verdict, usable_reference
from gridsearch.search.trial.tasting import Tasting, tasted, tasting_of, with_worths


@dataclass(frozen=True)
class Standard:
    """The standard by which images are scored."""

    thresholds: Thresholds = USUAL_THRESHOLDS  # of the gates
    measured: Measuring = measure
    scorers: Sequence[Scorer] = ()
    content: Weighed | None = None  # what the parents find of the prompt, where they are asked
    features: Callable[[np.ndarray], np.ndarray] | None = None  # of a picture, where a backbone is given
    bands: Mapping[str, Band] = field(default_factory=dict)  # case id -> the healthy band of its metrics
    backbone: str = ""  # its key
    tasting: Tasting | None = None  # the person's taste, where it is asked for and knows something
    # scorer with a weight -> case id -> the value at which it stops being healthy, where the references tell
    edges: Mapping[str, Mapping[str, ScorerLimit | None]] = field(default_factory=dict)

    @property
    def weighed(self) -> list[Weighed]:
        """The values beside the metrics that count in the defect."""
        asked = (*self.scorers, *([self.content] if self.content else []))
        return [one for one in asked if one.counts]


def open_standard(scoring: Scoring) -> Standard:
    """Open the scorers of an experiment; the standard has no bands before there are references.

    Raises:
        BadInput: a scorer is not installed, or does not work with its options; or the network of the second
            look is not.
    """
    gates = Thresholds(**scoring.thresholds.model_dump(exclude_none=True))
    scorers, features = open_scorers(scoring.scorer, RESERVED), _features(scoring.features)
    key = backbone_key(scoring.features) if scoring.features else ""
    asked = scoring.content
    content = Weighed(CONTENT, asked.weight, "higher") if asked else None
    measured = measure_by(scoring.second_look)
    return Standard(gates, measured, scorers, content, features, backbone=key)


def with_taste(by: Standard, scoring: Scoring, stored: Mapping | None) -> Standard:
    """Return the standard with the taste that a study's facts hold, where it is asked for and can tell."""
    return replace(by, tasting=tasting_of(scoring, stored, by.backbone))


def _features(folder: Path | None) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the backbone in a checked folder, which makes features of a picture."""
    if folder is None:
        return None
    from gridsearch.score.scorers.backbone import check_backbone, picture_features  # imports torch

    check_backbone(str(folder))
    return partial(picture_features, folder=str(folder))


def with_values(
    row: Mapping, by: Standard, pixels: np.ndarray, case: Case, content: float | None = None
) -> dict:
    """Return an image's row with its content and the values of its plug-in scorers, and why some have none.

    `pixels` are uint8 (H, W, 3). The content needs the models: where it is None, the row's own stays.
    """
    none = {scorer.name: nan for scorer in by.scorers}
    values, unscored = scorer_values(by.scorers, pixels, case) if row["finite"] else (none, {})
    if by.content:
        values[CONTENT] = row.get("scorers", {}).get(CONTENT, nan) if content is None else content
    features = {FEATURES: packed(by.features(pixels))} if by.features and row["finite"] else {}
    return {**row, "scorers": values, "unscored": unscored, **features}


def scored_row(standard: Standard, row: Mapping, metrics: Metrics) -> tuple[dict, Score]:
    """Return an image's row with its score, and with what it is worth to the person; and the score alone.

    The row has the values of its plug-in scorers already.
    """
    found = _score(standard, row, metrics) if row["finite"] else NEVER_FINITE
    scored = tasted({**row, **score_row(found)}, standard.tasting)
    return scored, replace(found, defect=scored["defect"])


def _score(standard: Standard, row: Mapping, metrics: Metrics) -> Score:
    case, stopped = case_of(row), None
    if row.get("stopped"):
        steps = row["unet_calls"] + row["unet_calls_saved"]
        why = f"{row['stopped_because']}; stopped at step {row['unet_calls']} of {steps}"
        stopped = Verdict(row["stopped"], why)
    distances = (
        scorer.weight_for(row["prompt_id"])
        * beyond(number(row["scorers"][scorer.name]), standard.edges[scorer.name][case], scorer.one_sided)
        for scorer in standard.weighed
    )
    band, limits = standard.bands[case], standard.thresholds
    return score_of(metrics, band, stopped=stopped, beyond=hypot(*distances), thresholds=limits)


def scored_references(
    folder: Path, rows: Sequence[dict], models: Iterable[str], cases: Mapping[str, Case], by: Standard
) -> tuple[list[dict], Standard]:
    """Measure and score reference images again; returns their rows and the standard that they set.

    Only renders of `models` set the standard; the others' are scored like any image.
    """
    pictures = [read_image(picture_of(folder, row["file"])) for row in rows]
    measured = [
        with_values(row | asdict(by.measured(picture)), by, picture, cases[case_of(row)])
        for row, picture in zip(rows, pictures, strict=True)
    ]
    standard = standard_of([row for row in measured if row["model"] in set(models)], [*cases], by)
    return [scored_row(standard, row, metrics_of(row))[0] for row in measured], standard


def standard_of(references: Sequence[Mapping], case_ids: Sequence[str], by: Standard) -> Standard:
    """Return the standard that measured references set, those among them that are healthy themselves.

    Its thresholds and scorers are those of `by`.
    """
    usable = [row for row in references if row["finite"] and usable_reference(metrics_of(row), by.thresholds)]
    population = [metrics_of(row) for row in usable]
    own = {case_of(row): metrics_of(row) for row in reversed(usable)}
    bands = {case: band_of(population, own.get(case)) for case in case_ids}
    edges = {scorer.name: _edges_of(usable, case_ids, scorer) for scorer in by.weighed}
    tasting = with_worths(by.tasting, references) if by.tasting else None
    return replace(by, bands=bands, edges=edges, tasting=tasting)


def _edges_of(
    usable: Sequence[Mapping], case_ids: Sequence[str], scorer: Weighed
) -> dict[str, ScorerLimit | None]:
    """Return, for each case, the value at which a scorer stops being healthy."""
    assert scorer.direction is not None  # where there is a weight, the experiment demands it
    values = [number(row["scorers"].get(scorer.name)) for row in usable]
    own = {case_of(row): value for row, value in reversed(list(zip(usable, values, strict=True)))}
    return {case: edge_of(values, own.get(case, nan), scorer.direction) for case in case_ids}


def metrics_of(row: Mapping) -> Metrics:
    """Return the metrics in a stored row; one that was not measured then is undefined."""
    return Metrics(**{name: number(row.get(name)) for name in METRICS})


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
