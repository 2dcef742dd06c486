"""The set of pictures: sound ones by style, each also broken in some ways, in two halves by hash of the name.

A picture and all that is made of it lie in the same half. A sound one is there a second time, framed and
exposed otherwise. They are broken at 640 px at most, and kept reduced to the working size, at which they
are measured.
"""

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.calibrate.pictures import line_art
from benchmarks.verdicts.art import found_art
from benchmarks.verdicts.styles import STYLES, as_jpeg, drawn
from benchmarks.verdicts.wrecks import WRECKS, wrecked
from gridsearch.score.measure import measure, working_copy
from tests.helpers.pictures import scene, to_bytes

SEEDS = range(100, 110)  # pictures of each drawn style
SCENES = range(300, 318)  # seeds of the tests' and the calibration's drawings
INDEX = "index.json"
WAYS = 4  # in which each picture is broken
LARGEST = 640  # px a side, of one that is broken
# A hard, garish, contrasty version of these is again a sound picture of the style.
HARD = (
    "flat vector",
    "line art",
    "line art on white",
    "pen on paper",
    "pencil",
    "pixel art",
    "text",
    "comic",
    "neon",
    "cartoon",
)
# How far these must go before a person sees them beside no sound one.
LEAST = {"fine noise": 0.3, "coarse noise": 0.25, "undercooked": 0.4, "pale, crisp": 0.25, "blown out": 0.25}


@dataclass(frozen=True)
class Entry:
    """One picture's name, style, and how it was broken: "" for a sound one."""

    name: str
    style: str
    kind: str

    @property
    def held_out(self) -> bool:
        return zlib.crc32(self.name.split("|")[0].encode()) % 2 == 1


def sound_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their pictures, uint8 (H, W, 3)."""
    rng = np.random.default_rng(0)
    for style, name, picture in found_art(art):
        yield Entry(f"{style} {name}", style, ""), picture
    for seed in SEEDS:
        for style in STYLES:
            yield Entry(f"{style} {seed}", style, ""), drawn(style, seed)

    for seed in SCENES:
        yield Entry(f"scene {seed}", "scene", ""), scene(512, seed)
        paper = float(rng.choice([255, 244, 240]))
        yield Entry(f"line art {seed}", "line art", ""), line_art(512, seed, paper)


def kept_pictures(folder: Path, art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3), from the folder; drawn where it has none."""
    index = folder / INDEX
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        for number, (entry, picture) in enumerate(all_pictures(art)):
            Image.fromarray(picture).save(folder / f"{number:05}.png", compress_level=1)
            entries.append(asdict(entry))
        index.write_text(json.dumps(entries))
    for number, fields in enumerate(json.loads(index.read_text())):
        yield Entry(**fields), np.asarray(Image.open(folder / f"{number:05}.png"))


def all_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3)."""
    for entry, picture in sound_pictures(art):
        yield entry, working_copy(picture)
        yield Entry(f"{entry.name}|again", entry.style, ""), working_copy(_again(entry, _reduced(picture)))
        yield from _broken(entry, picture)


def _again(entry: Entry, picture: np.ndarray) -> np.ndarray:
    """A part of the picture, a little darker or lighter, and more or less vivid: as sound as it was."""
    rng = np.random.default_rng([1, zlib.crc32(entry.name.encode())])
    height, width = (int(n * rng.uniform(0.55, 1)) for n in picture.shape[:2])
    top, left = (
        int(rng.integers(0, n - m + 1)) for n, m in zip(picture.shape, (height, width), strict=False)
    )
    part = picture[top : top + height, left : left + width].astype(np.float32)
    toned = 255 * (part / 255) ** rng.uniform(0.8, 1.25)
    grey = toned.mean(axis=2, keepdims=True)
    made = to_bytes(grey + rng.uniform(0.6, 1.2) * (toned - grey))
    return made[:, ::-1] if rng.random() < 0.5 else made


def _broken(entry: Entry, picture: np.ndarray) -> Iterator[tuple[Entry, np.ndarray]]:
    rng = np.random.default_rng(zlib.crc32(entry.name.encode()))
    kinds = [kind for kind in WRECKS if entry.style not in HARD or kind not in ("burnt", "overcooked")]
    reduced, white = _reduced(picture), measure(working_copy(picture)).white
    for kind in rng.choice(kinds, WAYS, replace=False):
        far, seed = float(rng.random()), int(rng.integers(2**31))
        quality = int(rng.choice([20, 50, 90])) if rng.random() < 0.3 else 0
        soft = float(rng.choice([0, 0.5, 0.9, 1.3]))  # pixels: a decoder draws no harder edges than so
        if visible(entry.style, str(kind), far, white):
            made = wrecked(reduced, kind, far, seed)
            made = made if WRECKS[kind][0] == "noise" else gaussian_filter(made, (soft, soft, 0))
            made = as_jpeg(made, quality) if quality else made
            yield Entry(f"{entry.name}|{kind}", entry.style, str(kind)), working_copy(made)


def visible(style: str, kind: str, far: float, white: float) -> bool:
    """Return whether a person who does not know the picture would call it broken.

    Args:
        white: share of the sound picture that is flat white. A burn about the middle tone makes it grey,
            which is no burn that any model makes.
    """
    if kind in ("burnt", "overcooked", "blown out") and style in HARD:
        return False
    return far >= LEAST.get(kind, 0.0) and not (kind == "burnt" and white > 0.35)


def _reduced(picture: np.ndarray) -> np.ndarray:
    if max(picture.shape) <= LARGEST:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)
