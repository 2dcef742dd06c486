"""A pool's survey and an explained merge against reading the same files alone, from disk.

    python -m benchmarks.pool [FOLDER]

Three files of random weights with SDXL's keys, 0.9 GB each, are written into FOLDER or a temporary one.
Before each measurement the system is asked to forget their pages. Rounds are taken in turn and the best of
each counts, so that a busy machine slows all of them. Processor seconds are all cores' together.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.random_sdxl import file_entries, metadata_of, random_tensors
from gridsearch.app.terminal import SilentListener
from gridsearch.base.words import size
from gridsearch.checkpoint.identity import sha256_of
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.sdxl.family import SDXL
from gridsearch.merge.export.export import write_safetensors
from gridsearch.merge.pool.explain import explain
from gridsearch.merge.pool.sketch import new_signs
from gridsearch.merge.pool.survey import surveys

KEYS = 350
ROUNDS = 3


def main(folder: Path) -> None:
    files = [folder / f"{name}.safetensors" for name in "abc"]
    entries = dict(itertools.islice(file_entries(SDXL.configs, "epsilon").items(), KEYS))
    for seed, file in enumerate(files):
        write_safetensors(file, entries, random_tensors(entries, seed), metadata_of("epsilon"))
    os.sync()
    os.environ["XDG_CACHE_HOME"] = str(folder)  # where hashes are remembered
    signs, listener = new_signs(), SilentListener()
    models = {file.stem: open_model(file) for file in files}

    def surveyed(known: bool) -> None:
        if not known:
            (folder / "gridsearch" / "hashes.db").unlink(missing_ok=True)
        surveys(models, signs, lambda _: None)

    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, 3 files of {size(models['a'].bytes)}"
    )
    work: dict[str, Callable[[], object]] = {
        "reading alone": lambda: list(map(read, files)),
        "SHA-256 alone": lambda: [sha256_of(file) for file in files],
        "inspect --pool": lambda: surveyed(known=False),
        "inspect --pool, hashes known": lambda: surveyed(known=True),
        "explain by two models": lambda: explain(
            models["c"], {name: models[name] for name in "ab"}, listener
        ),
    }
    best, least = dict.fromkeys(work, 0.0), dict.fromkeys(work, math.inf)
    amount = sum(model.bytes for model in models.values())
    for name, call in itertools.chain(*[work.items()] * ROUNDS):
        for file in files:
            forget(file)
        began, busy = time.perf_counter(), time.process_time()
        call()
        best[name] = max(best[name], amount / (time.perf_counter() - began))
        least[name] = min(least[name], (time.process_time() - busy) / amount)
    for name, speed in best.items():
        share, busy_for = speed / best["reading alone"], f"{least[name] * 1e9:.2f} processor s a GB"
        print(f"{name}: {speed / 1e9:.2f} GB/s, {share:.2f} of reading alone, {busy_for}")


def read(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        buffer = bytearray(2**24)
        while opened.readinto(buffer):
            pass


def forget(file: Path) -> None:
    """Ask the system to drop the file's pages, which no other process uses."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
