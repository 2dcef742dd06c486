"""PNG files that say how they were drawn, in the text chunk that A1111 writes and other programs read."""

import io

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gridsearch.render.cases import Case
from gridsearch.render.samplers import SAMPLERS
from gridsearch.render.sampling import Sampling


def parameters_text(case: Case, sampling: Sampling, recipe: str, place: object) -> str:
    """What A1111 keeps under `parameters`: prompt, negative prompt, one line of settings."""
    lines = [case.text]
    if case.negative:
        lines.append(f"Negative prompt: {case.negative}")
    settings = {
        "Steps": sampling.steps,
        "Sampler": SAMPLERS[sampling.sampler].title,
        "CFG scale": f"{sampling.cfg:g}",
        "Seed": case.seed,
        "Size": f"{sampling.width}x{sampling.height}",
        "Prediction type": sampling.prediction_type,
        "Zero terminal SNR": sampling.zero_terminal_snr,
        "Unconditional": sampling.unconditional,
        "CFG rescale": f"{sampling.cfg_rescale:g}",
        "Recipe": f'"{recipe}"',
        "RNG": "CPU",
        "Drawn on": place,
    }
    return "\n".join([*lines, ", ".join(f"{key}: {value}" for key, value in settings.items())])


def png_bytes(pixels: np.ndarray, parameters: str) -> bytes:
    """(H, W, 3) uint8 -> a PNG file with its `parameters` text inside."""
    info = PngInfo()
    info.add_itxt("parameters", parameters)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
