"""What a run takes of the disk: about, which a plan says; and at most, where a cap is to be kept.

Figures were measured on the pictures of published X/Y/Z grids, in made-up runs of 352 and 1,344 of them.
"""

import os
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.words import size
from gridsearch.experiment.experiment import Experiment, Render
from gridsearch.experiment.prompts import Prompt
from gridsearch.experiment.values import least_and_most
from gridsearch.render.pictures.webp import MAX_WEBP_SIDE

# Bytes a pixel of a drawn picture. A PNG takes 1.1 to 1.9 on published SDXL renders; a lossless WebP of the
# same pictures 0.69 (healthy) to 0.81 (noise) of that, see `render.webp`.
BYTES_PER_PIXEL = {"png": 1.6, "webp": 1.25}
# Noise cannot be packed: three bytes a pixel and a little, whatever the format.
MOST_PER_PIXEL, MOST_BESIDE, MOST_PER_CHARACTER = 3.01, 8_192, 8
LARGE = 1024 * 1024  # pixels of a picture that is larger than any thumbnail and any cell
SMALL = 256  # px, the longer side of a picture that is kept small
SMALL_BYTES_PER_PIXEL = {"png": 1.35, "webp": 1.1}  # measured: with less to a pixel that is like the next

FILM = 8 * 96 * 96  # pixels of a square picture's strip
CALL = 60  # bytes of a trace's numbers at one call of the UNet
ROW = 2_000  # of study.db for each image
# The report: its page without thumbnails; thumbnails on the page, until they have what room there is; those
# that are kept to write it again, made of a picture and of a small one (47 kB and 14 kB measured); a cell of
# a sheet (60 kB measured), and the rows of the tables.
PAGE, THUMB, THUMBS = 9_000_000, 16_400, 15_000_000
KEPT_THUMBS, KEPT_SMALL_THUMBS, CELL = 80_000, 24_000, 75_000


@dataclass(frozen=True)
class Disk:
    """What a run about takes of the disk when it is done, in bytes.

    Attributes:
        trials: how many there are at most.
        full: how many of them keep their pictures in full.
        most: the cap, where there is one.
        there: what lies in the folder already.
    """

    trials: int
    full: int
    free: int
    most: int | None = None
    there: int = 0
    pictures: int = 0
    reduced: int = 0
    references: int = 0
    checks: int = 0
    traces: int = 0
    database: int = 0
    report: int = 0

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """What it is for, by the names of the fields."""
        names = [field.name for field in fields(self)]
        return {name: getattr(self, name) for name in names[names.index("pictures") :]}


# -- about


def disk_of(
    experiment: Experiment, folder: Path, trials: int, cases: int, references: int, checks: int
) -> Disk:
    """What a run of so many trials will take.

    Args:
        cases: images of a trial.
        references, checks: images.

    Raises:
        BadInput: it is more than is free, the cap leaves no room for it, or the format cannot hold it.
    """
    render, images = experiment.render, experiment.images
    if images.format == "webp" and max(render.width, render.height) > MAX_WEBP_SIDE:
        raise BadInput(
            f"A WebP file has at most {MAX_WEBP_SIDE:,} pixels a side.",
            where="images.format",
            fix='Set format = "png", or draw smaller pictures.',
        )
    place = _existing(folder)
    parts = Disk(
        trials=trials,
        full=trials,
        free=shutil.disk_usage(place).free,
        most=images.most,
        there=sum(bytes_of(folder).values()) if folder.is_dir() else 0,
        references=references * picture_bytes(experiment),
        checks=checks * picture_bytes(experiment),
        database=(trials * cases + references + checks) * ROW,
    )
    full = trials if images.full is None else min(images.full, trials)
    filled = partial(_filled, parts, experiment, cases, references + checks)
    found = filled(full)
    if images.most is not None:
        room = images.most - SLACK - most_bytes(render, experiment.prompt)
        found = found if found.total <= room else _under_cap(filled, full, room, images.most)
    if found.total - found.there > found.free:
        raise BadInput(
            f"The disk is too small: {trials * cases + references + checks:,} images take about "
            f"{size(found.total)}.",
            where=place,
            why=f"{size(found.free)} are free.",
            fix="Free some space, use --out on another disk, set images.full, or search fewer ratios.",
        )
    return found


