"""The device of a model and its precision, how many images fit on it at once, and how long one takes."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from gridsearch.base import faults
from gridsearch.base.errors import BadInput
from gridsearch.base.machine import cores_here
from gridsearch.base.words import count_text
from gridsearch.checkpoint.ldm.shapes import unet_call
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.denoise.hires import passes
from gridsearch.render.denoise.sampling import Sampling

TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

OfItem = TypeVar("OfItem")


@dataclass(frozen=True)
class Placement:
    """A model's device and precision."""

    device: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device} {str(self.dtype).removeprefix('torch.')}"

    def described(self) -> str:
        """Return `NVIDIA H200 (139.8 GiB), float16`, or `the CPU (16 cores), float32`."""
        cores = cores_here()
        named = f"the CPU ({count_text(cores, 'core')})"
        if self.device == "mps":
            named = "the GPU of this Mac"
        elif self.device == "cuda":
            gpu = torch.cuda.get_device_properties(0)
            named = f"{gpu.name} ({gpu.total_memory / 2**30:.1f} GiB)"
        return f"{named}, {str(self.dtype).removeprefix('torch.')}"


_CUDA_BUILD = (
    f"With an NVIDIA GPU, install the CUDA build of torch {torch.__version__.partition('+')[0]} by the "
    'command that "Get Started" on pytorch.org gives: on Windows, pip alone takes the build for the CPU.'
)
_UNTESTED = (
    "The GPU of this Mac (mps) renders. It was never tested on a Mac: "
    'if images are wrong, set device = "cpu" in [render].'
)
FULL_SIZE = 10**9  # elements of a model of which a CPU takes minutes for an image; SDXL has 3.5e9


def no_cuda() -> str:
    """Return the reason why PyTorch finds no GPU."""
    if torch.version.cuda is None:
        return f"this PyTorch ({torch.__version__}) is built without CUDA"
    return f"PyTorch ({torch.__version__}) finds no NVIDIA GPU and driver"


def slow_notes(device: str, elements: int) -> list[str]:
    """Return a note where a CPU that nobody asked for renders so many elements, or the GPU of a Mac."""
    if device == "mps" or (device == "auto" and placement(device, "auto").device == "mps"):
        return [_UNTESTED]
    if device != "auto" or torch.cuda.is_available() or elements < FULL_SIZE:
        return []
    return [f"An image takes minutes on the CPU, and {no_cuda()}. {_CUDA_BUILD}"]


def placement(device: str, dtype: str) -> Placement:
    """Resolve "auto": CUDA or a Mac's GPU in half precision where there is one, or the CPU in float32."""
    if device == "auto":
        mac = "mps" if torch.backends.mps.is_available() else "cpu"
        device = "cuda" if torch.cuda.is_available() else mac
    if device == "mps" and not torch.backends.mps.is_available():
        why = f"PyTorch ({torch.__version__}) finds no GPU of a Mac with Apple silicon."
        fix = 'Set device = "auto".'
        raise BadInput("There is no mps device.", where='render.device = "mps"', why=why, fix=fix)
    if device == "cuda" and not torch.cuda.is_available():
        fix = f'{_CUDA_BUILD} Or set device = "auto".'
        raise BadInput(
            "There is no CUDA device.", where='render.device = "cuda"', why=f"{no_cuda()}.", fix=fix
        )
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "float16"
    return Placement(device, TORCH_DTYPES[dtype])


# -- memory

MAX_BATCH = 32  # five times the speed of single images with the toy on a CPU; more gains little
USABLE = 0.85  # share of a GPU's free memory that is planned with: freed memory comes back in pieces


