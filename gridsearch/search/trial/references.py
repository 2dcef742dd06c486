"""The healthy band of each case, from the parents' own renders."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from math import nan
from pathlib import Path

from gridsearch.render.cases import Case, case_of
from gridsearch.results.store.paths import picture_of
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.image import read_image
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRICS, Metrics
from gridsearch.score.score import number, score_row
from gridsearch.score.scorers.plugins import Scorer, ScorerLimit, edge_of
from gridsearch.score.verdict import Thresholds, usable_reference
from gridsearch.search.trial.standard import Standard, score_image, with_values


def scored_references(
    folder: Path, rows: Sequence[dict], models: Iterable[str], cases: Sequence[Case], by: Standard
) -> tuple[list[dict], Standard]:
    """Measure and score reference images again; returns their rows and the standard that they set.

    Args:
        models: those whose renders set the standard; the others' are scored like any image.
        cases: of all images.
        by: thresholds and scorers; its bands and edges are ignored.
    """
    pictures = [read_image(picture_of(folder, row["file"])) for row in rows]
    known = {case.id: case for case in cases}
    measured = [
        with_values(row | asdict(measure(picture)), by.scorers, picture, known[case_of(row)])
        for row, picture in zip(rows, pictures, strict=True)
    ]
    standard = standard_of([row for row in measured if row["model"] in set(models)], list(known), by)
    scores = [score_image(standard, picture, row) for row, picture in zip(measured, pictures, strict=True)]
    return [row | score_row(score) for row, score in zip(measured, scores, strict=True)], standard


def standard_of(references: Sequence[Mapping], case_ids: Sequence[str], by: Standard) -> Standard:
    """Return the standard that references set, those among them that are healthy themselves.

    Args:
        references: rows with metrics and plug-in scorers' values.
        by: thresholds and scorers; its bands and edges are ignored.
    """
    usable = [row for row in references if _usable(row, by.thresholds)]
    edges = {scorer.name: _edges_of(usable, case_ids, scorer) for scorer in by.scorers if scorer.weight}
    return replace(by, bands=_bands_of(usable, case_ids), edges=edges)


def _usable(row: Mapping, thresholds: Thresholds) -> bool:
    return row["finite"] and usable_reference(metrics_of(row), thresholds)


def _bands_of(usable: Sequence[Mapping], case_ids: Sequence[str]) -> dict[str, Band]:
    """Return the healthy band of each case."""
    if not usable:
        return dict.fromkeys(case_ids, POPULATION)
    own = {case_of(row): metrics_of(row) for row in reversed(usable)}
    population = [metrics_of(row) for row in usable]
    return {case: band_of(population, own.get(case)) for case in case_ids}


def _edges_of(
    usable: Sequence[Mapping], case_ids: Sequence[str], scorer: Scorer
) -> dict[str, ScorerLimit | None]:
    """Return, for each case, the value at which a scorer stops being healthy."""
    assert scorer.direction is not None  # where there is a weight, the experiment demands it
    values = [number(row["scorers"].get(scorer.name)) for row in usable]
    own = {case_of(row): value for row, value in reversed(list(zip(usable, values, strict=True)))}
    return {case: edge_of(values, own.get(case, nan), scorer.direction) for case in case_ids}


def metrics_of(row: Mapping) -> Metrics:
    """Return the metrics in a stored row; one that was not measured then is undefined."""
    return Metrics(**{name: number(row.get(name)) for name in METRICS})
