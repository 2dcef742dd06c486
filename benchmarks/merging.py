"""A trial's merge and an export at full size, against the memory's own speed and against today's tools.

    python -m benchmarks.merging [FOLDER]

Writes two checkpoints of random weights (14 GB) into FOLDER, or into a temporary one, and merges there: 21 GB
of disk, 20 GB of memory for the system to keep the files in.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.quiet import Quiet
from benchmarks.random_sdxl import in_a_folder
from gridsearch.base.words import size
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.ldm.components import load_tokenizers
from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.checkpoint.ldm.recognise import merged_keys, own_keys
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.sources import DTYPES, FileSource, LoadedSource, greatest_values
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import SingleMerge

ROUNDS = 5  # the best of each side counts, so that a busy machine slows both
BLOCKS = {"te": 0.2, "time": 0.3, "in": 0.4, "mid": 0.5, "out": 0.6, "IN04": 0.35, "OUT03.attention": 0.7}
FIVE = ("a", "b", "c", "d", "e")


def main(folder: Path) -> None:
    """Print seconds, ratios and peak memory."""
    print(f"{os.cpu_count()} cores, torch {torch.__version__}")
    ours = trial_merges(folder)
    timed_export(folder)
    theirs = todays_tools(folder)
    print(f"a try, against sd-mecha to a file and diffusers loading it: {theirs / ours:.0f} x as fast")


# -- a trial's merge, over live weights


def trial_merges(folder: Path) -> float:
    """Seconds of a two-model merge over live weights of the whole checkpoint."""
    checkpoint = open_checkpoint(folder / "a.safetensors")
    keys = merged_keys(own_keys(checkpoint))
    files = {name: FileSource(open_checkpoint(folder / f"{name}.safetensors")) for name in "ab"}
    began = time.perf_counter()
    known = {name: greatest_values(file, keys) for name, file in files.items()}
    print(f"reading both files through, once a run: {time.perf_counter() - began:.1f} s")

    shapes = {key: checkpoint.tensors[key].shape for key in keys}
    flat = torch.zeros(sum(map(math.prod, shapes.values())), dtype=torch.float16)
    views = dict(zip(keys, flat.split([math.prod(shape) for shape in shapes.values()]), strict=True))
    parts = {key: [LiveRows(slice(None), view.view(shapes[key]))] for key, view in views.items()}
    bytes_of = {name: mapped(file.path) for name, file in files.items()}
    sources = files | elsewhere(bytes_of, shapes)
    greatest = {name: known["a" if name in "ace" else "b"] for name in FIVE}
    largest = {name: dict.fromkeys(keys, max(values.values())) for name, values in greatest.items()}
    live = Live(parts, sources, {key: DTYPES[checkpoint.tensors[key].dtype] for key in keys}, largest)

    limit, two, five = [], [], []
    with anonymous_memory() as peak:
        for i in range(ROUNDS):
            limit.append(seconds(bandwidth_limit, *bytes_of.values(), flat))
            two.append(seconds(merge, live, two_models(0.1 + 0.15 * i)))
            five.append(seconds(merge, live, five_models(0.1 + 0.15 * i)))
    best = min(limit)
    print(f"limit: reading both and writing one, {size(flat.nbytes)} each: {best:.2f} s")
    print(f"two models, one ratio: {min(two):.2f} s, {min(two) / best:.2f} x the limit")
    print(
        f"five models in a chain with ratios per block: {min(five):.2f} s, {min(five) / (2 * best):.2f} x "
        f"the limit of reading five and writing one, {min(five) / best:.2f} x that of two"
    )
    print(f"anonymous memory at most, the live copy of {size(flat.nbytes)} included: {size(max(peak))}")
    return min(two)


def merge(live: Live, recipe: Recipe) -> None:
    """Do what a trial does, from the recipe to the weights."""
    merge_live(live, terms_of(recipe, live.parts))


def elsewhere(
    bytes_of: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, LoadedSource]:
    """Three sources more, whose tensors lie at other places of the same two files.

    Five files of this size do not stay in 24 GB of memory; five places do, and are as far apart.
    """
    found = {}
    for i, name in enumerate(FIVE[2:]):
        data = bytes_of["ab"[i % 2]]
        at, tensors = (i + 1) * data.numel() // 4, {}
        for key, shape in shapes.items():
            count = math.prod(shape)
            at = 0 if at + count > data.numel() else at
            tensors[key] = data[at : at + count].view(shape)
            at += count
        found[name] = LoadedSource(tensors)
    return found


def mapped(path: Path) -> Tensor:
    """A file's bytes as half-precision numbers, from behind its header."""
    head = 8 + int.from_bytes(path.open("rb").read(8), "little")
    return torch.from_file(str(path), size=path.stat().st_size // 2, dtype=torch.float16)[head // 2 :]


def bandwidth_limit(a: Tensor, b: Tensor, out: Tensor) -> None:
    """The least that a merge does: read two, write one, with next to no arithmetic."""
    count = out.numel() // 4 * 4 - 4
    first, second, result = (tensor[:count].view(torch.int64) for tensor in (a, b, out))
    torch.bitwise_xor(first, second, out=result)


def two_models(ratio: float) -> Recipe:
    models = {name: f"{name}.safetensors" for name in "ab"}
    return Recipe(models=models, merge=[{"models": ["a", "b"], "ratio": ratio}], components={"vae": "merged"})


def five_models(ratio: float) -> Recipe:
    """A weighted sum, another per block, and a difference on top."""
    models = {name: f"{name}.safetensors" for name in FIVE}
    blocks = {block: value * ratio for block, value in BLOCKS.items()}
    steps = [
        {"name": "first", "models": ["a", "b"], "ratio": blocks | {"vae": ratio}},
        {"name": "second", "models": ["first", "c"], "ratio": {"default": ratio} | blocks},
        {"name": "third", "method": "add_difference", "models": ["second", "d", "e"], "ratio": 0.1},
    ]
    return Recipe(models=models, merge=steps, components={"vae": "merged"})


# -- an export


def timed_export(folder: Path) -> None:
    """Print how long the merge takes as a file, hashes of the sources known, and its memory."""
    models = {name: folder / f"{name}.safetensors" for name in "ab"}
    recipe = Recipe(models=models, merge=[{"models": ["a", "b"], "ratio": 0.45}])
    merge = SingleMerge(recipe, "benchmark", "epsilon", False, {})
    output = folder / "merged.safetensors"
    export(merge, output, Quiet())  # the first computes the sources' hashes
    with anonymous_memory() as peak:
        took = seconds(export, merge, output, Quiet())
    print(f"export of {size(output.stat().st_size)}, its hash included: {took:.0f} s, ", end="")
    print(f"{size(max(peak) - peak[0])} of anonymous memory more than before")
    output.unlink()


# -- what is done by hand today


def todays_tools(folder: Path) -> float:
    """Seconds to merge two files into a third with sd-mecha, and to load that with diffusers."""
    import sd_mecha
    from diffusers import StableDiffusionXLPipeline

    output = folder / "by-hand.safetensors"
    sd_mecha.set_log_level("ERROR")
    a, b = (sd_mecha.model(str(folder / f"{name}.safetensors"), config="sdxl-sgm") for name in "ab")
    with anonymous_memory() as peak:
        merged = seconds(sd_mecha.merge, sd_mecha.weighted_sum(a, b, alpha=0.45), output=output)
    print(f"sd-mecha to a file: {merged:.0f} s, {size(max(peak) - peak[0])} of anonymous memory more")
    with anonymous_memory() as peak:
        loaded = seconds(
            StableDiffusionXLPipeline.from_single_file,
            str(output),
            config=str(SDXL.configs),
            local_files_only=True,
            add_watermarker=False,
            torch_dtype=torch.float16,
            **load_tokenizers(SDXL.configs),
        )
    print(f"diffusers loading it: {loaded:.0f} s, {size(max(peak) - peak[0])} of anonymous memory more")
    output.unlink()
    return merged + loaded


# -- measuring


def seconds(call: Callable, *arguments: object, **options: object) -> float:
    began = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - began


@contextmanager
def anonymous_memory() -> Iterator[list[int]]:
    """This process's memory that is no file's, in bytes, ten times a second; first what it was before."""
    found, done = [anonymous_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            found.append(anonymous_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


if __name__ == "__main__":
    in_a_folder(main)
