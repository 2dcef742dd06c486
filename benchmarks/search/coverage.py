"""The interval's coverage and width, with few and with many prompts, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.search.answers import Judged
from benchmarks.search.table import judged, studies_of

PROMPTS = (1, 4, 8, 16, 32)
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
INK, FAINT = "#2b5c8a", "#999999"


def draw_coverage(studies: int, path: Path) -> list[str]:
    """Search with `window` at every number of prompts, draw the picture, and say its figures in lines."""
    found = {prompts: studies_of(judged, "window", studies, prompts) for prompts in PROMPTS}
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
        _coverage(left, found)
        _widths(right, found)
        for axis in (left, right):
            axis.set_xscale("log", base=2)
            axis.set_xticks(PROMPTS, [str(one) for one in PROMPTS])
            axis.set_xlabel("prompts")
        figure.savefig(path, dpi=130)
        plt.close(figure)
    return [_line(prompts, those) for prompts, those in found.items()]


def _coverage(axis, found: dict[int, list[Judged]]) -> None:
    several = {prompts: those for prompts, those in found.items() if prompts > 1}
    shares = np.array([np.mean([one.covered for one in those]) for those in several.values()])
    studies = len(next(iter(several.values())))
    errors = 1.96 * np.sqrt(shares * (1 - shares) / studies)
    axis.axhline(0.95, color=FAINT, linewidth=1, linestyle="--")
    axis.errorbar(list(several), shares, errors, color=INK, marker="o", capsize=3)
    axis.annotate("one prompt:\na guess,\nno interval", (1, 0.8), ha="left", color=FAINT)
    axis.set_ylim(0.7, 1)
    axis.set_xlim(0.7, 45)
    axis.set_title(f"The 95% interval holds the best ratio\n(share of {studies} simulated studies)")


def _widths(axis, found: dict[int, list[Judged]]) -> None:
    several = {prompts: those for prompts, those in found.items() if prompts > 1}
    widths = [np.mean([one.width for one in those]) for those in several.values()]
    spreads = [spread(those) for those in found.values()]
    axis.plot(list(several), widths, color=INK, marker="o", label="mean width of the interval")
    axis.plot(list(found), spreads, color=FAINT, marker="s", label="what holds 95% of the errors")
    axis.set_ylim(0)
    axis.legend(frameon=False)
    axis.set_title("Width in ratios\n(windows 0.02 to 0.2 wide)")


def spread(those: Sequence[Judged]) -> float:
    """The range that holds 95% of the optimum's errors."""
    low, high = np.quantile([one.error for one in those], [0.025, 0.975])
    return float(high - low)


def _line(prompts: int, those: Sequence[Judged]) -> str:
    spreads = f"{prompts:3} prompts: 95% of the errors lie in {spread(those):.3f}"
    if prompts == 1:
        return spreads + ", a guess without an interval"
    covered = np.mean([one.covered for one in those])
    width = np.mean([one.width for one in those])
    return f"{spreads}, interval {width:.3f} wide on average, holds in {covered:.1%}"
