"""Measures, draws and writes docs/calibration.md."""

from pathlib import Path

import numpy as np

from benchmarks.calibrate.figures import draw_curves, draw_defect, draw_samples
from benchmarks.calibrate.pictures import drawn, photographs
from benchmarks.calibrate.report import report
from benchmarks.calibrate.series import all_series
from gridsearch.score.band import band_of
from gridsearch.score.measure import measure
from gridsearch.score.score import score
from tests.helpers.pictures import gained, scene

DOCS = Path(__file__).parents[2] / "docs"
GAINS = sorted({*np.geomspace(0.03, 4, 60).tolist(), 0.05, 0.25, 0.6, 1.0, 1.5, 2.2, 3.5})
SHOWN = (0.05, 0.25, 0.6, 1.0, 1.5, 2.2, 3.5)


def main() -> None:
    """Write the report and its figures."""
    folder = DOCS / "calibration"
    folder.mkdir(exist_ok=True)
    photos, drawings = photographs(), drawn()
    series = all_series(photos, drawings)
    draw_curves(series, folder / "curves.png")
    draw_samples(
        {name: (photos | drawings)[name] for name in ("coffee", "line art 0")}, folder / "damage.png"
    )
    _draw_defect(photos["coffee"], folder / "defect.png")
    (DOCS / "calibration.md").write_text(report(series), encoding="utf-8")


def _draw_defect(picture: np.ndarray, path: Path) -> None:
    """One picture with its contrast turned from blank to burnt, against itself and a few scenes."""
    own = measure(picture)
    band = band_of([own, *(measure(scene(512, seed)) for seed in range(8))], own)
    made = {gain: gained(picture, gain) for gain in GAINS}
    shown = {gain: made[gain] for gain in SHOWN}
    draw_defect(GAINS, shown, [score(made[gain], band) for gain in GAINS], band, path)


if __name__ == "__main__":
    main()
