"""CUDA's random numbers, computed here and drawn there: `pytest -m gpu`."""

import math

import pytest
import torch

from gridsearch.render.denoise.noise import CudaRandn

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("shape", [(1, 4, 128, 128), (1, 4, 96, 168), (1, 4, 104, 152)])
@pytest.mark.parametrize("seed", [0, 1, 2, 42, 1234, 1781861418, 2**31, 2**32 - 1, 2**32, 2**63 - 1])
def test_the_numbers_are_those_of_torch(seed, shape):
    device = torch.cuda.get_device_properties(0)
    threads = device.multi_processor_count * (device.max_threads_per_multi_processor // 256) * 256
    if math.prod(shape) > threads:
        pytest.skip(f"this GPU has {threads:,} threads only")
    generator = torch.Generator("cuda").manual_seed(seed)
    ours = CudaRandn(seed)
    for _ in range(3):
        theirs = torch.randn(shape, generator=generator, device="cuda").cpu()
        # the fast sine is off by 1e-6, and more where its argument is past pi; times at most 6.7
        torch.testing.assert_close(ours.draw(shape), theirs, atol=2e-5, rtol=0)
