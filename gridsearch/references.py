"""What healthy looks like for each case, from the parents' own renders."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from gridsearch.render.cases import case_id
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.metrics import Metrics
from gridsearch.score.verdict import usable_reference


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
