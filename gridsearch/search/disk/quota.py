"""What is given up for room: a results folder kept under its cap, pictures in full for the best trials alone.

A trial that has left the best does not come back to them while a run goes on, so a picture is reduced once.
It is replaced under its own name, whole or not at all, and its text says what size it had.
"""

import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from PIL import Image

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.files import write_atomic
from gridsearch.base.words import size
from gridsearch.experiment.tables import Images
from gridsearch.render.pictures.infotext import as_reduced, embedded_text
from gridsearch.render.pictures.webp import ENCODERS
from gridsearch.results import store
from gridsearch.results.store.paths import KEPT, within
from gridsearch.score.image import read_image
from gridsearch.search.disk.estimate import SLACK, SMALL, bytes_of, report_bytes

PICTURES = ("images", "references", "checks")
TABLES = ("trials.csv", "images.csv", "best.json", "report.html")
_MOST_SMALL = 3 * SMALL * SMALL  # bytes of a reduced picture, about


@dataclass(frozen=True)
class Ended:
    """A trial that draws no further, and its files, by their names in the results folder.

    Attributes:
        whole: every case was drawn; what was stopped or failed cannot be the best.
        survived, defect: as the trial ranks by.
    """

    number: int
    whole: bool
    survived: float
    defect: float
    pictures: tuple[str, ...]
    traces: tuple[str, ...]

    @property
    def rank(self) -> tuple:
        """The best first."""
        return not self.whole, -self.survived, self.defect, self.number


def ended(trials: Iterable[FrozenTrial]) -> tuple[Ended, ...]:
    """Those of a study's trials that have ended, with what they have drawn."""
    return tuple(
        _ended(trial, rows)
        for trial in trials
        if trial.state.is_finished() and (rows := store.images_of(trial))
    )


def _ended(trial: FrozenTrial, rows: Sequence[Mapping]) -> Ended:
    films = [str(row["film"]) for row in rows if row.get("film")]
    return Ended(
        number=trial.number,
        whole=trial.state == TrialState.COMPLETE,
        survived=sum(row["verdict"] == "ok" for row in rows) / len(rows),
        defect=sum(row["defect"] for row in rows) / len(rows),
        pictures=tuple(str(row["file"]) for row in rows),
        traces=(*films, *(f"{PurePath(film).with_suffix('')}.json" for film in films)),
    )


def keep_room(folder: Path, trials: Sequence[Ended], images: Images, coming: int) -> None:
    """Reduce the pictures of trials that are not among the best, and make room under the cap.

    Called before anything is drawn: at no moment until `coming` more bytes are written, the report with them,
    is the folder larger than the cap. Where there is too little room, the thumbnails go first, which the next
    report makes again; then traces and then pictures, the worst trial's first, and never the best one's.

    Args:
        trials: all that have ended.
        coming: bytes at most until the next call, see `gridsearch.search.disk.estimate.most_bytes`.

    Raises:
        RunFailed: what cannot be spared takes all the room there is.
    """
    ranked = sorted(trials, key=lambda trial: trial.rank)
    if images.full is not None:
        for trial, spared in _from_the_worst(ranked, images.full):
            _reduce_all(folder, trial, spared)
    if images.most is None or not folder.is_dir():
        return
    ways = _ways(folder, ranked)
    while _needed(folder) + coming > images.most:
        if not next((freed for freed in ways if freed), 0):
            raise _full(folder, images.most, coming)


def _from_the_worst(ranked: Sequence[Ended], kept: int) -> Iterator[tuple[Ended, set[str]]]:
    """All but the best so many, and what is theirs: a trial may share its files with its twin."""
    spared = {name for trial in ranked[:kept] for name in (*trial.pictures, *trial.traces)}
    return ((trial, spared) for trial in reversed(ranked[kept:]))


def _ways(folder: Path, ranked: Sequence[Ended]) -> Iterator[int]:
    """One thing after another is given up; the bytes that were freed by each."""
    made, report = _report(bytes_of(folder))
    if made > report:  # else the next report only makes them again
        yield _removed(folder / KEPT)
    for trial, spared in _from_the_worst(ranked, 1):
        traces = [name for name in trial.traces if name not in spared]
        yield sum(_removed(path) for name in traces if (path := within(folder, name)))
    for trial, spared in _from_the_worst(ranked, 1):
        yield _reduce_all(folder, trial, spared)


def _full(folder: Path, most: int, coming: int) -> RunFailed:
    used = sum(bytes_of(folder).values())
    more = size(_needed(folder) + coming - used)
    return RunFailed(
        f"The cap of {size(most)} leaves no room for another trial.",
        where=folder,
        why=f"{size(used)} are used, with the best trial's pictures alone in full; what comes next, tables, "
        f"report and sheet may take {more}.",
        fix="Give images.most more in the experiment, and run it again: it goes on where it stopped.",
    )


# -- counting


def _needed(folder: Path) -> int:
    """The bytes in the folder once the report of what is drawn is written, while it is being written."""
    files = bytes_of(folder)
    made, report = _report(files)
    # study.db is copied where a run has grown
    database = sum(count for name, count in files.items() if name.startswith(store.FILE))
    return sum(files.values()) - made + max(made, report) + database + SLACK


def _report(files: Mapping[str, int]) -> tuple[int, int]:
    """The bytes of what is made of the pictures as it lies there, and as it may become."""
    made = sum(count for name, count in files.items() if _is_made_again(name))
    pictures = [count for name, count in files.items() if name.partition("/")[0] in PICTURES]
    large = sum(count > _MOST_SMALL for count in pictures)
    return made, report_bytes(large, len(pictures) - large)


def _is_made_again(name: str) -> bool:
    """Whether `gridsearch report` makes it of what is stored."""
    return name in TABLES or name.startswith(("sheet", f"{KEPT}/"))


# -- giving up


def _removed(path: Path) -> int:
    """Remove a file or a folder that may not be there; the bytes it had."""
    if path.is_dir():
        count = sum(bytes_of(path).values())
        shutil.rmtree(path, ignore_errors=True)  # a report that is being written adds to it
        return count
    try:
        count = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return count


def _reduce_all(folder: Path, trial: Ended, spared: set[str]) -> int:
    """Reduce a trial's pictures; the bytes that were freed."""
    names = [name for name in trial.pictures if name not in spared]
    return sum(_reduced(path) for name in names if (path := within(folder, name)))


def _reduced(path: Path) -> int:
    """Replace a picture by a small one, where it is not small already; the bytes that were freed.

    A picture that is gone or damaged is left as it is.
    """
    encoder = ENCODERS.get(path.suffix[1:])
    with suppress(FileNotFoundError):
        drawn = _size(path)
        if encoder is None or drawn is None or max(drawn) <= SMALL:
            return 0
        with suppress(BadInput):
            before = path.stat().st_size
            picture = Image.fromarray(read_image(path))
            picture.thumbnail((SMALL, SMALL), Image.Resampling.LANCZOS)
            text = as_reduced(embedded_text(path) or "", drawn)
            content = encoder(np.asarray(picture), text)
            write_atomic(path, content)
            return before - len(content)
    return 0


def _size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a picture as this program writes them, from its first bytes; None of any other.

    They are looked at after every trial: a tenth of the time that it takes Pillow to open one.
    """
    with path.open("rb") as file:
        head = file.read(30)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 30:
        return struct.unpack(">II", head[16:24])
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 30:  # with EXIF data
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    return None
