"""The set of pictures: sound ones by style, each also broken in some ways; and newcomers.

The gate is fitted to all but the newcomers, whose styles, sources and damages are others. A sound picture is
there a second time, framed and exposed otherwise, unless it is of PACKAGES or a newcomer. They are broken at
640 px at most, those of packages at 512 px, and kept reduced to the working size, at which they are measured.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.calibrate.pictures import line_art
from benchmarks.verdicts.art import ART, MORE_ART, STRANGE_ART, found_art
from benchmarks.verdicts.fates import FATES
from benchmarks.verdicts.manners import MANNERS, graded
from benchmarks.verdicts.newcomers import ARRIVALS, NEWCOMERS, newcomer
from benchmarks.verdicts.packages import KEPT_BACK, PACKAGES, in_packages
from benchmarks.verdicts.ruins import RUINS
from benchmarks.verdicts.strangers import STRANGERS, stranger
from benchmarks.verdicts.styles import ASPECTS, STYLES, Drawing, as_jpeg, drawn
from benchmarks.verdicts.wrecks import WRECKS, Wreck, wrecked
from gridsearch.score.measure import measure, working_copy
from gridsearch.score.metrics import Metrics
from tests.helpers.pictures import scene, to_bytes

SEEDS = range(100, 110)  # pictures of each drawn style
MORE_SEEDS = range(500, 504)  # of each manner
GRADED_SEEDS = range(200, 204)  # of each style, graded
STRANGER_SEEDS = NEWCOMER_SEEDS = range(5)
SCENES = range(300, 318)  # seeds of the tests' and the calibration's drawings
INDEX = "index.json"
WAYS = (
    4,
    3,
    4,
    2,
    2,
)  # in which each picture is broken: of the wrecks, the ruins, the fates, all these, arrivals
FITTED = WRECKS | RUINS | FATES
WRECKED = FITTED | ARRIVALS
SERIES = {tuple(ways): number for number, ways in enumerate((WRECKS, RUINS, FATES, FITTED, ARRIVALS))}
LARGEST, LARGEST_OF_PACKAGES = 640, 512  # px a side, of one that is broken
BROKEN_OF_PACKAGES = 3  # one in so many is also broken
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
    "anime face",
    "silhouette",
    "glass",
    "engraving",
    "flames",
    "ink wash",
    "sketch",
    "mandala",
    "newsprint",
    "fractal",
    "harmonograph",
    "windows",
    "stained glass",
    "galaxy",
)
MORE_SIDES = (192, 256, 320, 384, 512, 512, 640, 768, 1024)
GREY = 8.0  # levels of saturation
FLAT = 0.6  # share of a clip art or a cartoon, which is hard and garish as it is
# In pieces they are the same again.
TEXTURES = ("veins", "waves", "glass", "pattern", "mist", "foliage", "gradient", "space", "relief",
            "smoke", "ribbons", "isometric", "stained glass")  # fmt: skip
# How far these must go before a person sees them beside no sound one.
LEAST = {"fine noise": 0.3, "coarse noise": 0.25, "undercooked": 0.4, "pale, crisp": 0.25, "blown out": 0.25,
         "s-curve": 0.3, "melted": 0.3}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One picture's name, style, and how it was broken: "" for a sound one."""

    name: str
    style: str
    kind: str

    @property
    def newcomer(self) -> bool:
        """Whether the gate was not fitted to its style, nor to the ways in which it is broken."""
        return self.style in NEWCOMERS or self.style.removeprefix("package ") in KEPT_BACK


def sound_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their pictures, uint8 (H, W, 3), as they were drawn."""
    rng = np.random.default_rng(0)
    for style, name, picture in found_art(art, ART):
        yield Entry(f"{style} {name}", style, ""), picture
    for seed in SEEDS:
        for style in STYLES:
            yield Entry(f"{style} {seed}", style, ""), drawn(style, seed)
    for seed in SCENES:
        yield Entry(f"scene {seed}", "scene", ""), scene(512, seed)
        paper = float(rng.choice([255, 244, 240]))
        yield Entry(f"line art {seed}", "line art", ""), line_art(512, seed, paper)


def graded_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of further styles, and of these again, graded."""
    for style, name, picture in found_art(art, MORE_ART):
        yield Entry(f"{style} {name}", style, ""), picture
    drawings = {style: (draw, MORE_SEEDS) for style, draw in MANNERS.items()}
    drawings |= {style: (draw, GRADED_SEEDS) for style, draw in STYLES.items()}
    for style, (draw, seeds) in drawings.items():
        for seed in seeds:
            yield Entry(f"{style} {seed}", style, ""), _graded(style, draw, seed)


def strange_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of styles drawn by other means, and art of other packages."""
    for style, name, picture in found_art(art, STRANGE_ART):
        yield Entry(f"{style} {name}", style, ""), picture
    for seed in STRANGER_SEEDS:
        for style in STRANGERS:
            yield Entry(f"{style} {seed}", style, ""), stranger(style, seed)


def package_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of many more packages."""
    for style, name, picture in in_packages(art, PACKAGES) if art else ():
        yield Entry(f"{style} {name}", style, ""), picture


