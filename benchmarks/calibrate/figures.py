"""The figures, as PNG; drawn with matplotlib's own font and without a date, so they come out the same."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from benchmarks.calibrate.damage import DAMAGES
from benchmarks.calibrate.series import Series
from gridsearch.score.band import POPULATION, UNDEFINED_DISTANCE, Band, deviation, excess
from gridsearch.score.metrics import METRIC_SCALES, METRICS, Metrics
from gridsearch.score.score import DEFECT_CAP, FAILED, OK_CAP, Score

PHOTOGRAPH, DRAWN = "#2f6f9f", "#c0642c"
BAND = "#dcebdc"
VERDICTS = {"ok": "#2e8b57", "ghost": "#8a8fa3", "blank": "#5b5f70", "burnt": "#c0392b", "noise": "#8e44ad"}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.edgecolor": "#888888",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "savefig.dpi": 100,
}


def draw_curves(series: Sequence[Series], path: Path) -> None:
    """Every metric (down) against every kind of damage (across), a line per picture."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            len(METRIC_SCALES),
            len(DAMAGES),
            figsize=(13, 13.5),
            sharex="col",
            sharey="row",
            layout="constrained",
        )
        for row, name in enumerate(METRIC_SCALES):
            interval = POPULATION[name]
            for column, damage in enumerate(DAMAGES):
                axis = axes[row, column]
                axis.axhspan(max(interval.low, -0.02), interval.high, color=BAND, zorder=0)
                for one in (one for one in series if one.damage == damage):
                    values = [getattr(metrics, name) for metrics in one.metrics]
                    colour = DRAWN if one.drawn else PHOTOGRAPH
                    axis.plot(damage.grades, values, color=colour, linewidth=1, alpha=0.75)
                if row == 0:
                    axis.set_title(damage.name, fontweight="bold")
                if row == len(METRIC_SCALES) - 1:
                    axis.set_xlabel(damage.unit)
            unit = f"\n{METRICS[name].unit}" if METRICS[name].unit else ""
            axes[row, 0].set_ylabel(name + unit)
        handles = [
            plt.Line2D([], [], color=PHOTOGRAPH, label="a photograph"),
            plt.Line2D([], [], color=DRAWN, label="a drawn picture"),
            plt.Rectangle((0, 0), 1, 1, color=BAND, label="healthy where there are no references"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
        _save(figure, path, colours=256)


def draw_samples(pictures: Mapping[str, np.ndarray], path: Path) -> None:
    """Each picture (down) at the strongest grade of every kind of damage (across)."""
    with plt.rc_context(STYLE):
        size = (10.5, 1.75 * len(pictures))
        figure, axes = plt.subplots(len(pictures), len(DAMAGES) + 1, figsize=size, layout="constrained")
        for row, picture in zip(axes, pictures.values(), strict=True):
            made = [picture, *(damage.apply(picture, damage.grades[-1]) for damage in DAMAGES)]
            for axis, shown in zip(row, made, strict=True):
                axis.imshow(_square(shown))
                axis.set_axis_off()
        titles = ["as it is", *(f"{damage.name}\n{damage.unit}: {damage.grades[-1]:g}" for damage in DAMAGES)]
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title)
        _save(figure, path)


def draw_defect(
    gains: Sequence[float],
    shown: Mapping[float, np.ndarray],
    scores: Sequence[Score],
    band: object,
    path: Path,
) -> None:
    """Draw how a picture's defect comes about, from blank to burnt.

    Args:
        gains: what the contrast was multiplied by, ascending.
        shown: the pictures of some of them.
        scores: one per gain.
        band: what they were scored against.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(11, 10), layout="constrained")
        grid = figure.add_gridspec(4, len(shown), height_ratios=(1.25, 2, 1.2, 2))
        _strip(figure, grid, gains, shown, scores)
        below = [figure.add_subplot(grid[row, :]) for row in (1, 2, 3)]
        for axis in below:
            axis.set_xscale("log")
            axis.set_xlim(gains[0], gains[-1])
            axis.set_xticks(list(shown), [f"{gain:g}" for gain in shown])
            axis.minorticks_off()
        _distances(below[0], gains, [found.metrics for found in scores], band)
        _dial(below[1], gains, scores)
        _defects(below[2], gains, scores)
        below[2].set_xlabel("contrast of the render, in those of the reference")
        _save(figure, path)


def _strip(figure, grid, gains, shown, scores) -> None:
    for column, (gain, picture) in enumerate(shown.items()):
        axis = figure.add_subplot(grid[0, column])
        axis.imshow(_square(picture))
        axis.set_xticks([])
        axis.set_yticks([])
        found = scores[list(gains).index(gain)]
        for spine in axis.spines.values():
            spine.set(visible=True, color=VERDICTS[found.verdict], linewidth=2.5)
        axis.set_title(f"× {gain:g}\n{found.verdict}", color=VERDICTS[found.verdict], fontweight="bold")


def _distances(axis, gains, metrics: Sequence[Metrics], band: Band) -> None:
    axis.axhline(0, color=BAND, linewidth=7, zorder=0)
    axis.text(0.13, 0.45, "inside", va="bottom", color="#4a7a4a")
    axis.text(gains[0] * 1.03, UNDEFINED_DISTANCE + 0.3, "no edges: blur is undefined", color="#555555")
    for name in METRIC_SCALES:
        axis.plot(gains, [_outside(name, found, band) for found in metrics], label=name, linewidth=1.6)
    axis.set_ylabel("spreads of healthy pictures")
    axis.set_title("1. How far each metric lies below or above its healthy interval", loc="left")
    axis.legend(ncols=4, frameon=False, loc="lower right", fontsize=8)


def _outside(name: str, metrics: Metrics, band: Band) -> float:
    value, interval = getattr(metrics, name), band.intervals[name]
    return float(np.copysign(excess(name, value, interval), deviation(name, value, interval)))


def _dial(axis, gains, scores) -> None:
    axis.axhline(0, color="#bbbbbb", linewidth=1)
    axis.plot(gains, [found.dial for found in scores], color="#333333")
    axis.set_ylabel("dial, spreads")
    axis.set_title("2. The dial: below 0 under-cooked, above 0 over-cooked", loc="left")


def _defects(axis, gains, scores) -> None:
    axis.axhspan(OK_CAP, FAILED, color="#eeeeee", zorder=0)
    axis.text(gains[-1], (OK_CAP + FAILED) / 2, "never reached ", ha="right", va="center", color="#888888")
    for verdict, colour in VERDICTS.items():
        of_it = [
            (gain, found.defect)
            for gain, found in zip(gains, scores, strict=True)
            if found.verdict == verdict
        ]
        if of_it:
            axis.scatter(*zip(*of_it, strict=True), color=colour, label=verdict, s=22, zorder=3)
    axis.set_ylim(-0.3, DEFECT_CAP)
    axis.set_ylabel("defect")
    axis.set_title(
        f"3. The defect: the distances together, below {OK_CAP:g} where the verdict is ok, "
        f"from {FAILED:g} up where it is not",
        loc="left",
    )
    axis.legend(ncols=5, frameon=False, loc="upper center")


def _square(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture, thinned to about 220 px, so that the files stay small."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left, thin = (height - side) // 2, (width - side) // 2, max(side // 220, 1)
    return picture[top : top + side : thin, left : left + side : thin]


def _save(figure, path: Path, colours: int | None = None) -> None:
    """With a palette, where no photograph is in the figure; that makes a third of the file."""
    drawn = io.BytesIO()
    figure.savefig(drawn)
    plt.close(figure)
    picture = Image.open(drawn).convert("RGB")
    (picture.quantize(colours) if colours else picture).save(path, optimize=True)
