"""What is kept of a drawn image: the picture with its text inside, and its trace where that is asked for."""

import json
from pathlib import Path

from gridsearch.files import write_atomic
from gridsearch.outcome import case_row
from gridsearch.render.draw import Drawn
from gridsearch.render.png import png_bytes
from gridsearch.render.sampling import Sampling


def keep(out: Path, folder: str, name: str, drawn: Drawn, sampling: Sampling, text: str) -> dict:
    """Write an image into a results folder; its row, not yet judged.

    Args:
        folder: "images" or "references".
        name: whose image it is; the case's name follows.
        text: A1111's `parameters`.
    """
    stem = f"{name}_{drawn.case.id}"
    file = f"{folder}/{stem}.png"
    write_atomic(out / file, png_bytes(drawn.pixels, text))
    film = None if drawn.film is None else f"traces/{stem}.png"
    if film:
        write_atomic(out / film, png_bytes(drawn.film, text))
        trace = json.dumps(drawn.trace.as_row())
        write_atomic(out / f"traces/{stem}.json", trace.encode())
    return case_row(drawn.case, sampling.prediction_type, drawn, file, film)
