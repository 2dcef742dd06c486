"""Which pairs are asked: of the leaders, balanced, each once, never of equal pictures."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gridsearch.app.web.judge import pairs as pairs_module
from gridsearch.app.web.judge.pairs import choose_pairs, choose_trials
from gridsearch.base.errors import BadInput
from gridsearch.render.pictures import png_bytes
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import load_results


@pytest.fixture(scope="module")
def results(tied_run):
    return load_results(tied_run)


def couples(pairs) -> Counter:
    return Counter(tuple(sorted((pair.first, pair.second))) for pair in pairs)


@pytest.fixture(scope="module")
def answer(results):
    return analyse(results)


def test_tied_leaders_are_compared_and_of_many_the_first(results, answer, monkeypatch):
    trials, note = choose_trials(results, answer)
    assert (trials[0], sorted(trials), note) == (answer.best.trial, [0, 3, 4], "")
    monkeypatch.setattr(pairs_module, "MAX_TRIALS", 2)
    trials, note = choose_trials(results, answer)
    assert trials[0] == answer.best.trial
    assert len(trials) == 2
    assert "3 trials tie" in note


def test_without_ties_the_neighbours_are_shown_and_that_is_said(results, answer):
    trials, note = choose_trials(results, replace(answer, tied=()))
    assert trials == (0, 3, 4)  # ratios 0.5, 0.25 and 0.75
    assert "not change the recommendation" in note


def test_named_trials_must_be_there(results, answer):
    assert choose_trials(results, answer, (1, 0, 1)) == ((1, 0), "")
    for wrong in ((0, 99), (0,), (0, 0)):
        with pytest.raises(BadInput):
            choose_trials(results, answer, wrong)


def test_pairs_are_balanced_and_asked_once(results):
    pairs = choose_pairs(results, (0, 3, 4), 20, seed=1)
    assert len(pairs) == 20
    assert max(couples(pairs).values()) - min(couples(pairs).values()) <= 1
    prompts = Counter(pair.prompt_id for pair in pairs)
    assert max(prompts.values()) - min(prompts.values()) <= 1
    assert len({frozenset((pair.left, pair.right)) for pair in pairs}) == 20
    for pair in pairs:
        for trial, file in ((pair.first, pair.left), (pair.second, pair.right)):
            assert file == results.folder / f"images/t{trial:04d}_{pair.prompt_id}_{pair.seed}.png"
    sides = [pair.first < pair.second for pair in pairs]
    assert 4 <= sum(sides) <= 16
    assert pairs == choose_pairs(results, (0, 3, 4), 20, seed=1)
    assert pairs != choose_pairs(results, (0, 3, 4), 20, seed=2)
    assert len(choose_pairs(results, (0, 3, 4), 99, seed=1)) == 30  # there are no more


def test_what_was_judged_before_is_asked_last(results):
    first = choose_pairs(results, (0, 3), 7, seed=1)
    rows = [{"first": p.second, "second": p.first, "prompt_id": p.prompt_id, "seed": p.seed} for p in first]
    later = replace(results, judgements=pd.DataFrame(rows))
    assert set(couples(choose_pairs(later, (0, 3, 4), 8, seed=2))) == {(0, 4), (3, 4)}
    asked = {(p.prompt_id, p.seed) for p in first}
    assert not asked & {(p.prompt_id, p.seed) for p in choose_pairs(later, (0, 3), 3, seed=2)}


def test_a_picture_that_is_kept_small_is_not_asked(results, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(results.folder, folder)
    small = folder / results.images[results.images["trial"] == 3].iloc[0]["file"]
    small.write_bytes(png_bytes(np.zeros((8, 8, 3), np.uint8), "Reduced from: 64x64"))
    asked = choose_pairs(replace(results, folder=folder), (0, 3), 99, seed=1)
    assert len(asked) == 9
    assert not any(small in (pair.left, pair.right) for pair in asked)


def test_equal_missing_and_foreign_pictures_are_not_asked(results):
    images = results.images.copy()
    mine = images["trial"] == 3
    place = images[mine].index
    other = images[(images["trial"] == 0)].index
    images.loc[place[0], "file"] = images.loc[other[0], "file"]
    images.loc[place[1], "file"] = "../../secret.png"
    images.loc[place[2], "file"] = "images/gone.png"
    images["digest"] = None
    images.loc[[place[3], other[3]], "digest"] = "the same"
    pairs = choose_pairs(replace(results, images=images), (0, 3), 99, seed=1)
    assert len(pairs) == 6
    assert all(pair.left.is_file() and pair.right.is_file() for pair in pairs)
