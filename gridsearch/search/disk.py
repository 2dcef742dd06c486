"""Disk space: its estimate before a run, and removal of files that no row names after it.

Figures were measured on the pictures of published X/Y/Z grids, in made-up runs of 352 and 1,344 of them.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path, PurePath

from gridsearch.base.errors import BadInput
from gridsearch.base.words import size
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import least_and_most
from gridsearch.render.pictures import MAX_WEBP_SIDE
from gridsearch.search.cases import Counts

# Bytes a pixel of a drawn picture. A PNG takes 1.1 to 1.9 on published SDXL renders; a lossless WebP of the
# same pictures 0.69 (healthy) to 0.81 (noise) of that, see `render.pictures`.
BYTES_PER_PIXEL = {"png": 1.6, "webp": 1.25}
FILM = 8 * 96 * 96  # pixels of a square picture's strip
CALL = 60  # bytes of a trace's numbers at one call of the UNet
ROW = 2_000  # of study.db for each image
# The report: its page without thumbnails; thumbnails on the page, until they have what room there is; those
# that are kept to write it again, made of a picture and of a small one (47 kB and 14 kB measured); a cell of
# a sheet (60 kB measured), and the rows of the tables.
PAGE, THUMB, THUMBS = 9_000_000, 16_400, 15_000_000
KEPT_THUMBS, KEPT_SMALL_THUMBS, CELL = 80_000, 24_000, 75_000
SMALL = 512  # px, the longer side of a picture that is its own thumbnail

PICTURE_FOLDERS = ("images", "references", "checks", "traces")  # the folders that this program alone writes
WRITTEN = (".png", ".webp", ".json", ".part")


@dataclass(frozen=True)
class Disk:
    """The disk space that a run will take, in bytes, about."""

    free: int  # on the disk now
    there: int  # in the folder already
    pictures: int
    references: int
    checks: int
    traces: int
    database: int
    report: int

    @property
    def total(self) -> int:
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Return the bytes of each kind of file, by the names of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)[2:]}


def disk_of(experiment: Experiment, folder: Path, counts: Counts) -> Disk:
    """Estimate the disk space of a run of this size.

    Raises:
        BadInput: it is more than is free, or the format cannot hold such pictures.
    """
    render = experiment.render
    width, height = render.picture_size
    if experiment.images.format == "webp" and max(width, height) > MAX_WEBP_SIDE:
        what = f"A WebP file has at most {MAX_WEBP_SIDE:,} pixels a side."
        raise BadInput(what, where="images.format", fix='Set format = "png", or draw smaller pictures.')
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    picture, images = picture_bytes(experiment), counts.images
    film = FILM * width / height * BYTES_PER_PIXEL[experiment.images.format]
    found = Disk(
        free=shutil.disk_usage(place).free,
        there=_bytes_in(folder) if folder.is_dir() else 0,
        pictures=(counts.trials * counts.cases + counts.glances) * picture,
        references=counts.references * picture,
        checks=counts.checks * picture,
        traces=images * int(film + CALL * least_and_most(render.steps)[1]) if render.trace else 0,
        database=images * ROW,
        report=_report_bytes(images, width, height),
    )
    if found.total - found.there > found.free:
        what = f"The disk is too small: {images:,} images take about {size(found.total)}."
        fix = "Free some space, use --out on another disk, or search fewer ratios."
        raise BadInput(what, where=place, why=f"{size(found.free)} are free.", fix=fix)
    return found


def picture_bytes(experiment: Experiment) -> int:
    """Estimate the size of one picture file."""
    width, height = experiment.render.picture_size
    return int(width * height * BYTES_PER_PIXEL[experiment.images.format])


def _report_bytes(images: int, width: int, height: int) -> int:
    """Estimate the size of tables, sheets, report, and the thumbnails that are kept to write it again."""
    pixels = width * height
    kept = KEPT_THUMBS if max(width, height) > SMALL else min(KEPT_SMALL_THUMBS, 2 * pixels)
    # a tiny picture has no thumbnail larger than itself, and fills a cell smoothly
    return PAGE + min(images * min(THUMB, pixels), THUMBS) + images * (kept + min(CELL, 6 * pixels))


def _bytes_in(folder: Path) -> int:
    """Return the bytes of all files in a results folder.

    A folder in it may be a link to a larger disk, whose files count too; no further link is followed.
    """
    files = [path for path in folder.iterdir() if not path.is_dir()]
    for inner in folder.iterdir():
        files += [Path(place, name) for place, _, names in os.walk(inner) for name in names]
    total = 0
    for file in files:
        with suppress(FileNotFoundError):  # another program may have removed it meanwhile
            total += file.lstat().st_size
    return total


def remove_unnamed_files(folder: Path, rows: Iterable[Mapping]) -> list[str]:
    """Remove pictures that never came to count, and halves that a kill left; returns their names.

    Called when everything is drawn, with the rows of every trial, check and reference, those that failed too.
    Files of other kinds are somebody else's, and stay.
    """
    named = set()
    for row in rows:
        named.add(row["file"])
        if film := row.get("film"):
            named |= {film, str(PurePath(film).with_suffix(".json"))}
    gone = []
    for kind in PICTURE_FOLDERS:
        for path in sorted((folder / kind).glob("*")):
            name = f"{kind}/{path.name}"
            if name not in named and path.suffix in WRITTEN and path.is_file():
                path.unlink(missing_ok=True)
                gone.append(name)
    return gone
