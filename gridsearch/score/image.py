"""A picture file in, an array of one kind out; and the one size at which pictures are compared."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from gridsearch.base.pictures import open_picture

WORKING_SIDE = 512  # pixels; a working copy has at most WORKING_SIDE² of them
STRIP_PIXELS = 1024 * 1024  # pixels that are converted at once


def read_image(path: str | Path) -> np.ndarray:
    """The picture in a PNG, JPEG or WebP file as uint8 (H, W, 3).

    Transparency is laid over white, grey is repeated into three channels, 16 bits keep their upper 8.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large (see `gridsearch.base.pictures`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large pictures, the limit here is stricter; of bad EXIF data
        with open_picture(path) as file:
            file.load()
            return _to_rgb(file)


def working_copy(rgb: np.ndarray) -> np.ndarray:
    """The picture at the size at which metrics are taken: reduced to WORKING_SIDE² pixels, or as it is.

    Reducing makes one picture at 512 and at 1024 px, or a published grid's scaled-down cell and the
    native render, give comparable numbers. Nothing is ever enlarged: that would invent blur. So pictures
    of less than WORKING_SIDE² pixels are comparable only with others of their own size.

    Args:
        rgb: uint8 (H, W, 3).
    Returns:
        uint8 (h, w, 3), the same array where nothing is to be reduced.
    """
    height, width = rgb.shape[:2]
    scale = WORKING_SIDE / (height * width) ** 0.5
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Hamming: antialiased and as sharp as a triangle filter allows, without Lanczos's overshoot,
    # which would clip beside every edge.
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.HAMMING))


def _to_rgb(file: Image.Image) -> np.ndarray:
    """In strips: a second copy of a large picture would be gigabytes."""
    width, height = file.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(STRIP_PIXELS // width, 1)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        rgb[top:bottom] = _strip_to_rgb(file.crop((0, top, width, bottom)))
    return rgb


def _strip_to_rgb(file: Image.Image) -> np.ndarray:
    if file.mode.startswith("I"):  # 16-bit grey, as "I;16" or widened to "I"
        grey = (np.asarray(file).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return grey[..., None]
    if file.has_transparency_data:
        layer = file.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(file.convert("RGB"))
