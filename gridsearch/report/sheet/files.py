"""Contact sheets as files: one picture, or an overview and its pages beside it."""

import io
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.report.sheet.sheet import sheets
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.results import Results

# PNG at a level that is three times as fast as the default one for 5% more bytes
SHEET_FORMATS = {
    ".png": {"format": "PNG", "compress_level": 3},
    ".jpg": {"format": "JPEG", "quality": 92},
    ".jpeg": {"format": "JPEG", "quality": 92},
    ".webp": {"format": "WEBP", "quality": 90, "method": 2},
}


def write_sheets(
    results: Results,
    answer: Answer | None,
    path: Path,
    *,
    ratios: Sequence[float] | None = None,
    prompts: Sequence[str] | None = None,
) -> list[Path]:
    """Write the sheet to `path`, and where it is an overview its pages to NAME-1, NAME-2, ... beside it.

    Pages of an earlier sheet of that name are removed from the results folder, and from no other.

    Returns:
        what was written, in order.

    Raises:
        BadInput: the name asks for another format, there is no such folder, or nothing is rendered yet.
    """
    require_picture(path)
    drawn = sheets(results, answer, ratios=ratios, prompts=prompts)
    written = []
    with ThreadPoolExecutor(1) as hand:  # one is written while the next is drawn; no more are in memory
        last: Future[Path] | None = None
        for number, image in enumerate(drawn):
            written += [last.result()] if last else []
            last = hand.submit(write_picture, image, page_path(path, number) if number else path)
        written += [last.result()] if last else []
    if path.parent.resolve() == results.folder.resolve():
        _remove(set(pages_of(path)) - set(written))
    return written


def page_path(path: Path, number: int) -> Path:
    """sheet.png -> sheet-3.png"""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def pages_of(path: Path) -> list[Path]:
    """The pages that lie beside a sheet, in order."""
    name = re.compile(rf"{re.escape(path.stem)}-([1-9]\d*){re.escape(path.suffix)}")
    found = {file: matched for file in path.parent.iterdir() if (matched := name.fullmatch(file.name))}
    return sorted(found, key=lambda file: int(found[file][1]))


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink()


def require_picture(path: Path) -> None:
    """Refuse a place that no sheet can be written to."""
    if path.suffix.lower() not in SHEET_FORMATS:
        better = path.with_suffix(".png").name if path.name else "sheet.png"
        raise BadInput(
            "A sheet is written as .png, .jpg or .webp.", where=path, fix=f"Use -o {better}, for example."
        )
    if not path.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=path.parent, fix="Make it first.")


def write_picture(image: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    image.save(buffer, **SHEET_FORMATS[path.suffix.lower()])
    write_atomic(path, buffer.getvalue())
    return path
