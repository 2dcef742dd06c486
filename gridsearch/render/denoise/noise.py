"""The noise of a batch: each image has its own source of random numbers, seeded by its case alone.

So an image is the same in any batch, order, worker or device: numbers are drawn on the CPU, in float32.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gridsearch.render.denoise.philox import CudaRandn


class RandomSource(Protocol):
    """The random numbers of one image."""

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next normal numbers: float32, on the CPU."""


class CpuRandn:
    """The numbers of torch's CPU generator, which diffusers and A1111's "CPU" use."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator)


SOURCES: dict[str, Callable[[int], RandomSource]] = {"cpu": CpuRandn, "gpu": CudaRandn}


class Noise(TorchFunctionMode):
    """The sources of a batch: within `with noise:`, `torch.randn` gives each row numbers of its own source.

    diffusers' schedulers cannot be given noise; all of them draw it with `torch.randn`. A call that names its
    generator is left alone.
    """

    def __init__(self, seeds: Sequence[int], rng: str) -> None:
        super().__init__()
        self._sources: list[RandomSource] = [SOURCES[rng](seed) for seed in seeds]

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers of every image, each of `shape`: (N, *shape)."""
        return torch.stack([source.draw(shape) for source in self._sources])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these images only."""
        self._sources = [self._sources[row] for row in rows]

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not torch.randn or kwargs.get("generator") is not None:
            return function(*args, **kwargs)
        _, *shape = args[0]
        return on_device(self.draw(tuple(shape)), kwargs["device"], kwargs["dtype"])


def on_device(noise: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Move numbers from the CPU without waiting for the device to finish its work."""
    noise = noise.to(dtype)
    if torch.device(device).type == "cuda":
        return noise.pin_memory().to(device, non_blocking=True)
    return noise.to(device)


class _Seeded(TorchFunctionMode):
    """Within it, a `torch.randn` that names a generator gives this source's numbers for the same seed."""

    def __init__(self, rng: str) -> None:
        super().__init__()
        self._source = SOURCES[rng]

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not torch.randn or kwargs.get("generator") is None:
            return function(*args, **kwargs)
        return self._source(kwargs["generator"].initial_seed()).draw(tuple(args[0]))


class Brownian:
    """Brownian motion over the noise level, one path per image, as A1111's SDE samplers use it.

    The paths are those of torchsde, as in k-diffusion and diffusers, built from the numbers that `rng` names.

    Args:
        shape: of one image's latent.
        levels: the least and the greatest sigma.
        like: gives the device and the precision of the latents.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        rng: str,
        shape: tuple[int, ...],
        levels: tuple[float, float],
        like: Tensor,
    ) -> None:
        one = torch.zeros((1, *shape))
        self._numbers = _Seeded(rng)
        self._device, self._dtype = like.device, like.dtype
        with self._numbers:
            self._paths = [BrownianTreeNoiseSampler(one, *levels, [seed]) for seed in seeds]

    def __call__(self, level: float, next_level: float) -> Tensor:
        with self._numbers, warnings.catch_warnings():
            # an end of the path was rounded on its way to the scheduler's sigma and back
            warnings.filterwarnings("ignore", "Should have t")
            noise = torch.cat([path(level, next_level) for path in self._paths])
        return on_device(noise, self._device, self._dtype)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these images only."""
        self._paths = [self._paths[row] for row in rows]
