"""Merge methods against the memory's own speed: a run's first trial, and the later ones.

    python -m benchmarks.methods [METHOD ...]

Merges a sixth of SDXL's UNet with random weights in half precision, near one another as fine-tunes are, over
live weights in memory. Prints processor seconds as multiples of the limit: reading two models and writing
one, measured between the merges of the same run. The start of a process, which imports numba and reads
its compiled loops, stands beside them in seconds. Before each first trial as much memory as a change takes
is touched and given back, and what that took is printed: the host of a virtual machine may have to bring it.
Takes 8 GB of memory and three minutes.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import math
import mmap
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.merging import bandwidth_limit
from gridsearch.checkpoint.family import UNET
from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.checkpoint.ldm.shapes import file_shapes, parameter_rows
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.adapters.adapter import OpenedAdapter, open_adapter
from gridsearch.merge.engine.arena import HAS_HUGE_PAGES
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.evaluate import Source
from gridsearch.merge.engine.fingerprint import fingerprint
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.sources import LoadedSource

BLOCKS = ("input_blocks.7.", "output_blocks.4.")
NAMES = "abcde"
RANK = 32
ROUNDS = 3  # runs of each method, of which the best first trial counts
LATER = 3  # trials after the first, of which the best of all runs counts
RATIO = {"ratio": None}  # to be put in
CASES: dict[str, list[dict]] = {
    "two models": [{"models": ["a", "b"], **RATIO}],
    "five models in a chain": [
        {"name": "x", "models": ["a", "b"], **RATIO},
        {"name": "y", "models": ["x", "c"], **RATIO},
        {"name": "z", "method": "add_difference", "models": ["y", "d", "e"], "ratio": 0.1},
    ],
    f"LoRA of rank {RANK}": [{"method": "adapter", "models": ["a", "lora"], **RATIO}],
    "slerp": [{"method": "slerp", "models": ["a", "b"], **RATIO}],
    "model stock": [{"method": "model_stock", "models": ["a", "b", "c"], **RATIO}],
    "train difference": [{"method": "train_difference", "models": ["a", "b", "c"], **RATIO}],
    "TIES": [{"method": "ties", "models": ["a", "b", "c"], **RATIO}],
    "DARE": [{"method": "dare_ties", "models": ["a", "b", "c"], **RATIO}],
    "geometric median": [{"method": "geometric_median", "models": ["a", "b", "c"]}],
}


def main(chosen: list[str], folder: Path) -> None:
    """Print a line for each method, with the share of a fingerprint beside it."""
    shapes = {key: shape for key, shape in file_shapes(SDXL.configs).items() if _is_part(key)}
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(sum(map(math.prod, shapes.values())), generator=generator).mul_(0.03)
    flat = {name: _near(base, generator) for name in NAMES}
    out = torch.zeros_like(flat["a"])
    live, limit = _split(out, shapes), (bandwidth_limit, flat["a"], flat["b"], out)
    adapter = _adapter(folder / "lora.safetensors", shapes, generator)
    sources: dict[str, Source] = {name: LoadedSource(_split(one, shapes)) for name, one in flat.items()}
    sources["lora"] = adapter
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {base.numel() / 1e6:.0f} M weights")
    best = min(processor_seconds(*limit) for _ in range(5))
    share = min(processor_seconds(fingerprint, live) for _ in range(3)) / best
    print(f"limit {best:.3f} s; the fingerprint of a merge takes {share:.2f} x as long")
    for name, steps in CASES.items():
        if chosen and name not in chosen:
            continue
        began, part = time.process_time(), [max(live, key=lambda key: live[key].numel())]
        _merges(_over(live, part, sources), steps, adapter, 1)  # numba is imported, and its loops are read
        print(f"{name:<24} start {time.process_time() - began:5.2f} s", end=", ", flush=True)
        target, limits, firsts, laters, touched = None, [], [], [], []
        for _ in range(ROUNDS):
            target = _over(live, list(live), sources)  # what the run before has kept is freed here
            touched.append(processor_seconds(_touch, out.nbytes))
            first, *later = _merges(target, steps, adapter, 1 + LATER)
            firsts.append(first)
            laters += later
            limits += [processor_seconds(*limit) for _ in range(LATER)]
        best = min(limits)
        print(f"first {min(firsts) / best:6.2f} x, later {min(laters) / best:5.2f} x the limit", end=", ")
        print(f"new memory {min(touched) / best:.2f} to {max(touched) / best:.2f} x", flush=True)


def _over(live: Mapping[str, Tensor], keys: Sequence[str], sources: Mapping[str, Source]) -> Live:
    """Return these live weights with nothing kept yet."""
    return Live(
        {key: [LiveRows(slice(None), live[key])] for key in keys},
        sources,
        dict.fromkeys(keys, torch.float16),
        {one: dict.fromkeys(keys, 1.0) for one in NAMES},
        Kept(2**40),
    )


def _merges(live: Live, steps: list[dict], adapter: OpenedAdapter, trials: int) -> list[float]:
    """Return the processor seconds of each trial's merge."""
    found = []
    for i in range(trials):
        live.holds.clear()
        terms = terms_of(_recipe(steps, 0.2 + 0.1 * i), live.parts, {"lora": adapter.deltas})
        found.append(processor_seconds(merge_live, live, terms))
    return found


def processor_seconds(call: Callable, *arguments: object) -> float:
    """Return the seconds of all of this process's threads together."""
    began = time.process_time()
    call(*arguments)
    return time.process_time() - began


def _touch(size: int) -> None:
    """Take so much memory in huge pages and give it back, so that a host has brought it before a trial."""
    pages = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if HAS_HUGE_PAGES:
        pages.madvise(mmap.MADV_HUGEPAGE)
    torch.frombuffer(pages, dtype=torch.uint8)[::4096] = 1


def _is_part(key: str) -> bool:
    return key.startswith(tuple(UNET + block for block in BLOCKS))


def _near(base: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(base.numel(), generator=generator).mul_(0.001).add_(base).half()


def _split(flat: Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    parts = flat.split([math.prod(shape) for shape in shapes.values()])
    return {key: part.view(shape) for (key, shape), part in zip(shapes.items(), parts, strict=True)}


def _recipe(steps: list[dict], ratio: float) -> Recipe:
    placed = [step | ({"ratio": ratio} if step.get("ratio", 0) is None else {}) for step in steps]
    models = {name: f"{name}.safetensors" for name in NAMES}
    adapters = {"lora": "lora.safetensors"}
    return Recipe(models=models, adapters=adapters, merge=placed, components={"vae": "merged"})


def _adapter(path: Path, shapes: Mapping[str, tuple[int, ...]], generator: torch.Generator) -> OpenedAdapter:
    """Write a LoRA for the linear layers of this part of the UNet, and open it."""
    from safetensors.torch import save_file

    rows = parameter_rows(SDXL.configs)
    parts = {}
    for name, row in rows.items():
        if row.key in shapes and len(row.shape) == 2 and name.endswith(".weight"):
            module = name.removesuffix(".weight")
            down = torch.randn(RANK, row.shape[1], generator=generator).mul_(0.01)
            parts[f"{module}.lora_A.weight"] = down.half()
            parts[f"{module}.lora_B.weight"] = torch.randn(row.shape[0], RANK, generator=generator).half()
    save_file(parts, path)
    return open_adapter("lora", path, rows)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as there:
        main(sys.argv[1:], Path(there))
