"""On a CUDA device: `pytest -m gpu`."""

import numpy as np
import pytest
import torch

from gridsearch.merge.files import open_checkpoint
from gridsearch.merge.linear import merge_into
from gridsearch.merge.sources import dtypes_of, open_source
from gridsearch.render.cases import Case
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer, placement
from gridsearch.render.sampling import Sampling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CASES = [Case("p1", "a circle", "", seed) for seed in range(4)]
SAMPLING = Sampling("v_prediction", True, None, "euler", 8, 3.5, 0.0, "zeros", 64, 64)


@pytest.fixture
def load(toy):
    def renderer(name, dtype):
        return load_renderer(toy / f"{name}.safetensors", toy / "config", None, placement("cuda", dtype))

    return renderer


def images(renderer):
    return np.stack([drawn.pixels for drawn in draw(renderer, CASES, SAMPLING, batch=4)])


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_live_merge_at_an_end_draws_what_the_parent_draws(toy, load, dtype):
    live = load("base", dtype)
    before = images(live)
    sources = {name: open_source(toy / f"{name}.safetensors") for name in ("base", "burnt")}
    dtypes = dtypes_of(open_checkpoint(toy / "base.safetensors"))
    merge_into(live.live, sources, {"burnt": 1.0}, dtypes)
    assert np.array_equal(images(live), images(load("burnt", dtype)))
    merge_into(live.live, sources, {"base": 1.0}, dtypes)
    assert np.array_equal(images(live), before)


def test_the_device_changes_an_image_by_rounding_only(toy, load):
    cpu = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))
    difference = np.abs(images(cpu).astype(int) - images(load("base", "float32")))
    assert difference.mean() < 1


def test_a_vae_that_overflows_in_half_precision_stays_in_float32(load):
    renderer = load("base", "float16")
    wanted = torch.float32 if renderer.pipe.vae.config.force_upcast else torch.float16
    list(draw(renderer, CASES, SAMPLING, batch=4))
    assert renderer.pipe.vae.dtype == wanted
    assert renderer.pipe.unet.dtype == torch.float16
