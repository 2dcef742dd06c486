"""Saving a rendered image: the picture with its parameters inside, and its trace where that is asked for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from gridsearch.base.files import write_atomic
from gridsearch.experiment.recipe import Recipe
from gridsearch.experiment.tables import Format
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.draw import Rendered
from gridsearch.render.pictures import ENCODERS, parameters_text


@dataclass(frozen=True)
class Origin:
    """The weights and the device that rendered an image, as its text names them."""

    model: str
    model_hash: str
    recipe: str
    place: object


def merge_hash(recipe: Recipe, hashes: Mapping[str, str]) -> str:
    """Return ten hex digits of a recipe and its files' hashes, as A1111's short hash identifies a file."""
    said = recipe.model_dump_json(include={"merge", "components"})
    return hashlib.sha256(json.dumps([said, sorted(hashes.items())]).encode()).hexdigest()[:10]


def save_image(
    out: Path, name: str, drawn: Rendered, sampling: Sampling, origin: Origin, written_as: Format = "png"
) -> dict:
    """Write an image into a results folder; returns its row, which is not scored yet.

    The case's id follows its name: `images/t0007_`, `references/base.`. A file of the same name in another
    format is replaced: a kill left it before the format was changed.
    """
    text = parameters_text(drawn.case, sampling, **vars(origin))

    def write(name: str, pixels: np.ndarray) -> str:
        for other in ENCODERS.keys() - {written_as}:
            (out / f"{name}.{other}").unlink(missing_ok=True)
        write_atomic(out / f"{name}.{written_as}", ENCODERS[written_as](pixels, text))
        return f"{name}.{written_as}"

    file, film = write(f"{name}{drawn.case.id}", drawn.pixels), None
    if drawn.film is not None:
        trace = f"traces/{PurePath(f'{name}{drawn.case.id}').name}"
        film = write(trace, drawn.film)
        write_atomic(out / f"{trace}.json", json.dumps(drawn.trace.as_row()).encode())
    return {
        "prompt_id": drawn.case.prompt_id,
        "prompt": drawn.case.text,
        "seed": drawn.case.seed,
        "prediction_type": sampling.prediction_type,
        "finite": drawn.finite,
        "seconds": drawn.seconds,
        "unet_calls": drawn.made,
        "unet_calls_saved": drawn.calls - drawn.made,
        "stopped": drawn.stop and drawn.stop.verdict,
        "stopped_because": drawn.stop and drawn.stop.reason,
        "digest": hashlib.blake2b(drawn.pixels.tobytes(), digest_size=8).hexdigest(),
        "file": file,
        "film": film,
    }
