"""The time and size of the report of a large run, and how it opens and scrolls.

    python -m benchmarks.report [FOLDER]
    python -m benchmarks.report --trials 5000 [FOLDER]

100 ratios, 16 prompts, two seeds: 3200 images of 64 px, and the same of 1024 px. Or so many ratios of eight
images of 32 px, and the memory that it takes. FOLDER is made, and must not be there; where none is named it
is a temporary one.
"""

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.report.large import large_run
from benchmarks.report.page import seen
from gridsearch.report.csv import write_tables
from gridsearch.report.grid import MOST_CELLS, build_grid
from gridsearch.report.page.html import write_report
from gridsearch.report.sheet.sheet import write_sheets
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.best_json import write_best
from gridsearch.results.results import load_results
from tests.helpers.browser import CHROMIUM, OPTIONS

RATIOS, PROMPTS, SEEDS, SIDES = 100, 16, 2, (64, 1024)
MANY_PROMPTS, SMALL_SIDE = 8, 32


def main() -> None:
    """Print build times, size, first paint and frame times for each size of image."""
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", nargs="?", type=Path)
    asked.add_argument("--trials", type=int)
    said = asked.parse_args()
    home = said.folder or Path(tempfile.mkdtemp(prefix="gridsearch-report-"))
    runs = [(RATIOS, PROMPTS, SEEDS, side) for side in SIDES]
    if said.trials:
        runs = [(said.trials, MANY_PROMPTS, 1, SMALL_SIDE)]
    try:
        for ratios, prompts, seeds, side in runs:
            folder = home / str(side)
            with ProcessPoolExecutor(1, get_context("spawn")) as apart:  # its memory is not the report's
                apart.submit(large_run, folder, ratios, prompts, seeds, side).result()
            print(f"{ratios} trials, {ratios * prompts * seeds} images of {side} px")
            show_build("built", folder, sheets=True)
            show_build("built again, nothing new", folder, sheets=True)
            show_build("built as while a run goes on, nothing new", folder, sheets=False)
            show_page(folder / "report.html")
    finally:
        if said.folder is None:
            shutil.rmtree(home)


def show_build(what: str, folder: Path, sheets: bool) -> None:
    """Do what `gridsearch.report.build` does, part by part."""
    spent: dict[str, float] = {}
    busy = time.process_time()
    results = timed(spent, "read", lambda: load_results(folder))
    answer = timed(spent, "analyse", lambda: analyse(results))
    timed(spent, "tables", lambda: (write_tables(results), write_best(results, answer, folder / "best.json")))
    if sheets:
        grid = build_grid(results, answer, most=MOST_CELLS)
        timed(spent, "sheet", lambda: write_sheets(grid, results, answer, folder / "sheet.png"))
    timed(spent, "page", lambda: write_report(results, answer, folder / "report.html"))
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in spent.items())
    busy = time.process_time() - busy
    print(f"  {what}: {sum(spent.values()):.2f} s ({parts}), {busy:.2f} s of processor time")
    print(f"  memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB", flush=True)


def timed(spent: dict[str, float], name: str, work: Callable):
    """Return what `work` returns, and add the time that it took to `spent`."""
    start = time.perf_counter()
    done = work()
    spent[name] = time.perf_counter() - start
    return done


def show_page(file: Path) -> None:
    print(f"  page: {file.stat().st_size / 1e6:.1f} MB")
    if CHROMIUM is None:
        print("  there is no Chromium to open it with")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        found = seen(browser, file)
        browser.close()
    print(f"  first paint {found.first_paint / 1000:.2f} s, ready {found.ready / 1000:.2f} s")
    print(
        f"  {len(found.frames)} frames of a scroll through it: median {found.frame(0.5):.0f} ms, "
        f"95% under {found.frame(0.95):.0f} ms, longest {found.frame(1):.0f} ms",
        flush=True,
    )


if __name__ == "__main__":
    main()
