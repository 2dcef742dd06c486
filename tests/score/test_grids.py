"""Real pictures: the cells of five published grids, labelled by eye."""

import pytest

from gridsearch.score.band import POPULATION, band_of
from gridsearch.score.metrics import measure
from gridsearch.score.score import score
from tests.score.pictures import KEPT, LABELS, REFERENCE, cells, needs_grids

FAMILY = {
    "h": {"ok"},
    "b": {"blank"},
    "g": {"ghost", "blank"},
    "u": {"burnt", "noise"},
    "f": {"burnt", "noise"},
    "n": {"noise"},
}
KINDS = ("population", "references", "own reference")
CASES = [(grid, kind) for grid in LABELS for kind in KINDS if kind == "population" or grid in REFERENCE]


def scores(grid, kind):
    """[(label, Score)] of a grid's cells, against the kind of band named."""
    pictures = cells(grid)
    band = POPULATION
    if kind != "population":
        reference = measure(pictures[REFERENCE[grid]][1])
        band = band_of([reference], reference if kind == "own reference" else None)
    return [(label, score(picture, band)) for label, picture in pictures]


@needs_grids
@pytest.mark.parametrize(("grid", "kind"), CASES)
def test_every_cell_gets_a_verdict_of_the_right_family(grid, kind):
    scored = scores(grid, kind)
    assert [s.verdict in FAMILY[label] for label, s in scored] == [True] * len(scored), scored


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
