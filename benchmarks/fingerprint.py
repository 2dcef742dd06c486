"""The fingerprint of 2 GB of weights against one merge of as many.

    python -m benchmarks.fingerprint

Rounds are taken in turn and the best of each counts, so that a busy machine slows both.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import time

import torch

from gridsearch.merge.engine.fingerprint import fingerprint

BYTES = 2_000_000_000
TENSORS = 600  # SDXL has 2513 in 6.9 GB
ROUNDS = 9


def main(device: str) -> None:
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        size = BYTES // TENSORS // dtype.itemsize
        first, second, out = (
            {f"t{i}": torch.full((size,), value, dtype=dtype, device=device) for i in range(TENSORS)}
            for value in (0.25, 0.75, 0.0)
        )
        merged, taken = [], []
        for _ in range(ROUNDS):
            merged.append(seconds(merge, first, second, out))
            taken.append(seconds(fingerprint, out))
        ratio = min(taken) / min(merged)
        print(f"{dtype}: merge {min(merged):.3f} s, fingerprint {min(taken):.3f} s, {ratio:.2f} of the merge")


def merge(first: dict, second: dict, out: dict) -> None:
    for name in out:
        torch.lerp(first[name], second[name], 0.3, out=out[name])


def seconds(call, *arguments) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    call(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main("cuda" if torch.cuda.is_available() else "cpu")
