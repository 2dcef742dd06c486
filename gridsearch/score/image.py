"""Reading pictures as arrays, and reducing them to the size at which metrics are taken."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from gridsearch.base.pictures import open_picture

WORKING_SIDE = 512  # pixels; a working copy has at most WORKING_SIDE² of them
STRIP_PIXELS = 1024 * 1024  # converted at once


def read_image(path: str | Path) -> np.ndarray:
    """Read a PNG, JPEG or WebP file as uint8 (H, W, 3).

    Transparency is laid over white, grey becomes three equal channels, and of 16 bits the upper 8 are kept.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large (see `gridsearch.base.pictures`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large pictures, for our limit is stricter, and bad EXIF data
        with open_picture(path) as file:
            file.load()
            width, height = file.size
            rgb = np.empty((height, width, 3), np.uint8)
            rows = max(STRIP_PIXELS // width, 1)  # a second copy of a large picture would take gigabytes
            for top in range(0, height, rows):
                strip = file.crop((0, top, width, min(top + rows, height)))
                rgb[top : top + rows] = _strip_to_rgb(strip)
            return rgb


def working_copy(rgb: np.ndarray) -> np.ndarray:
    """Return the picture reduced to WORKING_SIDE² pixels, at which metrics are taken, or as it is if smaller.

    So one picture at 512 and at 1024 px, or a scaled-down cell of a published grid and the native render,
    give comparable numbers. Nothing is ever enlarged, which would add blur: pictures of fewer than
    WORKING_SIDE² pixels can only be compared with others of their own size. Pictures are uint8 (H, W, 3).
    """
    height, width = rgb.shape[:2]
    scale = WORKING_SIDE / (height * width) ** 0.5
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Hamming: antialiased, and sharp without the overshoot of Lanczos, which would clip beside edges.
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.HAMMING))


def _strip_to_rgb(file: Image.Image) -> np.ndarray:
    if file.mode.startswith("I"):  # 16-bit grey, as "I;16" or widened to "I"
        grey = (np.asarray(file).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return grey[..., None]
    if file.has_transparency_data:
        layer = file.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(file.convert("RGB"))
