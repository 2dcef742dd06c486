"""Write a full-size SDXL checkpoint of random weights: 2515 keys, 6.94 GB in float16.

For what depends on the size and the layout of a checkpoint but not on what it draws: the time of a merge, the
memory of a run, loading. It is written piece by piece, in a few hundred megabytes of memory. From the root of
the repository:

    python -m benchmarks.random_sdxl OUT.safetensors --seed 1 --prediction-type v_prediction
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.checkpoint.header import TensorInfo
from gridsearch.checkpoint.ldm.keys import MARKERS
from gridsearch.checkpoint.ldm.shapes import file_shapes
from gridsearch.checkpoint.sdxl.family import CLIP_L_MODEL, SDXL
from gridsearch.merge.export.export import safetensors_head, write_safetensors

(POSITION_IDS,), (LOGIT_SCALE,) = (one.undrawn for one in SDXL.text_encoders)
MARKERS_OF = {"epsilon": (), "v_prediction": MARKERS}  # empty tensors; their names say it all

# Random bytes are drawn once and cut from at random places: drawing 3.5 billion numbers would take minutes.
BLOCK = 2**23
SCALE = 0.02  # about the spread of SDXL's own weights; larger ones overflow in half precision


def file_entries(folder: Path, prediction_type: str) -> dict[str, TensorInfo]:
    """Every key of the checkpoint in the file's order: widest elements first, so that all are aligned."""
    shapes = file_shapes(folder)
    positions = shapes[CLIP_L_MODEL + "embeddings.position_embedding.weight"][0]
    entries = {POSITION_IDS: TensorInfo("I64", (1, positions)), LOGIT_SCALE: TensorInfo("F16", ())}
    entries |= {key: TensorInfo("F16", shapes[key]) for key in sorted(shapes)}
    return entries | {key: TensorInfo("F16", (0,)) for key in MARKERS_OF[prediction_type]}


def metadata_of(prediction_type: str) -> dict[str, str]:
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": SDXL.architecture,
        "modelspec.title": "random weights",
        "modelspec.prediction_type": "v" if prediction_type == "v_prediction" else "epsilon",
    }


def random_tensors(entries: Mapping[str, TensorInfo], seed: int) -> Iterator[Tensor]:
    """The tensors in order, float ones cut from one block of normal numbers at random places."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randn(BLOCK, generator=generator).mul_(SCALE).half()
    for key, entry in entries.items():
        count = math.prod(entry.shape)
        if key == POSITION_IDS:
            yield torch.arange(count)
        elif key == LOGIT_SCALE:
            yield torch.tensor(math.log(100)).half()  # where CLIP's training keeps it
        else:
            start = int(torch.randint(BLOCK, (), generator=generator))
            rounds = block.repeat((start + count) // BLOCK + 1) if start + count > BLOCK else block
            yield rounds[start : start + count]


def write_checkpoint(path: Path, folder: Path, seed: int, prediction_type: str) -> None:
    """Write a checkpoint for the configs in `folder` beside its place, then rename it."""
    entries = file_entries(folder, prediction_type)
    write_safetensors(path, entries, random_tensors(entries, seed), metadata_of(prediction_type))


def in_a_folder(benchmark: Callable[[Path], None]) -> None:
    """Run a benchmark where two checkpoints, a and b, lie: the command line's folder, or a temporary one."""

    def run(folder: Path) -> None:
        for seed, name in enumerate("ab"):
            if not (folder / f"{name}.safetensors").exists():
                write_checkpoint(folder / f"{name}.safetensors", SDXL.configs, seed, "epsilon")
        benchmark(folder)

    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            run(Path(temporary))


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a full-size SDXL checkpoint of random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prediction-type", choices=sorted(MARKERS_OF), default="epsilon")
    parser.add_argument("--dry-run", action="store_true", help="print the number of keys and the size only")
    args = parser.parse_args()
    entries = file_entries(SDXL.configs, args.prediction_type)
    head = safetensors_head(entries, metadata_of(args.prediction_type))
    size = len(head) + sum(entry.bytes for entry in entries.values())
    print(f"{args.path}: {len(entries)} keys, {size:,} bytes")
    if not args.dry_run:
        write_checkpoint(args.path, SDXL.configs, args.seed, args.prediction_type)


if __name__ == "__main__":
    main()
