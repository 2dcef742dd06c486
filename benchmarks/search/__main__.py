"""Prints the table of searches on simulated curves, or draws the picture of their intervals."""

import argparse
from pathlib import Path

from benchmarks.search import claims
from benchmarks.search.coverage import draw_coverage
from benchmarks.search.study import NAMES
from benchmarks.search.table import table
from benchmarks.search.worlds import DRAW, FEWER

HOWS = ("grid", "window", "race")
PICTURE = Path(__file__).parents[2] / "docs" / "search" / "coverage.png"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--studies", type=int, default=200, help="how many studies each search has (200)")
    parser.add_argument("--only", choices=NAMES, action="append", help="this search alone; may be repeated")
    parser.add_argument("--coverage", action="store_true", help=f"draw {PICTURE.name} instead")
    parser.add_argument("--worlds", action="store_true", help="the answers of simulated worlds instead")
    worlds = [*DRAW, *FEWER]
    parser.add_argument("--world", choices=worlds, action="append", help="this world alone; may be repeated")
    parser.add_argument("--how", choices=HOWS, action="append", help="this search alone; may be repeated")
    parser.add_argument("--save", type=Path, help="add every study of --worlds to this CSV file (bars.py)")
    parser.add_argument("--first", type=int, help="the seed of each world's first study (0; held back: 1000)")
    asked = parser.parse_args()
    if asked.worlds:
        lines = claims.table(asked.world or worlds, asked.how or HOWS, asked.studies, asked.save, asked.first)
    elif asked.coverage:
        PICTURE.parent.mkdir(exist_ok=True)
        lines = draw_coverage(asked.studies, PICTURE)
    else:
        lines = table(asked.only or NAMES, asked.studies)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
