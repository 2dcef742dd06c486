"""Write the tables of columns in results/README.md, and of metrics in docs/scoring.md, from the code."""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

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


def columns_table(columns: Iterable[Column]) -> str:
    rows = [(f"`{column.name}`", column.meaning, column.unit) for column in columns]
    return markdown(("column", "meaning", "unit"), rows)


def metrics_table() -> str:
    """Return the table of the metrics that count in the defect."""
    found = {name: METRICS[name] for name in METRIC_SCALES}
    rows = [(f"`{name}`", metric.meaning, metric.unit, metric.source) for name, metric in found.items()]
    return markdown(("metric", "what", "unit", "source"), rows)


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
