"""The agreement of scores with a person's labels, and their cost.

    python -m benchmarks.scores

The labelled cells are those of the published grids beside this repository, cut by the program itself;
without these grids only photographs and drawn pictures are scored. AUC is the chance that a broken
picture's defect is larger than a healthy one's. No picture is judged by a band it had a part in, except
where its own reference is another model's render of the same prompt and seed.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import numpy as np

from benchmarks.calibrate.damage import blurred, noisy
from benchmarks.calibrate.pictures import DRAWN, line_art, photographs
from benchmarks.calibrate.series import graded
from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.measure import measure, read_image
from gridsearch.score.score import Score, score
from gridsearch.score.verdict import VERDICTS
from gridsearch.score.xyz_grid import cut_grid
from tests.helpers.pictures import GRIDS, LABELS, REFERENCE, cells, gained, scene

CLASSES = {"h": "healthy", "b": "blank", "g": "ghost", "u": "burnt", "f": "shards", "n": "noise"}
BREAKING: dict[str, tuple[Callable[[np.ndarray], np.ndarray], ...]] = {
    "b": tuple(lambda p, gain=gain: gained(p, gain) for gain in (0.02, 0.06)),
    "g": tuple(lambda p, gain=gain: gained(blurred(p, 4), gain) for gain in (0.2, 0.35)),
    "u": tuple(lambda p, gain=gain: gained(p, gain) for gain in (2.5, 3.5)),
    "n": tuple(lambda p, sigma=sigma: noisy(p, sigma) for sigma in (16, 60)),
}

Labelled = list[tuple[str, Score]]


def main() -> None:
    """Print confusion, AUC, graded degradations and times."""
    scenes = {f"scene {seed}": scene(512, seed) for seed in DRAWN}
    drawings = scenes | {f"line art {seed}": line_art(512, seed) for seed in range(4)}
    photos = photographs()
    real = []
    if GRIDS.is_dir():
        show("published cells, no reference", real_cells("none"))
        show("published cells, the grid's reference column", real_cells("own"))
        real = real_cells("other grids")
        show("published cells, the healthy cells of the other grids as references", real)
    broken_photos = made_pictures(photos, with_references=True)
    show("photographs, no reference", made_pictures(photos, with_references=False))
    show("photographs, the other photographs as references", broken_photos)
    show("all real pictures, the others as references", real + broken_photos)
    show("drawn pictures, no reference", made_pictures(drawings, with_references=False))
    show("drawn pictures, the others as references", made_pictures(drawings, with_references=True))
    show_graded("photographs", photos)
    show_graded("drawn pictures", drawings)
    if GRIDS.is_dir():
        show_graded("healthy published cells", healthy_cells())
    show_times()


def real_cells(references: str) -> Labelled:
    """The published cells.

    Args:
        references: "none"; "own": the grid's reference column, which is left out, and grids without one
            too; "other grids": the healthy cells of all other grids.
    """
    found = []
    for grid in LABELS:
        pictures, band = list(cells(grid)), POPULATION
        if references == "own":
            if grid not in REFERENCE:
                continue
            own = measure(pictures.pop(REFERENCE[grid])[1])
            band = band_of([own], own)
        if references == "other grids":
            others = (cell for other in LABELS if other != grid for cell in cells(other))
            band = band_of([measure(picture) for label, picture in others if label == "h"])
        found += [(label, score(picture, band)) for label, picture in pictures]
    return found


def healthy_cells() -> dict[str, np.ndarray]:
    """Grid and column -> picture."""
    return {
        f"{grid} {column}": picture
        for grid in LABELS
        for column, (label, picture) in enumerate(cells(grid))
        if label == "h"
    }


def made_pictures(pictures: Mapping[str, np.ndarray], with_references: bool) -> Labelled:
    """Healthy pictures and what is made of them when they are broken; each against the others at most."""
    measured = {name: measure(picture) for name, picture in pictures.items()}
    found = []
    for name, picture in pictures.items():
        others = [metrics for other, metrics in measured.items() if other != name]
        band = band_of(others) if with_references else POPULATION
        found += [(label, score(made, band)) for label, made in variants(picture)]
    return found


def variants(picture: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """A picture as it is, and broken in every way."""
    yield "h", picture
    for label, ways in BREAKING.items():
        for breaking in ways:
            yield label, breaking(picture)


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


def show_graded(title: str, pictures: Mapping[str, np.ndarray]) -> None:
    """The worst picture's rank correlation, and the picture that the other kind moves most."""
    found = {name: graded(picture) for name, picture in pictures.items()}
    print(f"\ngraded degradations of {len(pictures)} {title}")
    for own, other in (("blur", "noise"), ("noise", "blur")):
        least = min(result[own][0] for result in found.values())
        worst = max(found, key=lambda name: found[name][own][1])
        moved = found[worst][own][1]
        print(
            f"{own:<6} Spearman with {own} at least {least:.3f}; "
            f"{other} moves it by {moved:.2f} of one step of {own} at most ({worst})"
        )


def show_times() -> None:
    """Milliseconds, medians of five."""
    picture = np.kron(scene(512, 0), np.ones((2, 2, 1), np.uint8))
    print(f"\n1024 x 1024: metrics {milliseconds(measure, picture):.0f} ms, ", end="")
    print(f"metrics and verdict {milliseconds(score, picture, POPULATION):.0f} ms")
    for path in sorted(GRIDS.glob("xyz_grid-*.jpg")):
        rgb = read_image(path)
        height, width = rgb.shape[:2]
        print(f"cutting {path.name[:13]}, {width} x {height}: {milliseconds(cut_grid, rgb, path):.0f} ms")


def milliseconds(call: Callable, *arguments: object) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        call(*arguments)
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


if __name__ == "__main__":
    main()
