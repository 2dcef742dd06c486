"""CUDA's random numbers on any machine: the numbers of `torch.randn(device="cuda")` for a seed.

The generator is Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): ten
rounds of multiplication turn a counter and a key into four words of 32 bits. cuRAND makes a normal number
of two of them by Box & Muller (1958), and torch draws a tensor with one counter per element. A1111's random
source "NV" computes the same on a CPU, so that a seed gives one picture on every machine.

It holds while every element has a GPU thread of its own. torch starts (`DistributionTemplates.h`,
`calc_execution_policy`)

    min(ceil(elements / 256), multiprocessors * (threads per multiprocessor // 256))

blocks of 256 threads. Each thread makes four numbers in a call (`curand_normal4`): the first is its own
element's, the others are for elements beyond the last thread. So where a GPU has fewer threads than the
tensor has elements, the later ones differ from what is computed here and from A1111's "NV", which assumes
the same. A latent of 1024 x 1024 px has 65,536 elements. An H100 has 270,336 threads, an RTX 4090 196,608,
an RTX 3070 70,656, but an RTX 3060 only 43,008 and a T4 40,960.

The numbers are CUDA's up to its fast sine, which is off by some 1e-6.
"""

import math

import numpy as np
import torch

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85  # added to the key in each round: the golden ratio, the square root of 3
ROUNDS = 10
_WORD = 0xFFFFFFFF
_BITS = np.uint64(32)
_TO_UNIT = np.float32(2.0**-32)
_TO_CIRCLE = _TO_UNIT * np.float32(2 * math.pi)


class CudaRandn:
    """A `torch.Generator("cuda")` for normal numbers alone.

    Attributes:
        seed: as given to `manual_seed`, from 0 to 2**64 - 1.
        offset: the number of calls so far; the next numbers depend on it and on the seed alone.
    """

    def __init__(self, seed: int):
        if not 0 <= seed < 2**64:
            raise ValueError(f"a seed has 64 bits, got {seed}")
        self.seed = seed
        self.offset = 0

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return the numbers of the next call of `torch.randn(shape)`: float32, on the CPU."""
        index = np.arange(math.prod(shape), dtype=np.uint32)
        zeros = np.zeros_like(index)
        words = philox((np.full_like(index, self.offset), zeros, index, zeros), self.seed)
        self.offset += 1
        return torch.from_numpy(box_muller(words[0], words[1]).reshape(shape))


def philox(counters: tuple[np.ndarray, ...], key: int) -> tuple[np.ndarray, ...]:
    """Compute Philox 4x32-10 of many counters at once.

    Args:
        counters: their four words, lowest first, as four arrays (N,) uint32.
        key: 64 bits.
    Returns:
        Four arrays like them.
    """
    c0, c1, c2, c3 = counters
    k0, k1 = key & _WORD, key >> 32
    for _ in range(ROUNDS):
        first = np.multiply(c0, MULTIPLIERS[0], dtype=np.uint64)
        second = np.multiply(c2, MULTIPLIERS[1], dtype=np.uint64)
        c0, c1, c2, c3 = (
            _high(second) ^ c1 ^ np.uint32(k0),
            second.astype(np.uint32),
            _high(first) ^ c3 ^ np.uint32(k1),
            first.astype(np.uint32),
        )
        k0, k1 = (k0 + WEYL[0]) & _WORD, (k1 + WEYL[1]) & _WORD
    return c0, c1, c2, c3


def _high(product: np.ndarray) -> np.ndarray:
    return (product >> _BITS).astype(np.uint32)


def box_muller(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Turn two words (N,) uint32 into the first of cuRAND's two normal numbers, (N,) float32.

    Words are made float32 first, as on a GPU. Where u is near one, and the number near zero, that is coarse,
    and A1111, which computes in float64, may differ by 1e-4.
    """
    u = x.astype(np.float32) * _TO_UNIT + _TO_UNIT / 2
    # a GPU multiplies and adds with one rounding
    v = (y.astype(np.float32) * np.float64(_TO_CIRCLE) + np.float64(_TO_CIRCLE) / 2).astype(np.float32)
    return np.sqrt(np.float32(-2) * np.log(u)) * np.sin(v)
