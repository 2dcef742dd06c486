"""PNG files that say how they were drawn, in the text chunk that A1111 writes and other programs read."""

import io

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

COMPRESSION = 4  # of zlib: 0.12 s for 1024 x 1024 pixels where 6, the default, takes 0.30 s for 5% less


def png_bytes(pixels: np.ndarray, parameters: str) -> bytes:
    """(H, W, 3) uint8 -> a PNG file with its `parameters` text inside.

    As tEXt where Latin-1 is enough, which the most programs read, and otherwise as iTXt.
    """
    info = PngInfo()
    info.add_text("parameters", parameters)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info, compress_level=COMPRESSION)
    return buffer.getvalue()
