"""The likeness of a run's images to the references, by stored features: of each image, and each trial."""

from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridsearch.render.cases import case_of
from gridsearch.results.columns import FEATURES, LIKENESS
from gridsearch.score.sets import likeness, set_distance, unpacked

References = Sequence[tuple[Mapping[str, Any], NDArray[np.float64]]]  # rows, and their features


def sound_references(rows: Iterable[Mapping[str, Any]], models: Iterable[str]) -> References:
    """Return the healthy renders of these models that have features."""
    chosen, found = set(models), list[tuple[Mapping[str, Any], NDArray[np.float64]]]()
    for row in rows:
        own = _features_of(row, found)
        if own is not None and row["model"] in chosen and row["verdict"] == "ok":
            found.append((row, own))
    return found


def with_likeness(row: dict[str, Any], references: References) -> dict[str, Any]:
    """Return an image's row with its mean cosine to the references of its case, of its prompt, and to all."""
    own = _features_of(row, references)
    if own is None:
        return row
    groups = (
        [found for other, found in references if case_of(other) == case_of(row)],
        [found for other, found in references if other["prompt_id"] == row["prompt_id"]],
        [found for _, found in references],
    )
    values = {name: likeness(own, _together(group)) for name, group in zip(LIKENESS, groups, strict=True)}
    return row | {"scorers": row.get("scorers", {}) | values}


def distance_of(rows: Iterable[Mapping[str, Any]], references: References) -> float:
    """Return the distance of a trial's images, those with features, from the references as a set.

    It is nan where there are too few of either.
    """
    if not references:
        return nan
    drawn = [own for row in rows if (own := _features_of(row, references)) is not None]
    return set_distance(_together(drawn), _together([found for _, found in references]))


def _features_of(row: Mapping[str, Any], references: References) -> NDArray[np.float64] | None:
    """Return an image's features; None where it has none, or none that compare with the references'."""
    own = unpacked(row[FEATURES]) if row.get(FEATURES) else None
    return own if own is None or not references or own.shape == references[0][1].shape else None


def _together(features: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.stack(features) if len(features) else np.empty((0, 0))
