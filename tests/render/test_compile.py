"""A compiled UNet takes its weights as they are now, not as they were when it was compiled."""

import shutil

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from gridsearch.render.cases import Case
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from tests.helpers.settings import sampling

pytestmark = pytest.mark.night


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here")
def test_a_compiled_model_draws_what_the_plain_one_draws_also_after_a_merge_in_place(toy):
    plain, compiled = (
        load_renderer(
            toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"), compiled=flag
        )
        for flag in (False, True)
    )
    settings, case = sampling(steps=2, cfg=1.0), Case("p1", "a circle", "", 1)
    images = []
    for change in (1.0, 1.05):
        for renderer in (plain, compiled):
            with torch.no_grad():
                for pieces in renderer.live.values():
                    for piece in pieces:
                        piece.view.mul_(change)
            renderer.encoded.clear()
            (drawn,) = draw(renderer, [case], settings)
            images.append(drawn.pixels.astype(int))
    before, compiled_before, after, compiled_after = images
    assert np.abs(before - compiled_before).max() <= 1
    assert np.abs(after - compiled_after).max() <= 1
    assert np.abs(after - before).max() > 5


def test_another_strength_of_guidance_needs_no_new_graph(toy):
    plain, compiled = (
        load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))
        for _ in range(2)
    )
    compiled.pipe.unet.compile_repeated_blocks(backend="eager")
    graphs = []
    for factor in (1.0, 1.1, 1.2):
        numbers = {
            "pag_scale": 2.0,
            "seg_scale": 1.0,
            "seg_sigma": 2.0,
            "query_blur": 1.0,
            "cfg_sigma_high": 4.0,
        }
        settings = sampling(**{name: number * factor for name, number in numbers.items()})
        (ours,), (theirs,) = (
            list(draw(renderer, [Case("p1", "a circle", "", 1)], settings)) for renderer in (plain, compiled)
        )
        assert np.array_equal(ours.pixels, theirs.pixels)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[0] == graphs[-1] > 0
