"""The names of AUTOMATIC1111's grids, and what their names and their texts say of their size.

The web UI names a grid of its X/Y/Z script `xyz_grid-0001-...`, and that of a batch `grid-0001-...`
(`scripts/xyz_grid.py` and `modules/processing.py`, as of 1.10). People put words before that.
"""

import re
from pathlib import Path

PREFIX = "xyz_grid-"

_XYZ = re.compile(r"(?<![a-z])xyz[_-]grid(?![a-z])", re.IGNORECASE)
_BATCH = re.compile(r"(?<![a-z])grid-\d{3,}(?!\d)", re.IGNORECASE)
# xyz_grid-{index}-{seed}-{grid width}-{grid height}-{cfg}-{steps}-{YYYYMMDDHHMMSS}
_NAME = re.compile(rf"{PREFIX}\d+-\d+-([1-9]\d*)-([1-9]\d*)-\d+(?:\.\d+)?-\d+-\d{{14}}", re.IGNORECASE)

_SIZE = re.compile(r"(?:^|, )Size: (\d{1,5})x(\d{1,5})(?:,|$)")
_LARGER = re.compile(r", Hires upscale: (\d{1,2}(?:\.\d{1,3})?)(?:,|$)")
_RESIZED = re.compile(r", Hires resize: (\d{1,5})x(\d{1,5})(?:,|$)")


def is_grid(path: str | Path) -> bool:
    """Return whether a file is named as an X/Y/Z grid, whatever comes before and in whatever case."""
    return bool(_XYZ.search(Path(path).name))


def is_batch_grid(path: str | Path) -> bool:
    """Return whether a file is named as the grid of a batch."""
    return not is_grid(path) and bool(_BATCH.search(Path(path).name))


def is_of_xyz_script(text: str) -> bool:
    """Return whether a picture's text says that the X/Y/Z script made it."""
    return "Script: X/Y/Z plot" in _settings(text)


def has_z_axis(text: str) -> bool:
    """Return whether a grid's text names a Z axis."""
    return ", Z Type: " in _settings(text)


def told_size(path: str | Path) -> tuple[int, int] | None:
    """Return the grid's width and height before any scaling, if its name tells them."""
    found = _NAME.search(Path(path).name)
    return (int(found[1]), int(found[2])) if found else None


def told_cell(text: str) -> tuple[int, int] | None:
    """Return the width and height of a grid's pictures before any scaling, if its text tells them."""
    line = _settings(text)
    found = _RESIZED.search(line) or _SIZE.search(line)
    if not found:
        return None
    larger = _LARGER.search(line)
    scale = float(larger[1]) if larger and found.re is _SIZE else 1.0
    width, height = (int(int(side) * scale) for side in found.groups())
    return (width, height) if width and height else None


def _settings(text: str) -> str:
    """Return the last line of a picture's text, which has the settings."""
    return text.rstrip().rpartition("\n")[2]
