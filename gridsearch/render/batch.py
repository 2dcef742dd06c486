"""The number of images per call: as many as fit, found on the way and remembered."""

import contextlib
from collections.abc import Iterator

import torch

from gridsearch.render.denoise.sampling import Sampling, calls_of

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
        """Return the number of images for the next call.

        Args:
            wanted: what the experiment asks for; None for as many as fit.
        """
        found = self._fits.get(_kind(sampling))
        return min(wanted or MAX_BATCH, found or wanted or self._first)

    @contextlib.contextmanager
    def measured(self, sampling: Sampling, images: int) -> Iterator[None]:
        """Remember that a call worked, and of the first of its kind on a GPU how much memory it took."""
        measures = self._device.type == "cuda" and _kind(sampling) not in self._fits
        if measures:
            torch.cuda.reset_peak_memory_stats(self._device)
            before = torch.cuda.memory_allocated(self._device)
        yield
        self._worked[_kind(sampling)] = max(images, self._worked.get(_kind(sampling), 0))
        if not measures:
            return
        taken = max(torch.cuda.max_memory_allocated(self._device) - before, 1)
        free, _ = torch.cuda.mem_get_info(self._device)
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        self._fits[_kind(sampling)] = max(images, min(MAX_BATCH, int(USABLE * free * images / taken)))

    def halved(self, sampling: Sampling, images: int) -> int:
        """Return how many images to try after `images` of them, more than one, did not fit.

        It is remembered, unless as many have fitted before: then another program had the memory for a while.
        """
        torch.cuda.empty_cache()
        if images > self._worked.get(_kind(sampling), 0):
            self._fits[_kind(sampling)] = images // 2
        return images // 2


def _kind(sampling: Sampling) -> tuple[int, int, int]:
    return sampling.width, sampling.height, calls_of(sampling)


_WORDS = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a smaller batch might have succeeded."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)
