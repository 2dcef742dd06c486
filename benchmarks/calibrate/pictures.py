"""Pictures to damage: photographs that installed packages carry, and drawn ones. Nothing is downloaded."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gridsearch.base.errors import BadInput
from gridsearch.score.measure import read_image
from tests.helpers.pictures import grey, scene

# Photographs of things and people. The packages' micrographs, textures and test charts are left out:
# no one would take one for a render that came out well.
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "camera": ("skimage", "data/camera.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
DRAWN = range(100, 112)  # seeds of scenes that nothing else uses


def photographs() -> dict[str, np.ndarray]:
    """Name -> uint8 (H, W, 3), 300 to 741 px a side, of scikit-image and scikit-learn.

    Raises:
        BadInput: a package is not installed, or no longer carries a picture.
    """
    return {name: read_image(_folder(package) / file) for name, (package, file) in PHOTOGRAPHS.items()}


def drawn() -> dict[str, np.ndarray]:
    """Scenes and line art, 512 px."""
    scenes = {f"scene {seed}": scene(512, seed) for seed in DRAWN[:2]}
    return scenes | {f"line art {seed}": line_art(512, seed) for seed in range(2)}


def line_art(side: int, seed: int, paper: float = 240.0) -> np.ndarray:
    """Black outlines on paper, some shapes toned and some hatched: uint8 (side, side, 3).

    Everything is placed in shares of the side, and outlines are one pixel soft.
    """
    rng = np.random.default_rng(seed)
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
    plane, ink, pen = np.full((side, side), paper), 30.0, 0.0035
    for index in range(14):
        u, v, radius = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0.05, 0.28)
        squeeze, turn = rng.uniform(0.5, 1.6), rng.uniform(0, np.pi)
        along = (x - u) * np.cos(turn) + (y - v) * np.sin(turn)
        across = (y - v) * np.cos(turn) - (x - u) * np.sin(turn)
        outside = np.hypot(along, across * squeeze) - radius
        tone = rng.choice([paper, paper, paper, 220.0, 190.0, 120.0, 60.0])
        plane += np.clip(0.5 - outside * side, 0, 1) * (tone - plane)
        if index % 4 == 0:
            plane = np.where((along * 60 % 1 < 0.25) & (outside < 0), ink + 40, plane)
        plane += np.clip(0.5 - (np.abs(outside) - pen) * side, 0, 1) * (ink - plane)
    return grey(plane)


def _folder(package: str) -> Path:
    found = find_spec(package)
    if found is None or found.origin is None:
        raise BadInput(
            f"The package {package} is not installed; its sample pictures are measured.",
            fix="Install the development extra: pip install -e '.[dev]' -c constraints.txt",
        )
    return Path(found.origin).parent
