"""The description of a checkpoint file or a diffusers folder, in rows of words.

Texts that others wrote into a file are shown in printable characters and truncated: they may be megabytes,
and may hold codes that a terminal would obey.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.base.words import size
from gridsearch.checkpoint.header import Checkpoint, open_checkpoint
from gridsearch.checkpoint.identity import cached_sha256, identity_of, short_hash
from gridsearch.checkpoint.ldm.adapter_files import ADAPTERS, adapter_facts
from gridsearch.checkpoint.ldm.folder import INDEX
from gridsearch.checkpoint.ldm.keys import ZERO_SNR_MARKER
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import MERGEABLE, architecture, stray_keys
from gridsearch.checkpoint.mergeable import merge_in_words
from gridsearch.checkpoint.prediction import (
    FLOW,
    NOTHING_SAID,
    SCHEDULER,
    Prediction,
    read_prediction,
    scheduler_says,
)

SHOWN_LETTERS = 200  # of a value
SHOWN_LINES = 16  # of a recipe
MOST_RECIPE = 20_000  # characters; indented, one that is nested can be a thousand times as long
SHOWN_ENTRIES = 40  # of the metadata
SHOWN_KEYS = 3
RECIPES = ("sd_merge_recipe", "sd_merge_models")

MOST_JSON_BYTES = 1_000_000  # real files have less than 10 kB
MOST_COMPONENTS = 50

Hashing = Callable[[str, int], Callable[[int], None]]
Row = tuple[str, str]


@dataclass(frozen=True)
class Folder:
    """A diffusers folder: its pipeline, the class of each component, and the weights files."""

    path: Path
    pipeline: str
    classes: dict[str, str]  # component -> class
    weights: dict[str, tuple[Checkpoint, ...]]  # component -> files
    prediction: Prediction


def open_any(path: Path) -> Checkpoint | Folder:
    """Open a safetensors file or a diffusers folder; a BadInput where it is neither, or broken."""
    if not (path / INDEX).is_file():
        return open_model(path)
    index = read_json_object(path / INDEX, MOST_JSON_BYTES, "file")
    classes = {
        name: entry[1]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)
        if re.fullmatch(r"\w{1,100}", name, re.ASCII)  # a folder inside: other names lead out of it
    }
    if len(classes) > MOST_COMPONENTS:
        raise BadInput(f"A pipeline has at most {MOST_COMPONENTS} components.", where=path / INDEX)
    files = {name: sorted((path / name).glob("*.safetensors")) for name in classes}
    weights = {name: tuple(map(open_checkpoint, found)) for name, found in files.items() if found}
    return Folder(path, str(index.get("_class_name")), classes, weights, _scheduler_prediction(path))


def _scheduler_prediction(path: Path) -> Prediction:
    said, rescaled, shift = scheduler_says(path)
    source = SCHEDULER if said else f"default: {SCHEDULER} says nothing"
    return Prediction(said or "epsilon", source, rescaled, shift=shift)


def described(opened: Checkpoint | Folder, hashing: Hashing, config: Path | None = None) -> list[Row]:
    """Return labels and words. `hashing(name, bytes)` gives a function to be told the bytes read.

    `config` has the component configs of a model that is smaller than its family's.
    """
    if isinstance(opened, Folder):
        return _folder_rows(opened, hashing, config)
    kind = architecture(opened)
    sha256 = cached_sha256(opened.path, hashing(opened.path.name, opened.bytes))
    prediction = read_prediction(opened)
    rows = [("layout", layout_of(opened)), ("architecture", kind)]
    if kind in ADAPTERS:
        rows += adapter_facts(opened)
    if kind not in ADAPTERS or prediction.source != NOTHING_SAID:
        rows += _prediction_rows(prediction, f"marker key {ZERO_SNR_MARKER}")
    rows += [
        ("size", f"{size(opened.bytes)}, {len(opened.tensors):,} tensors"),
        ("dtypes", _dtypes(opened)),
        ("SHA-256", sha256),
        ("A1111 hash", short_hash(sha256)),
    ]
    if kind in MERGEABLE or "SDXL" in kind:
        rows.append(("stray keys", _some(stray_keys(opened))))
    rows.append(("can be merged", merge_in_words(opened, config)))
    return rows + _metadata_rows(opened.metadata)


def layout_of(checkpoint: Checkpoint) -> str:
    """Return in words how a model is kept."""
    if checkpoint.path.is_dir():
        return "diffusers folder"
    if checkpoint.parts:
        return f"its parts in {len(checkpoint.files)} files"
    kind, others = architecture(checkpoint), len(checkpoint.pieces)
    if kind in ADAPTERS:
        return "single file"
    spelt = f", {others:,} of them under other names or in other shapes" if others else ""
    return f"single file, {'diffusers' if kind.startswith('a diffusers') else 'original'} keys{spelt}"


def _prediction_rows(prediction: Prediction, zero_snr_source: str) -> list[Row]:
    rows = [("prediction type", f"{prediction.type} ({prediction.source})")]
    if prediction.conflicts:
        rows.append(("but", "; ".join(prediction.conflicts)))
    if prediction.type == FLOW:
        shift = f"{prediction.shift:g} ({SCHEDULER})" if prediction.shift else "not said"
        return [*rows, ("shift", shift)]
    said = f"yes ({zero_snr_source})" if prediction.zero_terminal_snr else "no"
    return [*rows, ("zero terminal SNR", said)]


def _dtypes(*files: Checkpoint) -> str:
    counts = Counter(info.dtype for file in files for info in file.tensors.values())
    return ", ".join(f"{dtype} x {count:,}" for dtype, count in counts.most_common()) or "none"


def _some(keys: tuple[str, ...]) -> str:
    if not keys:
        return "none"
    more = ", ..." if len(keys) > SHOWN_KEYS else ""
    return f"{len(keys):,}: {', '.join(printable(key) for key in keys[:SHOWN_KEYS])}{more}"


# -- a folder


def _folder_rows(folder: Folder, hashing: Hashing, config: Path | None) -> list[Row]:
    rows = [("layout", "diffusers folder"), ("pipeline", printable(folder.pipeline))]
    rows += _prediction_rows(folder.prediction, folder.prediction.source)
    for name, kind in folder.classes.items():
        files = folder.weights.get(name, ())
        amount = f", {size(sum(file.bytes for file in files))}, {_dtypes(*files)}" if files else ""
        rows.append((printable(name, 60), f"{printable(kind)}{amount}"))
        for file in files:
            sha256 = cached_sha256(file.path, hashing(f"{name}/{file.path.name}", file.bytes))
            rows += [("  file", printable(file.path.name)), ("  SHA-256", sha256)]
    try:
        model = open_model(folder.path)
    except BadInput as error:
        return [*rows, ("can be merged", f"no: {error.lines[0]}")]
    rows.append(("SHA-256", f"{identity_of(model)[0]} (of all files that are read)"))
    return [
        *rows,
        *(("note", note) for note in model.notes),
        ("can be merged", merge_in_words(model, config)),
    ]


# -- metadata


def _metadata_rows(metadata: Mapping[str, str]) -> list[Row]:
    shown = sorted(metadata)[:SHOWN_ENTRIES]
    rows = [("metadata", f"{len(metadata):,} entries" if metadata else "none")]
    rows += [(f"  {printable(key, 60)}", _value(key, metadata[key])) for key in shown]
    if len(metadata) > len(shown):
        rows.append(("  ...", f"and {len(metadata) - len(shown):,} more"))
    return rows


def shown_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the first entries in printable characters, truncated: as much metadata as is stored."""
    return {printable(key, 60): printable(metadata[key]) for key in sorted(metadata)[:SHOWN_ENTRIES]}


def _value(key: str, value: str) -> str:
    if key in RECIPES and len(value) <= MOST_RECIPE:
        try:
            lines = json.dumps(json.loads(value), indent=2, ensure_ascii=False).splitlines()
        except (ValueError, RecursionError):
            return printable(value)
        more = [f"... ({len(lines):,} lines)"] if len(lines) > SHOWN_LINES else []
        return "\n".join([printable(line) for line in lines[:SHOWN_LINES]] + more)
    return printable(value)


def printable(text: str, letters: int = SHOWN_LETTERS) -> str:
    """Return the beginning of a text, with every code that a terminal would obey spelt out."""
    note = f"... ({len(text):,} characters)" if len(text) > letters else ""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:letters]) + note
