"""Likeness to the references: which of them an image is compared with, and that odd features are left out."""

import numpy as np
import pytest

from gridsearch.results.likeness import distance_of, sound_references, with_likeness
from gridsearch.score.sets import packed, set_distance


def row(prompt, seed, features, **more):
    text = {} if features is None else {"features": packed(np.array(features, float))}
    return {"prompt_id": prompt, "seed": seed, "model": "a", "verdict": "ok", **text, **more}


REFERENCES = [
    row("p1", 1, [1, 0]),
    row("p1", 2, [0, 1]),
    row("p2", 1, [-1, 0]),
    row("p1", 1, [0, -1], verdict="burnt"),  # no standard
    row("p1", 1, [0, -1], model="b"),  # no longer a reference
    row("p1", 1, None),
]


def test_an_image_is_compared_with_its_own_reference_with_its_prompts_and_with_all():
    known = sound_references(REFERENCES, ["a"])
    found = with_likeness(row("p1", 1, [3, 4], scorers={"sharp": 1.0}), known)["scorers"]
    assert found == pytest.approx(
        {"sharp": 1, "like_its_reference": 0.6, "like_its_prompt": 0.7, "like_all": 0.8 / 3}, abs=1e-3
    )
    assert np.isnan(with_likeness(row("p3", 1, [3, 4]), known)["scorers"]["like_its_prompt"])


def test_features_of_another_backbone_or_none_do_not_compare():
    known = sound_references([*REFERENCES, row("p2", 2, [1, 0, 0])], ["a"])
    assert len(known) == 3
    for odd in (row("p1", 1, [1, 0, 0]), row("p1", 1, None)):
        assert with_likeness(odd, known) == odd
    rows = [row("p1", 1, [1, 0]), row("p1", 2, [0, 1]), row("p2", 1, [1, 0, 0])]
    expected = set_distance(np.eye(2), np.stack([features for _, features in known]))
    assert distance_of(rows, known) == pytest.approx(expected)
    assert np.isnan(distance_of(rows, []))
