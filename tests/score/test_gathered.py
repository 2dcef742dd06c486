"""The gathered pictures: damages of chance change one and follow their seed; no two pictures are alike."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.verdicts import gathered
from benchmarks.verdicts.chances import CHANCES
from benchmarks.verdicts.corpus import INDEX
from benchmarks.verdicts.gathered import write_gathered
from benchmarks.verdicts.wrecks import wrecked
from gridsearch.base.errors import BadInput
from tests.helpers.pictures import scene

SMALL = scene(128, 300)[:, :112]


@pytest.mark.parametrize("kind", CHANCES)
def test_a_damage_changes_the_picture_and_follows_its_seed(kind):
    way = CHANCES[kind][1]
    made = [wrecked(SMALL, way, kind, far, seed) for far, seed in ((0, 1), (1, 1), (0, 1), (0, 2))]
    changes = [np.sqrt(np.square(one.astype(float) - SMALL).mean()) for one in made]
    assert all(one.shape == SMALL.shape for one in made)
    assert min(changes) > 8
    assert (made[2] == made[0]).all()
    assert (made[3] != made[0]).any()


def test_the_set_goes_on_and_keeps_no_two_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(gathered, "LOOKED_AT", {"one": ("usr/*",), "two": ("*.png",)})
    monkeypatch.setattr(gathered, "RULED", {})
    for place, seed in (("one/usr/a", 301), ("one/usr/b", 301), ("one/etc/c", 302), ("two/d", 303)):
        file = tmp_path / f"art/{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        if seed != 303:
            Image.fromarray(scene(256, seed)).save(file)
    write_gathered(tmp_path / "set", tmp_path / "art")
    first = json.loads((tmp_path / "set" / INDEX).read_text())
    assert {entry["name"].split("|")[0] for entry in first} in (
        {"package one usr/a.png"},
        {"package one usr/b.png"},
    )
    assert {entry["kind"] for entry in first} > {""}
    Image.fromarray(scene(256, 303)).save(tmp_path / "art/two/d.png")
    write_gathered(tmp_path / "set", tmp_path / "art")
    both = json.loads((tmp_path / "set" / INDEX).read_text())
    assert both[: len(first)] == first
    assert {entry["style"] for entry in both[len(first) :]} == {"package two"}
    assert len({entry["name"] for entry in both}) == len(both) == len([*(tmp_path / "set").glob("*.png")])


def test_no_package_is_an_error(tmp_path):
    with pytest.raises(BadInput, match="No package is here"):
        write_gathered(tmp_path / "set", tmp_path)
