"""Random tensors of the shapes that checkpoints hold, and their comparison with float64."""

import numpy as np
import torch

SHAPES = ((1,), (17,), (30, 20), (8, 4, 1, 1), (8, 4, 3, 3))


def tensors(shape: tuple[int, ...], count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def row(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)


def close(merged: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(merged.numpy(), expected, rtol=1e-5, atol=2e-6)
