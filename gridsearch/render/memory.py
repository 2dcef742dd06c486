"""What says that memory has run out: PyTorch has an error for it, its libraries and the CPU have words."""

import torch

_WORDS = (
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether less at once might have gone well."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)