def _filled(
    parts: Disk, experiment: Experiment, cases: int, others: int, full: int, films: bool = True
) -> Disk:
    """The same with the pictures of so many trials in full, those of the others reduced."""
    render = experiment.render
    small = (parts.trials - full) * cases
    large, pixels = full * cases + others, render.width * render.height
    if parts.most is not None:
        pixels = LARGE  # a cap is kept without a look at how small pictures are drawn
    elif max(render.width, render.height) <= 2 * SMALL:  # thumbnails are made of these as they are
        small, large = small + large, 0
    traced = others + parts.trials * cases if render.trace and films else 0
    return replace(
        parts,
        full=full,
        pictures=full * cases * picture_bytes(experiment),
        reduced=(parts.trials - full) * cases * small_bytes(experiment),
        traces=traced * _trace_bytes(experiment),
        report=report_bytes(large, small, pixels),
    )


def _under_cap(filled: Callable[..., Disk], full: int, room: int, most: int) -> Disk:
    """As many trials in full, `full` at most, as there is room for, and no traces: they go first.

    Raises:
        BadInput: there is none for one.
    """
    fit = bisect_right(range(1, full + 1), room, key=lambda count: filled(count, films=False).total)
    if fit:
        return filled(fit, films=False)
    needed = filled(1, films=False).total + most - room
    raise BadInput(
        f"The cap of {size(most)} leaves no room for this run.",
        where="images.most",
        why=f"It would be {size(needed)} with the pictures of all trials but one reduced, room for the next "
        "one among it.",
        fix=f'Set most = "{-(-needed // 10**8) / 10:g} GB" or more, or draw fewer or smaller pictures.',
    )


def picture_bytes(experiment: Experiment) -> int:
    render = experiment.render
    return int(render.width * render.height * BYTES_PER_PIXEL[experiment.images.format])


def small_bytes(experiment: Experiment) -> int:
    """Of a picture that is reduced, or that is as small already."""
    render = experiment.render
    scale = SMALL / max(render.width, render.height)
    if scale >= 1:
        return picture_bytes(experiment)
    return int(scale**2 * render.width * render.height * SMALL_BYTES_PER_PIXEL[experiment.images.format])


def report_bytes(full: int, small: int, pixels: int = LARGE) -> int:
    """Of tables, sheets, report, and what is kept to write it again, for so many pictures.

    Args:
        pixels: of a picture; a tiny one has no thumbnail larger than itself, and fills a cell smoothly.
    """
    images = full + small
    shared = PAGE + min(images * min(THUMB, pixels), THUMBS)
    kept = full * KEPT_THUMBS + small * min(KEPT_SMALL_THUMBS, 2 * pixels)
    return shared + kept + images * min(CELL, 6 * pixels)


def _trace_bytes(experiment: Experiment) -> int:
    render = experiment.render
    film = FILM * render.width / render.height * BYTES_PER_PIXEL[experiment.images.format]
    return int(film + CALL * least_and_most(render.steps)[1])


# -- at most

# What is written beside what is there before it takes its place, a page or a sheet of 26 MB, and the log of
# study.db.
SLACK = 30_000_000 + 16_000_000


def most_bytes(render: Render, prompts: Iterable[Prompt]) -> int:
    """What one image of every case takes at most, with its row, its trace and its share of the report."""
    pixels = render.width * render.height + (FILM * render.width / render.height if render.trace else 0)
    calls = 2 * least_and_most(render.steps)[1] * CALL if render.trace else 0
    beside = MOST_BESIDE + calls + ROW + KEPT_THUMBS + CELL + THUMB
    return sum(
        len(prompt.seeds)
        * int(pixels * MOST_PER_PIXEL + beside + MOST_PER_CHARACTER * len(prompt.text + prompt.negative))
        for prompt in prompts
    )


# -- there


def bytes_of(folder: Path) -> dict[str, int]:
    """Every file in a results folder, by its name in there, and its bytes.

    A folder in it may be a link to a larger disk, whose files count too; no further link is followed.
    """
    found: dict[str, int] = {}
    for path in folder.iterdir():
        if path.is_dir():
            _count(path, path.name, found)
        else:
            _note(path, path.name, found)
    return found


def _count(folder: Path, name: str, found: dict[str, int]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _count(Path(entry.path), f"{name}/{entry.name}", found)
            else:
                _note(entry, f"{name}/{entry.name}", found)


def _note(file: Path | os.DirEntry, name: str, found: dict[str, int]) -> None:
    with suppress(FileNotFoundError):  # another program may be done with it meanwhile
        found[name] = file.stat(follow_symlinks=False).st_size


def _existing(folder: Path) -> Path:
    """The nearest folder that is there: where a new one would be made."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.exists())
