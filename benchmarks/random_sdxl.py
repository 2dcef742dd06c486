"""Write a full-size SDXL checkpoint of random weights: 2515 keys, 6.94 GB in float16.

For what depends on the size and the layout of a checkpoint but not on what it draws: the time of a merge, the
memory of a run, loading. It is written piece by piece, in a few tens of megabytes of memory. From the root of
the repository:

    python -m benchmarks.random_sdxl OUT.safetensors --seed 1 --prediction-type v_prediction
"""

import argparse
import json
import math
import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.render.components import SDXL_CONFIGS
from gridsearch.render.layout import CLIP_G, CLIP_L
from gridsearch.render.skeleton import file_shapes

POSITION_IDS = CLIP_L + "embeddings.position_ids"
LOGIT_SCALE = CLIP_G + "logit_scale"
MARKERS = {"epsilon": (), "v_prediction": ("v_pred", "ztsnr")}  # empty tensors; their names say it all
WIDTHS = {"F16": 2, "I64": 8}  # bytes an element

# Random bytes are drawn once and cut from at random places: drawing 3.5 billion numbers would take minutes.
BLOCK = 2**23
SCALE = 0.02  # about the spread of SDXL's own weights; larger ones overflow in half precision


@dataclass(frozen=True)
class Entry:
    """A tensor of the file; `dtype` as safetensors spells it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * WIDTHS[self.dtype]


def file_entries(folder: Path, prediction_type: str) -> dict[str, Entry]:
    """Every key of the checkpoint in the file's order: widest elements first, so that all are aligned."""
    shapes = file_shapes(folder)
    positions = shapes[CLIP_L + "embeddings.position_embedding.weight"][0]
    entries = {POSITION_IDS: Entry("I64", (1, positions)), LOGIT_SCALE: Entry("F16", ())}
    entries |= {key: Entry("F16", shapes[key]) for key in sorted(shapes)}
    return entries | {key: Entry("F16", (0,)) for key in MARKERS[prediction_type]}


def file_header(entries: Mapping[str, Entry], prediction_type: str) -> bytes:
    """The head of a safetensors file: its own length, then JSON that places each tensor in what follows."""
    header: dict = {
        "__metadata__": {
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": "stable-diffusion-xl-v1-base",
            "modelspec.title": "random weights",
            "modelspec.prediction_type": "v" if prediction_type == "v_prediction" else "epsilon",
        }
    }
    start = 0
    for key, entry in entries.items():
        offsets = [start, start + entry.size]
        header[key] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": offsets}
        start += entry.size
    content = json.dumps(header, separators=(",", ":")).encode()
    content += b" " * (-len(content) % 8)
    return struct.pack("<Q", len(content)) + content


def file_data(entries: Mapping[str, Entry], seed: int) -> Iterator[memoryview]:
    """The tensors' bytes in order, in pieces of at most one block."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randn(BLOCK, generator=generator).mul_(SCALE).half()
    for key, entry in entries.items():
        if key == POSITION_IDS:
            yield _bytes(torch.arange(entry.shape[1]))
        elif key == LOGIT_SCALE:
            yield _bytes(torch.tensor([math.log(100)]).half())  # where CLIP's training keeps it
        else:
            start = int(torch.randint(BLOCK, (), generator=generator))
            yield from _cut(block, start, math.prod(entry.shape))


def write_checkpoint(path: Path, folder: Path, seed: int, prediction_type: str) -> None:
    """Write a checkpoint for the configs in `folder` beside its place, then rename it.

    Raises:
        OSError: the disk has no room for it, or cannot be written.
    """
    entries = file_entries(folder, prediction_type)
    header = file_header(entries, prediction_type)
    size = len(header) + sum(entry.size for entry in entries.values())
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(f"{path.parent} has no room for {size:,} bytes")
    beside = path.with_name(path.name + ".writing")
    try:
        with beside.open("wb") as file:
            file.write(header)
            for piece in file_data(entries, seed):
                file.write(piece)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _cut(block: Tensor, start: int, count: int) -> Iterator[memoryview]:
    """`count` elements of the block from `start` on, going round."""
    while count:
        piece = block[start : start + count]
        yield _bytes(piece)
        count -= len(piece)
        start = 0


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.numpy()).cast("B")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a full-size SDXL checkpoint of random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prediction-type", choices=sorted(MARKERS), default="epsilon")
    parser.add_argument("--dry-run", action="store_true", help="print the number of keys and the size only")
    args = parser.parse_args()
    entries = file_entries(SDXL_CONFIGS, args.prediction_type)
    size = len(file_header(entries, args.prediction_type)) + sum(entry.size for entry in entries.values())
    print(f"{args.path}: {len(entries)} keys, {size:,} bytes")
    if not args.dry_run:
        write_checkpoint(args.path, SDXL_CONFIGS, args.seed, args.prediction_type)


if __name__ == "__main__":
    main()
