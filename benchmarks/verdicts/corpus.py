"""The set of pictures: sound ones by style, each also broken in some ways; and newcomers and visitors.

The gate is fitted to all but these two, whose styles, sources and damages are others. A sound picture is
there a second time, framed and exposed otherwise, unless it is of PACKAGES, a newcomer or a visitor. They
are broken at 640 px at most, those of packages at 512 px, and kept reduced to the working size, at which they
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
from benchmarks.verdicts.art import ART, MORE_ART, STRANGE_ART, found_art
from benchmarks.verdicts.breaking import (
    BY_ARRIVALS,
    BY_FATES,
    BY_FITTED,
    BY_HARMS,
    BY_RUINS,
    BY_WRECKS,
    HARD,
    Breaking,
    shows,
    visible,
)
from benchmarks.verdicts.fields import Drawing, as_jpeg, framed_size
from benchmarks.verdicts.manners import MANNERS, graded
from benchmarks.verdicts.newcomers import NEWCOMERS, newcomer
from benchmarks.verdicts.packages import KEPT_BACK, PACKAGES, in_packages
from benchmarks.verdicts.strangers import STRANGERS, stranger
from benchmarks.verdicts.styles import ASPECTS, QUALITIES, STYLES, drawn
from benchmarks.verdicts.visiting import VISITING, visiting_packages
from benchmarks.verdicts.visitors import VISITORS
from benchmarks.verdicts.wrecks import wrecked
from gridsearch.score.measure import measure, working_copy
from tests.helpers.pictures import scene, to_bytes

SEEDS = range(100, 110)  # pictures of each drawn style
MORE_SEEDS = range(500, 504)  # of each manner
GRADED_SEEDS = range(200, 204)  # of each style, graded
STRANGER_SEEDS = NEWCOMER_SEEDS = range(5)
VISITOR_SEEDS = range(6)
SCENES = range(300, 318)  # seeds of the tests' and the calibration's drawings
VISITOR_SIDES = (256, 320, 384, 448, 512, 512, 512)
MORE_SIDES = (192, 256, 320, 384, 512, 512, 640, 768, 1024)
INDEX = "index.json"
LARGEST, LARGEST_OF_PACKAGES = 640, 512  # px a side, of one that is broken
BROKEN_OF_PACKAGES = 3  # one in so many is also broken


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

    @property
    def visitor(self) -> bool:
        """The same of the set that came last."""
        return self.style in VISITORS or self.style.removeprefix("package ") in VISITING


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
    for style, name, picture in in_packages(art, PACKAGES):
        yield Entry(f"{style} {name}", style, ""), picture


def newcomers(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of styles and packages that the gate was not fitted to."""
    for style, name, picture in in_packages(art, KEPT_BACK):
        yield Entry(f"{style} {name}", style, ""), picture
    for seed in NEWCOMER_SEEDS:
        for style in NEWCOMERS:
            yield Entry(f"{style} {seed}", style, ""), newcomer(style, seed)


