"""The report in Markdown."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.calibrate.damage import BLUR, DAMAGES, NOISE
from benchmarks.calibrate.pictures import PHOTOGRAPHS, line_art
from benchmarks.calibrate.series import Series, agreement, moved
from gridsearch.score import measure as of
from gridsearch.score.measure import measure, working_copy
from gridsearch.score.metrics import METRIC_SCALES
from tests.helpers.pictures import scene

HEAD = """# Calibration

This page shows how each metric responds to increasing damage. `make calibrate` writes it, and only the times
at the end differ from run to run. The metrics, and how they become a verdict, are described in
[scoring.md](scoring.md).

The damaged images are photographs from the packages scikit-image and scikit-learn:
{photographs};
and drawn pictures: {drawn}. No parameter is fitted to any of them, and none
of them is a render. `python -m benchmarks.scores` measures the agreement of scores with a person's labels on
published grids of renders.

![A photograph and a drawn picture at the strongest grade of each kind of damage](calibration/damage.png)

## Curves

![Each metric against each kind of damage](calibration/curves.png)

- Fog does not change blur until there is no edge left to measure, and it lowers noise. So minimising blur and
  noise picks the emptiest image.
- Clipping raises contrast, the clipped share and colourfulness together. This is what the dial measures.
- Strong clipping of a photograph also raises noise: only unclipped blocks are measured, and the remaining
  ones hold its texture. The verdict is still burnt, because it is tested first.
- JPEG has little effect above quality 30. Blotches raise colourfulness and contrast; only a reference
  distinguishes them from a colourful image.
"""

AGREEMENT = """
## Blur and noise

The rank correlation (Spearman) of each metric with the grades of its own kind of damage, and how far *all*
grades of the other kind move it, in mean steps of its own kind.
Grades of blur: {blur} px; of noise: {noise} levels.

| picture | blur with blur | noise moves blur by | noise with noise | blur moves noise by |
|---|---|---|---|---|
"""

CROSS = """
Blur lowers the noise of a photograph because it removes the photograph's own grain.

## Cross-talk

How far the strongest grade moves each metric: the median over the images, in spreads. Without a reference,
the healthy band extends one spread to each side. A dash means less than half a spread.

| metric | {kinds} |
|---|{rule}
"""

SIZES = """
## Resolution

The largest difference from the value at 1024 px, over {count} drawn pictures: for the same picture drawn at
512 px, and for the 1024 px picture reduced to 768 and to 512 px with three filters.

| metric | drawn at 512 | box | bicubic | Lanczos |
|---|---|---|---|---|
"""

TIME = """
## Time

Milliseconds of one core for a 1024 px image, the minimum of seven runs{machine}.

| part | ms |
|---|---|
"""


def report(series: Sequence[Series]) -> str:
    """All of it.

    Args:
        series: of every picture with every kind of damage.
    """
    drawn = list(dict.fromkeys(one.picture for one in series if one.drawn))
    head = HEAD.format(photographs=", ".join(PHOTOGRAPHS), drawn=", ".join(drawn))
    return head + _agreement(series) + _cross(series) + _sizes() + _times()


def _agreement(series: Sequence[Series]) -> str:
    grades = {kind.name: ", ".join(f"{grade:g}" for grade in kind.grades[1:]) for kind in (BLUR, NOISE)}
    text = AGREEMENT.format(**grades)
    for picture in dict.fromkeys(one.picture for one in series):
        found = agreement([one for one in series if one.picture == picture])
        cells = (f"{value:.2f}" for name in ("blur", "noise") for value in found[name])
        text += f"| {picture} | {' | '.join(cells)} |\n"
    return text


def _cross(series: Sequence[Series]) -> str:
    text = CROSS.format(kinds=" | ".join(kind.name for kind in DAMAGES), rule="---|" * len(DAMAGES))
    for name in METRIC_SCALES:
        by = (moved(series, name, kind) for kind in DAMAGES)
        text += f"| {name} | {' | '.join(f'{x:+.1f}' if abs(x) >= 0.5 else '–' for x in by)} |\n"
    return text


def _sizes() -> str:
    pictures = [*(partial(scene, seed=seed) for seed in range(3)), partial(line_art, seed=0)]
    differences: dict[str, list[list[float]]] = {name: [] for name in METRIC_SCALES}
    for draw in pictures:
        large = draw(1024)
        reduced = [
            [_resized(large, side, way) for side in (768, 512)]
            for way in (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
        ]
        full = measure(large)
        readings = [[measure(picture) for picture in group] for group in ([draw(512)], *reduced)]
        for name in METRIC_SCALES:
            values = [[abs(getattr(m, name) - getattr(full, name)) for m in group] for group in readings]
            differences[name].append([max(group) for group in values])
    text = SIZES.format(count=len(pictures))
    for name, rows in differences.items():
        text += f"| {name} | {' | '.join(f'{x:.3f}' for x in np.max(rows, axis=0))} |\n"
    return text


def _resized(picture: np.ndarray, side: int, way: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), way))


def _times() -> str:
    picture = scene(1024, 0)
    copy = working_copy(picture)
    luma = of.luma_of(copy)
    grain = of.grain_of(*luma.shape)
    parts: dict[str, Callable[[], object]] = {
        "reducing to the working size": lambda: working_copy(picture),
        "blur": lambda: of.edge_width(luma, grain, 0.0),
        "noise": lambda: of.grain_noise(luma, grain, of.flat_noise(luma, grain)),
        "contrast": lambda: luma.std(dtype=np.float64),
        "clipped": lambda: of.clipped_share(copy),
        "colourfulness": lambda: of.colourfulness(copy),
        "entropy": lambda: of.entropy(luma),
        "detail": lambda: of.detail(luma, grain),
        "autocorrelation": lambda: of.autocorrelation(luma),
        "**all**": lambda: measure(picture),
    }
    rows = (f"| {name} | {milliseconds(part):.1f} |\n" for name, part in parts.items())
    return TIME.format(machine=_machine()) + "".join(rows)


def milliseconds(call: Callable[[], object]) -> float:
    """Of processor time, the least of seven runs; what else the machine does hardly counts."""
    spent = []
    for _ in range(7):
        began = time.process_time()
        call()
        spent.append(time.process_time() - began)
    return 1000 * min(spent)


def _machine() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next((f" ({name})" for name in names), "")
