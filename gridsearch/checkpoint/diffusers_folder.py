"""A diffusers folder, read from its JSON files and the headers of its weights."""

import re
from dataclasses import dataclass
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.header import Checkpoint, open_checkpoint
from gridsearch.checkpoint.prediction import Prediction, meaning

INDEX = "model_index.json"
SCHEDULER = "scheduler_config.json"
MOST_JSON_BYTES = 1_000_000  # real files have less than 10 kB
MOST_COMPONENTS = 50

# Schedulers whose mathematics is neither of the two, whatever prediction type their config repeats.
_OTHER_MATHEMATICS = {"EDM": "edm", "FlowMatch": "flow"}


@dataclass(frozen=True)
class Folder:
    """A diffusers folder: its pipeline, the class of each component, and the weights files."""

    path: Path
    pipeline: str
    classes: dict[str, str]  # component -> class
    weights: dict[str, tuple[Checkpoint, ...]]  # component -> files
    prediction: Prediction


def is_diffusers_folder(path: Path) -> bool:
    return (path / INDEX).is_file()


def open_folder(path: Path) -> Folder:
    """Read what `model_index.json` names; a weight is not loaded.

    Raises:
        BadInput: a JSON file or a weights file is broken.
    """
    index = read_json_object(path / INDEX, MOST_JSON_BYTES, "file")
    classes = {
        name: entry[1]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str) and _is_component(name)
    }
    if len(classes) > MOST_COMPONENTS:
        raise BadInput(f"A pipeline has at most {MOST_COMPONENTS} components.", where=path / INDEX)
    files = {name: sorted((path / name).glob("*.safetensors")) for name in classes}
    weights = {name: tuple(map(open_checkpoint, found)) for name, found in files.items() if found}
    return Folder(path, str(index.get("_class_name")), classes, weights, _scheduler_prediction(path))


def _is_component(name: str) -> bool:
    """Return whether a name is that of a folder inside: others lead out of it."""
    return re.fullmatch(r"\w{1,100}", name, re.ASCII) is not None


def _scheduler_prediction(path: Path) -> Prediction:
    config = path / "scheduler" / SCHEDULER
    content = read_json_object(config, MOST_JSON_BYTES, "file") if config.is_file() else {}
    name = str(content.get("_class_name"))
    other = next((what for start, what in _OTHER_MATHEMATICS.items() if name.startswith(start)), None)
    said = other or meaning(content.get("prediction_type"))
    trained_down = content.get("rescale_betas_zero_snr") is True
    if said:
        return Prediction(said, SCHEDULER, trained_down)
    return Prediction("epsilon", f"default: {SCHEDULER} says nothing", trained_down)
