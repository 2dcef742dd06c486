"""What healthy looks like for each case, from the parents' own renders."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from gridsearch.outcome import score_row
from gridsearch.render.cases import case_id
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.image import read_image
from gridsearch.score.metrics import Metrics, measure
from gridsearch.score.score import score
from gridsearch.score.verdict import usable_reference


def judged_references(folder: Path, rows: Sequence[dict]) -> list[dict]:
    """The rows of reference images in `folder` with today's metrics, and each judged by all of them."""
    pictures = [read_image(folder / row["file"]) for row in rows]
    measured = [row | asdict(measure(picture)) for row, picture in zip(rows, pictures, strict=True)]
    ids = [case_id(row["prompt_id"], row["seed"]) for row in rows]
    bands = bands_of(measured, ids)
    scores = (
        score(picture, bands[name], finite=row["finite"])
        for row, picture, name in zip(rows, pictures, ids, strict=True)
    )
    return [row | score_row(judged) for row, judged in zip(rows, scores, strict=True)]


def bands_of(references: Sequence[dict], case_ids: Sequence[str]) -> dict[str, Band]:
    """What healthy looks like for each case, from the references that are healthy themselves."""
    usable = [
        (case_id(row["prompt_id"], row["seed"]), metrics_of(row)) for row in references if row["finite"]
    ]
    usable = [(case_id, metrics) for case_id, metrics in usable if usable_reference(metrics)]
    if not usable:
        return dict.fromkeys(case_ids, POPULATION)
    own = {case_id: metrics for case_id, metrics in reversed(usable)}
    population = [metrics for _, metrics in usable]
    return {case_id: band_of(population, own.get(case_id)) for case_id in case_ids}


def metrics_of(row: Mapping) -> Metrics:
    """The metrics in a stored row, where an undefined one is None."""
    values = {field.name: row[field.name] for field in fields(Metrics)}
    return Metrics(**{name: float("nan") if value is None else value for name, value in values.items()})
