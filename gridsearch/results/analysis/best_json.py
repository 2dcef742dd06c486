"""best.json: the answer, with all that is needed to merge it again."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gridsearch.base.files import write_atomic
from gridsearch.base.words import value_text
from gridsearch.experiment.parameters import settings_at
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results

ALSO = (
    *("stopped", "given_up", "projection", "neighbours", "front"),
    *("confirmed", "unmasked", "human", "checks"),
)


def write_best(results: Results, answer: Answer, path: Path) -> None:
    write_atomic(
        path, json.dumps(best_dict(results, answer), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    )


def best_dict(results: Results, answer: Answer) -> dict:
    """Return the answer as nested JSON values; what is undefined is null.

    The best slice's fields (trial, ratio, survived, defect, interval, window, ...) stand at the top;
    `merge` and `render` are the experiment's, with the best parameters in the place of their ranges;
    `settings` says of each setting of the images where its value is from.
    """
    found = answer.to_dict()
    slices = [_flat(one) for one in found["slices"]]
    best = {key: value for key, value in slices[0].items() if key != "settings"} if slices else {}
    fixed = settings_at(results.settings, answer.parameters)
    return plain(
        {
            "name": results.name,
            "sentence": answer.sentence,
            "parameters": answer.parameters,
            **best,
            "tied": answer.tied,
            "finished": answer.finished,
            "complete": answer.complete,
            "planned": answer.planned,
            **{key: found[key] for key in ALSO},
            "importances": dict(answer.importances),
            "slices": slices,
            "recipe": {key: fixed.get(key) for key in ("merge", "components", "render")} if best else None,
            "settings": [_found(row, answer.parameters) for row in results.provenance],
            "models": results.models,
            "extras": results.extras,
            "versions": results.versions,
        }
    )


def _flat(found: dict) -> dict:
    """Return a slice with the fields of its doubt beside its other fields."""
    return {**{key: value for key, value in found.items() if key != "doubt"}, **found["doubt"]}


def _found(setting: Mapping, parameters: Mapping) -> Mapping:
    """Return a setting; one that was searched has the best trial's value."""
    name = f"render.{setting['setting']}"
    if name not in parameters:
        return setting
    return {**setting, "value": value_text(parameters[name]), "source": "the search"}


def plain(value: object) -> object:
    """Return nested JSON values: NaN and infinities as null, and what JSON does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)
