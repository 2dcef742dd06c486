"""The plan: what the run will do, and whether there is room for it."""

import shutil
from collections import namedtuple

import pytest

from gridsearch.errors import BadInput
from gridsearch.experiment import load_experiment
from gridsearch.plan import make_plan
from gridsearch.render.cost import unet_call


@pytest.fixture
def demo(toy):
    return load_experiment(toy.parent / "toy.toml")


def test_the_demo_is_counted_right(demo, tmp_path):
    plan = make_plan(demo, tmp_path / "not" / "there")
    assert (plan.trials, plan.cases, plan.references, plan.images) == (21, 32, 32, 21 * 32 + 32)
    # One live copy in float32: twice the bytes of the half-precision file, less its header.
    assert plan.memory.host == pytest.approx(2 * plan.parents.first.bytes, rel=0.03)
    assert plan.seconds > 0
    assert any("predict different things" in warning for warning in plan.warnings)


def test_too_small_a_disk_is_said_before_the_night(demo, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(1000, 1000, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match="disk is too small: 704 images"):
        make_plan(demo, tmp_path)


def test_arithmetic_grows_with_the_area(toy):
    """Convolutions grow with the pixels, attention faster, the text's keys and values not at all."""
    (small, modules), (large, _) = (unet_call(toy / "config", side, side) for side in (64, 128))
    assert 3.5 * small < large < 4.5 * small
    assert modules > 100
