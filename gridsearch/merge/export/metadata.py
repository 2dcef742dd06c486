"""The metadata of a merged checkpoint: its record, and what other programs read."""

import json
from collections.abc import Iterable, Mapping

from gridsearch.checkpoint.identity import short_hash
from gridsearch.checkpoint.prediction import FLOW
from gridsearch.merge.export.single import KEY, Record

MOST_HISTORY = 1_000_000  # bytes of the parents' own records that are carried along


def metadata_of(record: Record, histories: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the records that other programs read: A1111's and supermerger's recipe, and the model spec.

    https://github.com/Stability-AI/ModelSpec. A parent that is a merge itself brings its own history along.
    """
    return {
        "format": "pt",
        KEY: record.to_json(),
        "sd_merge_models": json.dumps(_history(record, histories), separators=(",", ":")),
        **modelspec(
            record.title, record.prediction_type, record.files.items(), record.its_family.architecture
        ),
    }


# The spec's spelling; and that by which SwarmUI samples a file as ComfyUI's ModelSamplingSD3 does.
_SPELT = {"v_prediction": "v", FLOW: "sd3"}


def modelspec(
    title: str, prediction_type: str, files: Iterable[tuple[str, str]], architecture: str
) -> dict[str, str]:
    """Return the model spec of a file made of these, names with SHA-256."""
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": title,
        "modelspec.merged_from": ", ".join(f"{name} [{short_hash(sha)}]" for name, sha in files),
        "modelspec.prediction_type": _SPELT.get(prediction_type, prediction_type),
    }


def _history(record: Record, histories: Mapping[str, Mapping[str, str]]) -> dict[str, dict]:
    """Return A1111's `sd_merge_models`: SHA-256 -> name and own recipe, of the parents and of theirs."""
    found: dict[str, dict] = {}
    own: dict[str, dict] = {}
    for name, sha256 in record.files.items():
        earlier = _object(histories[name].get("sd_merge_models"))
        recipe = _object(histories[name].get(KEY)) or None
        own[sha256] = {"name": name, "legacy_hash": "", "sd_merge_recipe": None}
        found |= {known: entry for known, entry in earlier.items() if isinstance(entry, dict)}
        found[sha256] = own[sha256] | {"sd_merge_recipe": recipe}
    return found if len(json.dumps(found)) <= MOST_HISTORY else own


def _object(text: str | None) -> dict:
    """Return the JSON object in another program's record, empty where it is none."""
    if text is None or len(text) > MOST_HISTORY:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
