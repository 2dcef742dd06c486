"""Scoring stored images again where some are missing."""

from gridsearch.experiment.tables import Scoring
from gridsearch.results import store
from gridsearch.search.rescore import rescore
from tests.helpers.stored import stored_run


def rows_of(folder):
    return {row["file"]: row for trial in store.read_study(folder).trials for row in store.images_of(trial)}


def test_a_missing_image_keeps_its_scores_and_the_others_are_scored(tmp_path):
    folder = stored_run(tmp_path / "run")
    before = rows_of(folder)
    gone, *others = before
    (folder / gone).unlink()
    counted = []
    by = Scoring(references=("base",))
    notes = rescore(folder, lambda many: lambda: counted.append(many), by)
    assert f"1 image ({gone}) is missing or unreadable: the scores stay." in notes
    after = rows_of(folder)
    assert after[gone] == before[gone]
    assert after.keys() == before.keys()
    assert len(counted) == len(before)
    assert others
