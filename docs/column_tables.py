"""Write the tables of columns, metrics, and what a run needs, in the pages that have them, from the code."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from gridsearch.base.words import duration
from gridsearch.checkpoint.ldm.shapes import file_shapes
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.engine.sources import residence
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.placement import seconds_at
from gridsearch.results.columns import IMAGES_CSV, TRIALS_CSV, Column
from gridsearch.score.metrics import METRIC_SCALES, METRICS

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"^\|.*\n(?:\|.*\n)*", re.MULTILINE)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page that holds such a table, and its text with the tables made again."""
    results, scoring = ROOT / "results" / "README.md", ROOT / "docs" / "scoring.md"
    text = with_table(results.read_text("utf-8"), "## trials.csv", columns_table(TRIALS_CSV))
    yield results, with_table(text, "## images.csv", columns_table(IMAGES_CSV))
    yield scoring, with_table(scoring.read_text("utf-8"), "## Metrics", metrics_table())
    install = ROOT / "docs" / "install.md"
    text = with_table(install.read_text("utf-8"), "### Memory", memory_table())
    yield install, with_table(text, "### Time", time_table())


def columns_table(columns: Iterable[Column]) -> str:
    rows = [(f"`{column.name}`", column.meaning, column.unit) for column in columns]
    return markdown(("column", "meaning", "unit"), rows)


def metrics_table() -> str:
    """Return the table of the metrics that count in the defect."""
    found = {name: METRICS[name] for name in METRIC_SCALES}
    rows = [(f"`{name}`", metric.meaning, metric.unit, metric.source) for name, metric in found.items()]
    return markdown(("metric", "what", "unit", "source"), rows)


CARDS = (8, 12, 16, 24, 80)  # GB
IN_USE = 1e9  # bytes of a card that the screen and other programs take
HOST = 32e9  # bytes of system memory that are free
SPEEDS = (25, 50, 100, 200, 400)  # TFLOPS of a large matrix product in half precision
RUN = 400  # images of a run of `window` with eight prompts of two seeds


def memory_table() -> str:
    """Return what is left for images on each card, and where two models of SDXL's size lie."""
    live = 2 * sum(math.prod(shape) for shape in file_shapes(SDXL.configs).values())
    names = {"gpu": "on the card", "pinned": "in system memory", "mapped": "in the system's file cache"}
    rows = []
    for card in CARDS:
        left = int(card * 1e9 - IN_USE - live)
        place = residence(2 * live, 0, "cuda", int(HOST), left)
        room = f"{(left - place.on_gpu) / 1e9:.1f} GB" if left > 0 else "none"
        rows.append((f"{card} GB", f"{live / 1e9:.1f} GB", names[place.where], room))
    return markdown(("card", "the merge", "the two models lie", "left for images"), rows)


def time_table() -> str:
    """Return the time of an image, and of a run, for each speed of a card."""
    shapes = file_shapes(SDXL.configs)
    sizes = (1024, 1024, 1024, 1024, 0, 0, 1024, 1024)
    image = Sampling("epsilon", False, None, "euler", 28, 5.0, 0.0, 0.0, "zeros", 2, "cpu", *sizes)
    seconds = [seconds_at(speed * 1e12, shapes, image, 4, "cuda") for speed in SPEEDS]
    rows = [
        (f"{speed} TFLOPS", f"{one:.1f} s", duration(RUN * one))
        for speed, one in zip(SPEEDS, seconds, strict=True)
    ]
    return markdown(("speed", "an image", f"a run of {RUN} images"), rows)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def with_table(page: str, heading: str, table: str) -> str:
    """Return a page with another table in the place of the first one under a heading."""
    before, found, after = page.partition(f"{heading}\n")
    if not found:
        raise ValueError(f"no heading {heading}")
    return before + found + TABLE.sub(lambda _: table, after, count=1)


if __name__ == "__main__":
    for file, text in pages():
        file.write_text(text, "utf-8")
