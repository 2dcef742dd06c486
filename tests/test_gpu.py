"""On a CUDA device: `pytest -m gpu`."""

import numpy as np
import pytest
import torch

from gridsearch.merge.files import open_checkpoint
from gridsearch.merge.live import Live, merge_live
from gridsearch.merge.sources import DTYPES, Residence, held, open_source
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


def live_of(toy, renderer, where):
    """The toy's models, held where they are to lie, over a renderer's weights."""
    infos = open_checkpoint(toy / "base.safetensors").tensors
    place = Residence(where, 0, True)
    sources = {
        name: held(open_source(toy / f"{name}.safetensors"), list(renderer.live), place, "cuda")
        for name in ("base", "burnt", "vpred")
    }
    return Live(renderer.live, sources, {key: DTYPES[infos[key].dtype] for key in renderer.live})


@pytest.mark.parametrize("where", ["gpu", "pinned", "mapped"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_live_merge_at_an_end_draws_what_the_parent_draws(toy, load, dtype, where):
    renderer = load("base", dtype)
    before = images(renderer)
    live = live_of(toy, renderer, where)
    merge_live(live, dict.fromkeys(renderer.live, (("burnt", 1.0),)))
    renderer.encoded.clear()
    assert np.array_equal(images(renderer), images(load("burnt", dtype)))
    merge_live(live, dict.fromkeys(renderer.live, (("base", 1.0),)))
    renderer.encoded.clear()
    assert np.array_equal(images(renderer), before)


@pytest.mark.parametrize(
    "terms", [(("base", 0.55), ("burnt", 0.45)), (("base", 0.5), ("burnt", 0.3), ("vpred", 0.2))]
)
def test_wherever_the_models_lie_the_merge_is_the_same_and_that_of_the_cpu(toy, load, terms):
    merged = {}
    for where in ("gpu", "pinned", "mapped"):
        renderer = load("base", "float16")
        merge_live(live_of(toy, renderer, where), dict.fromkeys(renderer.live, terms))
        merged[where] = {key: piece.view.cpu() for key, (piece, *_) in renderer.live.items()}
    cpu = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float16"))
    infos = open_checkpoint(toy / "base.safetensors").tensors
    sources = {name: open_source(toy / f"{name}.safetensors") for name, _ in terms}
    dtypes = {key: DTYPES[infos[key].dtype] for key in cpu.live}
    merge_live(Live(cpu.live, sources, dtypes), dict.fromkeys(cpu.live, terms))
    for key, (piece, *_) in cpu.live.items():
        assert torch.equal(merged["gpu"][key], merged["pinned"][key])
        assert torch.equal(merged["gpu"][key], merged["mapped"][key])
        # a fused multiply-add rounds once where the CPU may round twice: a few last bits
        differ = (merged["gpu"][key].half() != piece.view.half()).double().mean()
        assert differ <= 0.01


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
