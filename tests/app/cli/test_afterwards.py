"""`gridsearch score` on folders that are no pictures."""

from tests.helpers.program import gridsearch


def test_a_folder_without_pictures_or_results_is_named(tmp_path):
    done = gridsearch("score", tmp_path)
    assert done.returncode == 2
    assert "holds no results" in done.stderr


def test_a_results_folder_is_scored_alone(tmp_path):
    (tmp_path / "study.db").touch()
    done = gridsearch("score", tmp_path, tmp_path / "a.png")
    assert done.returncode == 2
    assert "must be scored on its own" in done.stderr
