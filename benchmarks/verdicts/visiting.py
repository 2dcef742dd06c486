"""Sound pictures of more of Debian's packages, chosen by a rule: the gate was not fitted to them.

The program judges renders, so these are pictures of something, filled to their borders: large, mostly opaque,
neither mostly of one colour nor of hardly any contrast, and no tile, sheet of parts or window of a program.
Those join themselves at their ends, repeat themselves or have straight borders from side to side. Of pictures
that are alike the first is taken. No gate is asked. They lie where those of
`benchmarks.verdicts.packages` do.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.verdicts.packages import in_packages

# Package -> where below usr/ its pictures lie; chosen by their names and how many files they have.
VISITING = {
    "blobwars-data": "share/games/blobwars/gfx/",
    "crawl-tiles-data": "share/games/crawl/dat/tiles/",
    "debian-edu-artwork-emerald": "share/",
    "debian-edu-artwork-spacefun": "share/",
    "extremetuxracer-data": "share/games/etr/env/",
    "hugin-data": "share/hugin/xrc/data/",
    "imagemagick-6-doc": "share/doc/imagemagick-6-common/html/",
    "lincity-ng-data": "share/games/lincity-ng/images/",
    "luola-levels": "share/games/luola/",
    "pekka-kana-2-data": "share/games/pekka-kana-2/data/gfx/",
    "planetblupi-common": "share/planetblupi/image/",
    "raincat-data": "share/games/raincat/data/levels/",
    "ruby-rmagick-doc": "share/doc/ruby-rmagick-doc/html/",
    "starfighter-data": "share/games/starfighter/gfx/",
    "sway-backgrounds": "share/backgrounds/",
    "tuxtype-data": "share/tuxtype/",
}
NO_PICTURES = "texture", "pattern", "normal", "trimap"  # in a path
LEAST_SIDE = 256
MOST_OF_ONE_COLOUR, LEAST_OPAQUE = 0.7, 0.6  # shares of a picture; others are paper, cut-outs and sheets
REPEATS = 1.6  # times the usual step from row to row: a picture whose ends are so close is a tile
WINDOWS = "screenshot", "window", "tab", "prefs", "menu", "gui"  # in a name
PARTS = "sheet", "key", "logo", "shadow", "floor", "obj"
ALIKE, LEAST_CONTRAST = 10.0, 10.0  # levels: of 8 × 8 means apart; of luma's deviation
STEP, CROSSED, ABOVE_USUAL = 6.0, 0.5, 3.0  # levels; share of a line; times the median line's
REPEATED = 0.4  # of the correlation with itself, by which that of a picture moved on rises again
MOST_STRAIGHT = 2  # lines each way: a horizon or the edges of a film may run so far


def visiting_packages(folder: Path | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Style, name and picture, uint8 (H, W, 3); nothing without a folder.

    Raises:
        BadInput: a package is not in the folder.
    """
    seen: list[np.ndarray] = []

    def unseen(file: Path) -> bool:
        with Image.open(file) as opened:
            small = np.asarray(opened.convert("RGB").resize((8, 8), Image.Resampling.BOX)).astype(np.float32)
        if not is_whole(file) or any(np.abs(small - one).mean() < ALIKE for one in seen):
            return False
        seen.append(small)
        return True

    return in_packages(folder, VISITING, unseen)


def is_whole(file: Path) -> bool:
    """Return whether a file is a picture, and no sheet or window."""
    if any(word in file.name.lower() for word in WINDOWS + PARTS) or not _is_picture(file):
        return False
    with Image.open(file) as opened:
        luma = np.asarray(opened.convert("RGB").convert("L")).astype(np.float32)
    if luma.std() < LEAST_CONTRAST or max(_straight(luma), _straight(luma.T)) > MOST_STRAIGHT:
        return False
    return max(_repeated(luma), _repeated(luma.T)) < REPEATED


def _straight(luma: np.ndarray) -> int:
    """Return how many lines across a picture are borders over most of their length."""
    shares = (np.abs(np.diff(luma, axis=0)) > STEP).mean(axis=1)
    return int((shares > max(CROSSED, ABOVE_USUAL * float(np.median(shares)))).sum())


def _repeated(luma: np.ndarray) -> float:
    """Return by how much a picture is liker itself moved down by some rows than moved by fewer."""
    waves = np.abs(np.fft.rfft(luma - luma.mean(), axis=0)) ** 2
    alike = np.fft.irfft(waves.sum(axis=1), len(luma))[: len(luma) // 2]
    alike = alike / max(float(alike[0]), 1e-6)
    return float((alike - np.minimum.accumulate(alike)).max())


def _is_picture(file: Path) -> bool:
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