class BatchSizes:
    """The largest batch that fits, for each size of picture and number of UNet calls.

    On a GPU the first image is rendered alone, and the memory it took tells how many fit together. On a CPU,
    where batches of a large model gain nothing, it is one image, or `MAX_BATCH` with a tiny model.
    """

    def __init__(self, device: torch.device, is_tiny: bool) -> None:
        self._device = device
        self._first = MAX_BATCH if is_tiny and device.type == "cpu" else 1
        self._fits: dict[tuple[int, int, int], int] = {}
        self._worked: dict[tuple[int, int, int], int] = {}

    def size(self, sampling: Sampling, wanted: int | None) -> int:
        """Return the number of images for the next call; `wanted` None is for as many as fit."""
        found = self._fits.get(_kind(sampling))
        return min(wanted or MAX_BATCH, found or wanted or self._first)

    @contextlib.contextmanager
    def measured(self, sampling: Sampling, images: int) -> Iterator[None]:
        """Remember that a call worked, and of the first of its kind on a GPU how much memory it took."""
        kind = _kind(sampling)
        measures = self._device.type == "cuda" and kind not in self._fits
        if measures:
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
        yield
        self._worked[kind] = max(images, self._worked.get(kind, 0))
        if measures:
            taken = max(torch.cuda.max_memory_allocated(self._device) - before, 1)
            free, _ = torch.cuda.mem_get_info(self._device)
            free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
            self._fits[kind] = max(images, min(MAX_BATCH, int(USABLE * free * images / taken)))

    def halved(self, sampling: Sampling, images: int) -> int:
        """Return how many images to try after `images` of them, more than one, did not fit.

        It is remembered, unless as many have fitted before: then another program had the memory for a while.
        """
        torch.cuda.empty_cache()
        if images > self._worked.get(_kind(sampling), 0):
            self._fits[_kind(sampling)] = images // 2
        return images // 2


def _kind(sampling: Sampling) -> tuple[int, int, int]:
    largest = passes(sampling)[-1].sampling
    return largest.width, largest.height, len(branches(sampling))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a smaller batch might have succeeded."""
    return isinstance(error, torch.OutOfMemoryError) or faults.is_want_of_memory(error)


def in_parts(size: int, count: int, work: Callable[[slice], Sequence[OfItem]]) -> list[OfItem]:
    """Return what the work makes of so many items, in parts of at most `size`: fewer where memory is short.

    Raises:
        torch.OutOfMemoryError: not even one item fits.
    """
    made: list[OfItem] = []
    while len(made) < count:
        done: Sequence[OfItem] = []
        try:
            done = work(slice(len(made), len(made) + size))
        except RuntimeError as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        if not done:  # not within `except`, where the error still holds what the part took
            torch.cuda.empty_cache()
            size = (min(size, count) + 1) // 2
        made += done
    return made


# -- time

# Small operations cost their overhead rather than their arithmetic: measured with the toy on a CPU.
# No network reaches the speed of one large matrix product: SDXL in float16 on an H200 reached 0.44 of it.
SECONDS_PER_LAYER = 73e-6
SHARE_OF_PEAK = 0.4


def seconds_per_image(
    shapes: Mapping[str, tuple[int, ...]], sampling: Sampling, batch: int, device: str, dtype: str
) -> float:
    """Return a rough estimate of the seconds per image in such a batch; nothing is loaded or rendered.

    Args:
        shapes: the checkpoint's keys and the shapes of their tensors.
    """
    place = placement(device, dtype)
    return seconds_at(_matmul_speed(place), shapes, sampling, batch, place.device)


def seconds_at(
    speed: float, shapes: Mapping[str, tuple[int, ...]], sampling: Sampling, batch: int, device: str
) -> float:
    """Return the same where a matrix product does so many floating-point operations a second."""
    seconds = 0.0
    for one in passes(sampling):
        flops, layers = unet_call(shapes, one.sampling.width, one.sampling.height)
        arithmetic = one.calls * len(branches(sampling)) * flops / (SHARE_OF_PEAK * speed)
        overhead = one.calls * layers * SECONDS_PER_LAYER / batch
        # a GPU computes while the CPU prepares the next operation
        seconds += arithmetic + overhead if device == "cpu" else max(arithmetic, overhead)
    return seconds


def _matmul_speed(place: Placement) -> float:
    """Return the floating-point operations per second of a matrix product, the best of a few."""
    size = 1024 if place.device == "cpu" else 8192  # a small one would measure how long a GPU takes to start
    matrix = torch.ones(size, size, device=place.device, dtype=place.dtype)
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        (matrix @ matrix).sum().item()  # .item() waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
