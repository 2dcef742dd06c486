"""Real pictures: the cells of five published grids, labelled by eye."""

import io

import numpy as np
import pytest
from PIL import Image

from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.measure import measure
from gridsearch.score.score import score
from tests.helpers.pictures import KEPT, LABELS, REFERENCE, cells, needs_grids

pytestmark = pytest.mark.usefixtures("measured_once")

FAMILY = {
    "h": {"ok"},
    "b": {"blank"},
    "g": {"ghost", "blank"},
    "u": {"burnt", "noise"},
    "f": {"burnt", "noise"},
    "n": {"noise"},
}
KINDS = ("population", "references", "own reference", "other grids")
CASES = [
    (g, kind) for g in LABELS for kind in KINDS if kind in ("population", "other grids") or g in REFERENCE
]


def resized(picture, scale):
    height, width = picture.shape[:2]
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def as_jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


# The same cells as other grids would have them: smaller files, harder compression, other framing.
CHANGES = {
    "mirrored": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "left part": lambda p: np.ascontiguousarray(p[:, : p.shape[1] * 2 // 3]),
    "right part": lambda p: np.ascontiguousarray(p[:, p.shape[1] // 3 :]),
    "quality 30": lambda p: as_jpeg(p, 30),
    "a third": lambda p: resized(p, 0.35),
    "enlarged": lambda p: resized(p, 1.6),
}
BY_DAY = ("left part", "a third", "enlarged")


def scores(grid, kind, change=lambda picture: picture):
    """[(label, Score)] of a grid's cells, against the kind of band named."""
    pictures = [(label, change(picture)) for label, picture in cells(grid)]
    band = POPULATION
    if kind == "other grids":
        others = [cell for other in LABELS if other != grid for cell in cells(other)]
        band = band_of([measure(change(picture)) for label, picture in others if label == "h"])
    elif kind != "population":
        reference = measure(pictures[REFERENCE[grid]][1])
        band = band_of([reference], reference if kind == "own reference" else None)
    return [(label, score(picture, band)) for label, picture in pictures]


@needs_grids
@pytest.mark.parametrize(("grid", "kind"), CASES)
def test_every_cell_gets_a_verdict_of_the_right_family(grid, kind):
    scored = scores(grid, kind)
    assert [s.verdict in FAMILY[label] for label, s in scored] == [True] * len(scored), scored


@needs_grids
@pytest.mark.parametrize(
    "change",
    [pytest.param(name, marks=[] if name in BY_DAY else [pytest.mark.night]) for name in CHANGES],
)
@pytest.mark.parametrize("grid", LABELS)
def test_verdicts_outlast_framing_scaling_and_compression(grid, change):
    for kind in ("population", "own reference") if grid in REFERENCE else ("population",):
        wrong = [
            (label, s) for label, s in scores(grid, kind, CHANGES[change]) if s.verdict not in FAMILY[label]
        ]
        assert wrong == []


@needs_grids
@pytest.mark.parametrize(("grid", "kind"), [case for case in CASES if case[0] in KEPT])
def test_the_kept_column_has_the_least_defect_beside_the_reference(grid, kind):
    defects = {i: s.defect for i, (_, s) in enumerate(scores(grid, kind)) if i != REFERENCE[grid]}
    assert min(defects, key=defects.get) == KEPT[grid]


@needs_grids
@pytest.mark.parametrize(("grid", "kind"), CASES)
def test_the_dial_says_which_way_to_turn(grid, kind):
    for label, scored in scores(grid, kind):
        if label in "bg":
            assert scored.dial < -1
        if label in "uf":
            assert scored.dial > 1


@needs_grids
def test_defect_separates_healthy_cells_from_every_kind_of_broken_with_other_grids_as_references():
    found = [cell for grid in LABELS for cell in scores(grid, "other grids")]
    healthy = max(s.defect for label, s in found if label == "h")
    assert healthy < min(s.defect for label, s in found if label != "h")  # an AUC of 1 for each class
