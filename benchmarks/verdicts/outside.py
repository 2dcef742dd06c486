"""Sound pictures of fourteen more of Debian's packages, chosen by a rule: the gate was not fitted to them.

A file is a picture if it is large enough, mostly opaque, not mostly of one colour, and no tile. Nothing that
the gate looks at is asked. They lie where those of `benchmarks.verdicts.packages` do.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.verdicts.packages import in_packages

# Package -> where below usr/ its pictures lie; chosen by their names, before any picture was seen.
OUTSIDE = {
    "enigma-data": "share/games/enigma/",
    "frozen-bubble-data": "share/games/frozen-bubble/gfx/",
    "gimp-help-en": "share/gimp/2.0/help/en/images/tutorials/",
    "glob2-data": "share/games/glob2/",
    "gnome-user-docs": "share/help/",
    "marble-data": "share/marble/",
    "neverball-data": "share/games/neverball/",
    "opencv-doc": "share/doc/opencv-doc/examples/data/",
    "pathological": "share/games/pathological/",
    "pychess": "share/pychess/",
    "ri-li-data": "share/games/",
    "supertux-data": "share/games/supertux2/images/",
    "warmux-data": "share/games/warmux/",
    "xmoto-data": "share/games/xmoto/",
}
NO_PICTURES = "texture", "pattern", "normal", "trimap"  # in a path
LEAST_SIDE = 256
MOST_OF_ONE_COLOUR, LEAST_OPAQUE = 0.7, 0.6  # shares of a picture; others are paper, cut-outs and sheets
REPEATS = 1.6  # times the usual step from row to row: a picture whose ends are so close is a tile


def outside_packages(folder: Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Style, name and picture, uint8 (H, W, 3); nothing without a folder.

    Raises:
        BadInput: a package is not in the folder.
    """
    return in_packages(folder, OUTSIDE, is_picture)


def is_picture(file: Path) -> bool:
    """Return whether a file is large and filled, neither empty nor cut out, and is no tile."""
    if any(word in str(file).lower() for word in NO_PICTURES):
        return False
    with Image.open(file) as opened:
        if min(opened.size) < LEAST_SIDE:
            return False
        image = opened.convert("RGBA")
    luma = np.asarray(image.convert("L")).astype(float)
    image.thumbnail((256, 256))
    opaque = (np.asarray(image)[..., 3] > 128).mean()
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int) // 8, 2, 0)
    counts = np.bincount(((red * 32 + green) * 32 + blue).ravel())
    filled = opaque >= LEAST_OPAQUE and counts.max() / counts.sum() <= MOST_OF_ONE_COLOUR
    return bool(filled and not (_meets(luma) and _meets(luma.T)))


def _meets(luma: np.ndarray) -> bool:
    """Return whether the first and the last column are as alike as neighbours are."""
    usual = float(np.abs(np.diff(luma[:: max(1, len(luma) // 64)], axis=1)).mean())
    return float(np.abs(luma[:, 0] - luma[:, -1]).mean()) <= REPEATS * usual + 0.5
