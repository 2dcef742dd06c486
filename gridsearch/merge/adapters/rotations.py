"""The rotations of a weight's outputs or inputs: OFT and BOFT.

OFT rotates blocks of them: Qiu et al. 2023, https://arxiv.org/abs/2306.07280. BOFT does so in stages, each
with other blocks: Liu et al. 2023, https://arxiv.org/abs/2311.06243. A rotation is made of a skew-symmetric Q
by Cayley's transform, (I + Q) (I - Q)^-1. Each function returns W' - W, see `dependent`.
"""

import math

import torch
from torch import Tensor


def oft(
    base: Tensor, oft_blocks: Tensor, rescale: Tensor | None = None, constraint: float | None = None
) -> Tensor:
    """OFT of the outputs, as LyCORIS (Diag-OFT) and sd-scripts have it.

    Args:
        oft_blocks: [blocks, size, size], X of Q = X - X^T; each block is multiplied by the transpose of its
            rotation.
        rescale: a factor of each output.
        constraint: the largest norm of all of Q, which is scaled down to it.
    """
    blocks, size, _ = oft_blocks.shape
    if blocks * size != base.shape[0]:
        raise ValueError(f"{blocks} blocks of {size} do not rotate {base.shape[0]} outputs")
    rotations = _cayley(_constrained(oft_blocks - oft_blocks.mT, constraint))
    rotated = torch.einsum("knm,kn...->km...", rotations, base.unflatten(0, (blocks, size)))
    return _rescaled(rotated.flatten(0, 1), rescale) - base


def boft(
    base: Tensor, boft_blocks: Tensor, rescale: Tensor | None = None, constraint: float | None = None
) -> Tensor:
    """BOFT of the outputs, as LyCORIS has it: `oft` with [stages, blocks, size, size].

    Stage i takes its blocks from pairs of outputs that are 2^i size / 2 apart.
    """
    _, blocks, size, _ = boft_blocks.shape
    if blocks * size != base.shape[0] or size % 2:
        raise ValueError(f"{blocks} blocks of {size} do not rotate {base.shape[0]} outputs")
    rotated = base
    for i, rotations in enumerate(_cayley(_constrained(boft_blocks - boft_blocks.mT, constraint))):
        apart = 2**i * (size // 2)
        paired = rotated.unflatten(0, (-1, 2, apart)).transpose(1, 2).flatten(0, 2)
        turned = torch.einsum("bij,bj...->bi...", rotations, paired.unflatten(0, (-1, size))).flatten(0, 1)
        rotated = turned.unflatten(0, (-1, apart, 2)).transpose(1, 2).flatten(0, 2)
    return _rescaled(rotated, rescale) - base


def oft_of_inputs(
    base: Tensor,
    oft_R: Tensor,
    *,
    transposed: bool,
    terms: int | None,
    scaled: bool = False,
    eps: float | None = None,
) -> Tensor:
    """OFT of the inputs, as PEFT and OneTrainer have it; of a convolution, of all values of its kernels.

    Args:
        oft_R: [blocks, size (size - 1) / 2], Q above its diagonal; a single block is that of all.
        transposed: whether the weight is multiplied by the rotation's transpose.
        terms: of Neumann's series in place of Cayley's transform; None for the transform, there of -Q.
        scaled: whether Q is divided by the root of the number of its values (OneTrainer's scaled OFT).
        eps: the largest norm of all blocks of Q, which are scaled down one by one (the constrained OFT).
    """
    count, values = oft_R.shape
    size = (1 + math.isqrt(1 + 8 * values)) // 2
    weight, inputs = base.flatten(1), math.prod(base.shape[1:])
    if size * (size - 1) // 2 != values or inputs % size or count not in (1, inputs // size):
        raise ValueError(f"{count} blocks of {values} values do not rotate {inputs} inputs")
    rows, columns = torch.triu_indices(size, size, 1, device=oft_R.device)
    skew = oft_R.new_zeros(count, size, size)
    skew[:, rows, columns] = oft_R / math.sqrt(values) if scaled else oft_R
    skew = skew - skew.mT
    if eps is not None:
        norms = skew.flatten(1).norm(dim=1)[:, None, None]
        skew = skew * (eps / math.sqrt(count) / norms.clamp_min(eps / math.sqrt(count)))
    rotations = _cayley(-skew) if terms is None else _neumann(skew, terms)
    if transposed:
        rotations = rotations.mT
    rotations = rotations.expand(inputs // size, -1, -1)
    rotated = torch.einsum("ork,rkc->orc", weight.unflatten(1, (-1, size)), rotations)
    return rotated.reshape(base.shape) - base


def boft_of_inputs(base: Tensor, boft_R: Tensor, boft_s: Tensor) -> Tensor:
    """BOFT of the inputs, as PEFT has it.

    Args:
        boft_R: [stages, blocks, size, size], X of Q = (X^T - X) / 2. Stage i takes its blocks from pairs of
            halves of blocks that are 2^i halves apart.
        boft_s: a factor of each output.
    """
    stages, blocks, size, _ = boft_R.shape
    if blocks * size != math.prod(base.shape[1:]) or (stages > 1 and size % 2):
        raise ValueError(f"{blocks} blocks of {size} do not rotate {math.prod(base.shape[1:])} inputs")
    half, inputs = size // 2, base.flatten(1).T
    for i, rotations in enumerate(_cayley((boft_R.mT - boft_R) / 2)):
        if stages > 1:
            inputs = inputs.unflatten(0, (-1, 2, 2**i, half)).transpose(1, 2).flatten(0, 3)
        inputs = (rotations @ inputs.unflatten(0, (blocks, size))).flatten(0, 1)
        if stages > 1:
            inputs = inputs.unflatten(0, (-1, 2**i, 2, half)).transpose(1, 2).flatten(0, 3)
    return _rescaled(inputs.T.reshape(base.shape), boft_s) - base


def _cayley(skew: Tensor) -> Tensor:
    one = torch.eye(skew.shape[-1], device=skew.device)
    return torch.linalg.solve_ex(one - skew, one + skew, left=False)[0]  # I - Q is never singular


def _neumann(skew: Tensor, terms: int) -> Tensor:
    """Return I + 2 Q + 2 Q^2 + ... + Q^n, PEFT's approximation of the transform; n is one less than `terms`.

    The last power has no factor of two, but for the first, and three terms reach as far as four.
    """
    total = torch.eye(skew.shape[-1], device=skew.device).expand_as(skew)
    last, power = max(terms - 1, 3) if terms > 2 else terms - 1, skew
    for exponent in range(1, last + 1):
        total = total + (power if exponent == last > 1 else 2 * power)
        power = power @ skew
    return total


def _constrained(skew: Tensor, constraint: float | None) -> Tensor:
    if constraint is None:
        return skew
    return skew * (constraint / skew.norm().clamp_min(constraint))


def _rescaled(weight: Tensor, factors: Tensor | None) -> Tensor:
    if factors is None:
        return weight
    return weight * factors.reshape(weight.shape[0], *[1] * (weight.ndim - 1))
