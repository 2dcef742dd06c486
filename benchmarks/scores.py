"""How well scores agree with a person's labels, and what they cost.

    python -m benchmarks.scores

The labelled cells are those of the published grids beside this repository, cut by the program itself;
without these grids only drawn pictures are scored. AUC is the chance that a broken picture's defect is
larger than a healthy one's.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.cells import cut
from gridsearch.score.image import read_image
from gridsearch.score.metrics import measure
from gridsearch.score.score import Score, score
from gridsearch.score.verdict import VERDICTS
from tests.score.pictures import GRIDS, LABELS, REFERENCE, cells, gained, scene, to_bytes

CLASSES = {"h": "healthy", "b": "blank", "g": "ghost", "u": "burnt", "f": "shards", "n": "noise"}
BREAKING: dict[str, tuple[Callable[[np.ndarray], np.ndarray], ...]] = {
    "b": tuple(lambda p, gain=gain: gained(p, gain) for gain in (0.02, 0.06)),
    "g": tuple(lambda p, gain=gain: gained(blurred(p, 4), gain) for gain in (0.2, 0.35)),
    "u": tuple(lambda p, gain=gain: gained(p, gain) for gain in (2.5, 3.5)),
    "n": tuple(lambda p, sigma=sigma: noisy(p, sigma) for sigma in (16, 60)),
}
DRAWN = range(100, 112)  # seeds of scenes that nothing else uses
BLUR, NOISE = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0), (0.0, 2.0, 4.0, 8.0, 16.0, 32.0)

Labelled = list[tuple[str, Score]]


def main() -> None:
    """Print confusion, AUC, graded degradations and times."""
    if GRIDS.is_dir():
        show("published cells, no reference", real_cells(with_reference=False))
        show("published cells, the grid's reference column", real_cells(with_reference=True))
    show("drawn pictures, no reference", drawn_pictures(with_references=False))
    show("drawn pictures, the other pictures as references", drawn_pictures(with_references=True))
    show_graded()
    show_times()


def real_cells(with_reference: bool) -> Labelled:
    """The published cells; with a reference only grids that have one, and that column left out."""
    found = []
    for grid in REFERENCE if with_reference else LABELS:
        pictures, band = cells(grid), POPULATION
        if with_reference:
            _, reference = pictures.pop(REFERENCE[grid])
            own = measure(reference)
            band = band_of([own], own)
        found += [(label, score(picture, band)) for label, picture in pictures]
    return found


def drawn_pictures(with_references: bool) -> Labelled:
    """Scenes and what is made of them when they are broken; each against the other scenes at most."""
    pictures = {seed: scene(512, seed) for seed in DRAWN}
    measured = {seed: measure(picture) for seed, picture in pictures.items()}
    found = []
    for seed, picture in pictures.items():
        others = [metrics for other, metrics in measured.items() if other != seed]
        band = band_of(others) if with_references else POPULATION
        found += [(label, score(made, band)) for label, made in variants(picture)]
    return found


def variants(picture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """A picture as it is, and broken in every way."""
    yield "h", picture
    for label, ways in BREAKING.items():
        for breaking in ways:
            yield label, breaking(picture)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return to_bytes(gaussian_filter(picture.astype(float), (sigma, sigma, 0)))


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    return to_bytes(picture + sigma * np.random.default_rng(0).standard_normal(picture.shape))


# -- what is printed


def show(title: str, scored: Labelled) -> None:
    """Verdicts by label, and the AUC of `defect`, healthy against each class."""
    counts = Counter((label, found.verdict) for label, found in scored)
    verdicts = [verdict for verdict in VERDICTS if any(counts[label, verdict] for label in CLASSES)]
    healthy = [found.defect for label, found in scored if label == "h"]
    print(f"\n{title}\n{'label':<9}" + "".join(f"{verdict:>7}" for verdict in verdicts) + "    AUC")
    for label, name in CLASSES.items():
        defects = [found.defect for other, found in scored if other == label]
        if defects:
            row = "".join(f"{counts[label, verdict] or '.':>7}" for verdict in verdicts)
            print(f"{name:<9}{row}" + ("" if label == "h" else f"{auc(healthy, defects):7.3f}"))
    broken = [found.defect for label, found in scored if label != "h"]
    print(f"overall AUC {auc(healthy, broken):.3f} ({len(healthy)} healthy, {len(broken)} broken)")


def auc(healthy: Sequence[float], broken: Sequence[float]) -> float:
    """The share of pairs in which the broken one has the larger defect; a tie counts half."""
    difference = np.subtract.outer(np.array(broken), np.array(healthy))
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def show_graded() -> None:
    """Rank correlations with graded blur and noise, and what the other kind does, in its own mean steps."""
    correlations, crossed = {"blur": [], "noise": []}, {"blur": [], "noise": []}
    for seed in DRAWN:
        picture = scene(512, seed)
        series = {
            "blur": [measure(blurred(picture, sigma)) for sigma in BLUR],
            "noise": [measure(noisy(picture, sigma)) for sigma in NOISE],
        }
        for own, other, grades in (("blur", "noise", BLUR), ("noise", "blur", NOISE)):
            mine = [getattr(found, own) for found in series[own]]
            step = (mine[-1] - mine[0]) / (len(mine) - 1)
            correlations[own].append(spearmanr(grades, mine).statistic)
            crossed[own].append(np.ptp([getattr(found, own) for found in series[other]]) / step)
    print(f"\ngraded degradations of {len(DRAWN)} drawn pictures, the worst picture")
    for own, other in (("blur", "noise"), ("noise", "blur")):
        print(
            f"{own:<6} Spearman with {own} {min(correlations[own]):.3f}; "
            f"{other} moves it by {max(crossed[own]):.2f} of one step of {own}"
        )


def show_times() -> None:
    """Milliseconds, medians of five."""
    picture = np.kron(scene(512, 0), np.ones((2, 2, 1), np.uint8))
    print(f"\n1024 x 1024: metrics {milliseconds(measure, picture):.0f} ms, ", end="")
    print(f"metrics and verdict {milliseconds(score, picture, POPULATION):.0f} ms")
    for path in sorted(GRIDS.glob("xyz_grid-*.jpg")):
        rgb = read_image(path)
        height, width = rgb.shape[:2]
        print(f"cutting {path.name[:13]}, {width} x {height}: {milliseconds(cut, rgb, path):.0f} ms")


def milliseconds(call: Callable, *arguments: object) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        call(*arguments)
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


if __name__ == "__main__":
    main()
