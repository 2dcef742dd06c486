"""The noise of a batch: each image has its own source of random numbers, seeded by its case alone.

So an image is the same in any batch, order, worker or device: numbers are drawn on the CPU, in float32.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
from torch import Tensor
from torch.overrides import TorchFunctionMode

# -- sources of normal numbers, for one image each


class CpuRandn:
    """The numbers of torch's CPU generator, which diffusers and A1111's "CPU" use."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the next normal numbers: float32, on the CPU."""
        return torch.randn(shape, generator=self._generator)


class CudaRandn:
    """CUDA's random numbers on any machine: those of `torch.randn(device="cuda")` for a seed.

    The generator is Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten
    rounds of multiplication turn a counter and a key into four words of 32 bits. cuRAND makes a normal number
    of two of them by Box & Muller (1958), and torch draws a tensor with one counter per element. A1111's
    random source "NV" computes the same on a CPU, so that a seed gives one picture on every machine.

    It holds while every element has a GPU thread of its own. torch starts (`DistributionTemplates.h`,
    `calc_execution_policy`)

        min(ceil(elements / 256), multiprocessors * (threads per multiprocessor // 256))

    blocks of 256 threads. Each thread makes four numbers in a call (`curand_normal4`): the first is its own
    element's, the others are for elements beyond the last thread. So where a GPU has fewer threads than the
    tensor has elements, the later ones differ from what is computed here and from A1111's "NV", which assumes
    the same. A latent of 1024 x 1024 px has 65,536 elements. An H100 has 270,336 threads, an RTX 4090
    196,608, an RTX 3070 70,656, but an RTX 3060 only 43,008 and a T4 40,960.

    The numbers are CUDA's up to its fast sine, which is off by some 1e-6.

    Args:
        seed: as given to `manual_seed`, from 0 to 2**64 - 1.
    """

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < 2**64:
            raise ValueError(f"a seed has 64 bits, got {seed}")
        self._seed = seed
        self._calls = 0  # so far; the next numbers depend on it and on the seed alone

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """Return the numbers of the next call of `torch.randn(shape)`: float32, on the CPU."""
        index = np.arange(math.prod(shape), dtype=np.uint32)
        zeros = np.zeros_like(index)
        words = philox((np.full_like(index, self._calls), zeros, index, zeros), self._seed)
        self._calls += 1
        return torch.from_numpy(box_muller(words[0], words[1]).reshape(shape))


MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85  # added to the key in each round: the golden ratio, the square root of 3
ROUNDS = 10
_WORD = 0xFFFFFFFF
_TO_UNIT = np.float32(2.0**-32)
_TO_CIRCLE = np.float64(_TO_UNIT * np.float32(2 * math.pi))


def philox(counters: tuple[np.ndarray, ...], key: int) -> tuple[np.ndarray, ...]:
    """Compute Philox 4x32-10 of many counters at once.

    Args:
        counters: their four words, lowest first, as four arrays (N,) uint32.
        key: 64 bits.
    Returns:
        Four arrays like them.
    """

    def high(product: np.ndarray) -> np.ndarray:
        return (product >> np.uint64(32)).astype(np.uint32)

    c0, c1, c2, c3 = counters
    k0, k1 = key & _WORD, key >> 32
    for _ in range(ROUNDS):
        first = np.multiply(c0, MULTIPLIERS[0], dtype=np.uint64)
        second = np.multiply(c2, MULTIPLIERS[1], dtype=np.uint64)
        c0, c2 = high(second) ^ c1 ^ np.uint32(k0), high(first) ^ c3 ^ np.uint32(k1)
        c1, c3 = second.astype(np.uint32), first.astype(np.uint32)
        k0, k1 = (k0 + WEYL[0]) & _WORD, (k1 + WEYL[1]) & _WORD
    return c0, c1, c2, c3


def box_muller(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Turn two words (N,) uint32 into the first of cuRAND's two normal numbers, (N,) float32.

    Words are made float32 first, as on a GPU. Where u is near one, and the number near zero, that is coarse,
    and A1111, which computes in float64, may differ by 1e-4.
    """
    u = x.astype(np.float32) * _TO_UNIT + _TO_UNIT / 2
    # a GPU multiplies and adds with one rounding
    v = (y.astype(np.float32) * _TO_CIRCLE + _TO_CIRCLE / 2).astype(np.float32)
    return np.sqrt(np.float32(-2) * np.log(u)) * np.sin(v)


SOURCES: dict[str, type[CpuRandn | CudaRandn]] = {"cpu": CpuRandn, "gpu": CudaRandn}


# -- the noise of a batch


class Noise(TorchFunctionMode):
    """The sources of a batch: within `with noise:`, `torch.randn` gives each row numbers of its own source.

    diffusers' schedulers cannot be given noise; all of them draw it with `torch.randn`. A call that names its
    generator is left alone.
    """

    def __init__(self, seeds: Sequence[int], rng: str) -> None:
        super().__init__()
        self._sources = [SOURCES[rng](seed) for seed in seeds]

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


class Brownian(TorchFunctionMode):
    """Brownian motion over the noise level, one path per image, as A1111's SDE samplers use it.

    The paths are those of torchsde, as in k-diffusion and diffusers, built from the numbers that `rng` names:
    within the mode, a `torch.randn` that names a generator gives this source's numbers for the same seed.

    Args:
        levels: the least and the greatest sigma.
        like: the latents (N, C, h, w), for their shape, device and precision.
    """

    def __init__(self, seeds: Sequence[int], rng: str, levels: tuple[float, float], like: Tensor) -> None:
        super().__init__()
        one = torch.zeros((1, *like.shape[1:]))
        self._source = SOURCES[rng]
        self._device, self._dtype = like.device, like.dtype
        with self:
            self._paths = [BrownianTreeNoiseSampler(one, *levels, [seed]) for seed in seeds]

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is not torch.randn or kwargs.get("generator") is None:
            return function(*args, **kwargs)
        return self._source(kwargs["generator"].initial_seed()).draw(tuple(args[0]))

    def __call__(self, level: float, next_level: float) -> Tensor:
        with self, warnings.catch_warnings():
            # an end of the path was rounded on its way to the scheduler's sigma and back
            warnings.filterwarnings("ignore", "Should have t")
            noise = torch.cat([path(level, next_level) for path in self._paths])
        return on_device(noise, self._device, self._dtype)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these images only."""
        self._paths = [self._paths[row] for row in rows]