def visitors(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """The same of further styles, and of packages whose pictures a rule alone chose."""
    for seed in VISITOR_SEEDS:
        for style, draw in VISITORS.items():
            rng = np.random.default_rng([6, seed, *style.encode()])
            picture = to_bytes(draw(framed_size(rng, VISITOR_SIDES, ASPECTS), rng))
            yield Entry(f"{style} {seed}", style, ""), as_jpeg(picture, int(rng.choice(QUALITIES)))
    for style, name, picture in visiting_packages(art):
        yield Entry(f"{style} {name}", style, ""), picture


def _graded(style: str, draw: Drawing, seed: int) -> np.ndarray:
    """One graded picture of a style, 192 to 1024 px, as a PNG or a JPEG has it."""
    rng = np.random.default_rng([seed, *style.encode()])
    picture = to_bytes(graded(draw(framed_size(rng, MORE_SIDES, ASPECTS), rng), rng))
    return as_jpeg(picture, int(rng.choice(QUALITIES)))


def kept_pictures(folder: Path, art: Path | None, *, visiting: bool) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3), from the folder; drawn where it has none.

    Args:
        visiting: whether they are the visitors, or all others.
    """
    index = folder / INDEX
    if not index.exists():
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        for number, (entry, picture) in enumerate(
            visiting_pictures(art) if visiting else known_pictures(art)
        ):
            Image.fromarray(picture).save(folder / f"{number:05}.png", compress_level=1)
            entries.append(asdict(entry))
        index.write_text(json.dumps(entries))
    for number, fields in enumerate(json.loads(index.read_text())):
        yield Entry(**fields), np.asarray(Image.open(folder / f"{number:05}.png"))


def visiting_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3), of the visitors."""
    for entry, picture in visitors(art):
        yield entry, working_copy(picture)
        yield from broken_copies(entry, picture, BY_HARMS, LARGEST_OF_PACKAGES)


def known_pictures(art: Path | None) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with their working copies, uint8 (H, W, 3), of all others."""
    groups = (
        (sound_pictures, (BY_WRECKS,)),
        (graded_pictures, (BY_WRECKS, BY_RUINS)),
        (strange_pictures, (BY_FATES,)),
    )
    for pictures, breakings in groups:
        for entry, picture in pictures(art):
            again = shown_again(entry, reduced_to(picture, LARGEST))
            yield entry, working_copy(picture)
            yield Entry(f"{entry.name}|again", entry.style, ""), working_copy(again)
            for breaking in breakings:
                yield from broken_copies(entry, picture, breaking, LARGEST)
    for pictures, breaking, one_in in (
        (package_pictures, BY_FITTED, BROKEN_OF_PACKAGES),
        (newcomers, BY_ARRIVALS, 1),
    ):
        for entry, picture in pictures(art):
            yield entry, working_copy(picture)
            if zlib.crc32(entry.name.encode()) % one_in == 0:
                yield from broken_copies(entry, picture, breaking, LARGEST_OF_PACKAGES)


def shown_again(entry: Entry, picture: np.ndarray) -> np.ndarray:
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


def broken_copies(
    entry: Entry, picture: np.ndarray, breaking: Breaking, largest: int
) -> Iterator[tuple[Entry, np.ndarray]]:
    """Entries with the working copies of a picture broken in some of the ways, at this side at most."""
    ways = breaking.ways
    sound, reduced = measure(working_copy(picture)), reduced_to(picture, largest)
    seeds = zlib.crc32(entry.name.encode())
    rng = np.random.default_rng([breaking.series + 1, seeds] if breaking.series else seeds)
    chosen = [k for k in ways if entry.style not in HARD or k not in ("burnt", "overcooked")]
    for kind in rng.choice(chosen, breaking.count, replace=False):
        far, seed = float(rng.random()), int(rng.integers(2**31))
        quality = int(rng.choice([20, 50, 90])) if rng.random() < 0.3 else 0
        soft = float(rng.choice([0, 0.5, 0.9, 1.3]))  # pixels: a decoder draws no harder edges than so
        if not visible(entry.style, str(kind), far, sound.white):
            continue
        made = wrecked(reduced, ways[kind][1], str(kind), far, seed)
        made = made if ways[kind][0] == "noise" else gaussian_filter(made, (soft, soft, 0))
        if breaking.change and np.square(made - reduced.astype(np.float32)).mean() < breaking.change**2:
            continue
        copy = working_copy(as_jpeg(made, quality))
        if shows(entry.style, str(kind), sound, measure(copy)):
            yield Entry(f"{entry.name}|{kind}", entry.style, str(kind)), copy


def reduced_to(picture: np.ndarray, largest: int) -> np.ndarray:
    """Return the picture with its longer side reduced to this many pixels, or as it is if smaller."""
    if max(picture.shape) <= largest:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
    return np.asarray(image)
