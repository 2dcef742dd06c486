"""A picture file in, an array of one kind out; and the one size at which pictures are compared."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from gridsearch.errors import BadInput

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 64 * 1024 * 1024  # 8192 x 8192: an 8-bit RGB copy of it is 200 MB
TOO_LARGE_FIX = "Scale it down first."
WORKING_SIDE = 512  # pixels; a working copy has at most WORKING_SIDE² of them

# What Pillow's decoders raise on damaged files, apart from OSError.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def read_image(path: str | Path) -> np.ndarray:
    """The picture in a PNG, JPEG or WebP file as uint8 (H, W, 3).

    Transparency is laid over white, grey is repeated into three channels, 16 bits keep their upper 8.

    Raises:
        BadInput: no such file, not a picture, damaged, or more than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, MAX_PIXELS is stricter; of bad EXIF data
            with Image.open(path, formats=FORMATS) as file:
                _check_size(path, *file.size)
                file.load()
                return _to_rgb(file)
    except FileNotFoundError:
        raise BadInput("There is no such picture.", where=path, fix="Check the path.") from None
    except UnidentifiedImageError:
        raise BadInput(
            "This is not a picture.", where=path, fix=f"Give one of {', '.join(FORMATS)}."
        ) from None
    except Image.DecompressionBombError as error:
        raise BadInput("The picture is too large.", where=path, why=str(error), fix=TOO_LARGE_FIX) from None
    except _DAMAGED as error:
        raise BadInput(
            "The picture cannot be read.", where=path, why=str(error), fix="Get it anew."
        ) from None


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


def _check_size(path: str | Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        why = f"{width} x {height} pixels, the limit is {MAX_PIXELS}"
        raise BadInput("The picture is too large.", where=path, why=why, fix=TOO_LARGE_FIX)


def _to_rgb(file: Image.Image) -> np.ndarray:
    if file.mode.startswith("I"):  # 16-bit grey, as "I;16" or widened to "I"
        grey = (np.asarray(file).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if file.has_transparency_data:
        layer = file.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(file.convert("RGB"))
