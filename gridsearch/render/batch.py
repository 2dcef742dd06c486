"""How many images are drawn in one call: as many as fit, found on the way and remembered."""

import contextlib
from collections.abc import Iterator

import torch

from gridsearch.render.denoise.guidance import calls_of
from gridsearch.render.denoise.sampling import Sampling

MAX_BATCH = 32  # 5 x the speed of single images with the toy on a CPU, and little more beyond
SPARED = 0.85  # of the free memory of a GPU is planned with: what is freed comes back in pieces


class BatchSizes:
    """The largest batch that fits, for each size of picture and number of UNet calls.

    On a GPU the first image goes alone, and what it took says how many go together from then on. On a CPU,
    where a large model gains nothing by batches, it is one image, or `MAX_BATCH` of a tiny one.
    """

    def __init__(self, device: torch.device, is_tiny: bool) -> None:
        self._device = device
        self._first = MAX_BATCH if is_tiny and device.type == "cpu" else 1
        self._fits: dict[tuple[int, int, int], int] = {}
        self._worked: dict[tuple[int, int, int], int] = {}

    def size(self, sampling: Sampling, wanted: int | None) -> int:
        """Images for the next call.

        Args:
            wanted: what the experiment asks for; None for as many as fit.
        """
        found = self._fits.get(_kind(sampling))
        return min(wanted or MAX_BATCH, found or wanted or self._first)

    @contextlib.contextmanager
    def measured(self, sampling: Sampling, images: int) -> Iterator[None]:
        """Watches what a call takes of a GPU's memory, where it is the first of its kind."""
        if self._device.type != "cuda" or _kind(sampling) in self._fits:
            yield
            self._has_worked(sampling, images)
            return
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        yield
        self._has_worked(sampling, images)
        taken = max(torch.cuda.max_memory_allocated(self._device) - before, 1)
        free, _ = torch.cuda.mem_get_info(self._device)
        free += torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device)
        self._fits[_kind(sampling)] = max(images, min(MAX_BATCH, int(SPARED * free * images / taken)))

    def halved(self, sampling: Sampling, images: int) -> int:
        """`images`, more than one, did not fit: how many to try in their place.

        It is remembered, unless as many have fitted before: then another program had the memory for a while.
        """
        torch.cuda.empty_cache()
        if images > self._worked.get(_kind(sampling), 0):
            self._fits[_kind(sampling)] = images // 2
        return images // 2

    def _has_worked(self, sampling: Sampling, images: int) -> None:
        self._worked[_kind(sampling)] = max(images, self._worked.get(_kind(sampling), 0))


def _kind(sampling: Sampling) -> tuple[int, int, int]:
    return sampling.width, sampling.height, calls_of(sampling)


_WORDS = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether less at once might have gone well."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)