def newcomers(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of styles and packages that the gate was not fitted to."""
    for style, name, picture in in_packages(art, KEPT_BACK) if art else ():
        yield Entry(f"{style} {name}", style, ""), picture
    for seed in NEWCOMER_SEEDS:
        for style in NEWCOMERS:
            yield Entry(f"{style} {seed}", style, ""), newcomer(style, seed)


def _graded(style: str, draw: Drawing, seed: int) -> np.ndarray:
    """One graded picture of a style, 192 to 1024 px, as a PNG or a JPEG has it."""
    rng = np.random.default_rng([seed, *style.encode()])
    side, aspect = rng.choice(MORE_SIDES), rng.choice(ASPECTS)
    size = round(side / max(aspect, 1)), round(side * min(aspect, 1))
    picture = to_bytes(graded(draw(size, rng), rng))
    quality = int(rng.choice([0, 0, 0, 90, 50, 20]))
    return as_jpeg(picture, quality) if quality else picture


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
    groups = (sound_pictures, (WRECKS,)), (graded_pictures, (WRECKS, RUINS)), (strange_pictures, (FATES,))
    for pictures, kinds in groups:
        for entry, picture in pictures(art):
            again = _again(entry, _reduced(picture, LARGEST))
            yield entry, working_copy(picture)
            yield Entry(f"{entry.name}|again", entry.style, ""), working_copy(again)
            for ways in kinds:
                yield from _broken(entry, picture, ways, LARGEST)
    for pictures, ways, one_in in ((package_pictures, FITTED, BROKEN_OF_PACKAGES), (newcomers, ARRIVALS, 1)):
        for entry, picture in pictures(art):
            yield entry, working_copy(picture)
            if zlib.crc32(entry.name.encode()) % one_in == 0:
                yield from _broken(entry, picture, ways, LARGEST_OF_PACKAGES)


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


def _broken(
    entry: Entry, picture: np.ndarray, ways: Mapping[str, tuple[str, Wreck]], largest: int
) -> Iterator[tuple[Entry, np.ndarray]]:
    sound, reduced = measure(working_copy(picture)), _reduced(picture, largest)
    number, seeds = SERIES[tuple(ways)], zlib.crc32(entry.name.encode())
    rng = np.random.default_rng([number + 1, seeds] if number else seeds)
    chosen = [k for k in ways if entry.style not in HARD or k not in ("burnt", "overcooked")]
    for kind in rng.choice(chosen, WAYS[number], replace=False):
        far, seed = float(rng.random()), int(rng.integers(2**31))
        quality = int(rng.choice([20, 50, 90])) if rng.random() < 0.3 else 0
        soft = float(rng.choice([0, 0.5, 0.9, 1.3]))  # pixels: a decoder draws no harder edges than so
        if not visible(entry.style, str(kind), far, sound.white):
            continue
        made = wrecked(reduced, ways[kind][1], str(kind), far, seed)
        made = made if ways[kind][0] == "noise" else gaussian_filter(made, (soft, soft, 0))
        copy = working_copy(as_jpeg(made, quality) if quality else made)
        if shows(entry.style, str(kind), sound, measure(copy)):
            yield Entry(f"{entry.name}|{kind}", entry.style, str(kind)), copy


def visible(style: str, kind: str, far: float, white: float) -> bool:
    """Return whether a person who does not know the picture would call it broken.

    Args:
        white: share of the sound picture that is flat white. A burn about the middle tone makes it grey,
            which is no burn that any model makes.
    """
    if WRECKED[kind][0] == "burnt" and style in HARD:
        return False
    if style in TEXTURES and kind in (
        "shards",
        "fragments",
        "smeared",
        "dealt",
        "torn",
        "swirled",
        "quilted",
    ):
        return False
    return far >= LEAST.get(kind, 0.0) and not (kind == "burnt" and white > 0.35)


def shows(style: str, kind: str, sound: Metrics, made: Metrics) -> bool:
    """Return the same of what was made: a burn clips, and most burnt grey pictures are ink drawings."""
    way = WRECKED[kind][0]
    if way == "burnt" and style.startswith("package") and sound.flat > FLAT:
        return False
    if kind == "overexposed":
        return made.white + made.clipped_picture > sound.white + sound.clipped_picture + 0.15
    if way == "burnt" and sound.saturation < GREY:
        return kind in ("burnt", "overcooked") and made.clipped_picture > 0.3
    if way == "burnt" and kind not in ("blown out", "bloomed"):
        more = made.clipped_picture > max(0.3 if kind in RUINS else 0.12, sound.clipped_picture + 0.08)
        return more and made.contrast > 40
    if kind == "smeared" and sound.white > 0.35:
        return False  # blots of ink
    return way != "shards" or made.contrast > 20


def _reduced(picture: np.ndarray, largest: int) -> np.ndarray:
    if max(picture.shape) <= largest:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return np.asarray(image)
