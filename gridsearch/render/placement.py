"""The device and the precision of a model."""

from dataclasses import dataclass

import torch

from gridsearch.base.errors import BadInput

TORCH_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """A model's device and precision."""

    device: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device} {str(self.dtype).removeprefix('torch.')}"


def placement(device: str, dtype: str) -> Placement:
    """Resolve "auto": CUDA in half precision where there is a GPU, otherwise the CPU in float32."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput("There is no CUDA device.", where='render.device = "cuda"', fix='Set device = "auto".')
    if dtype == "auto":
        dtype = "float16" if device == "cuda" else "float32"
    return Placement(device, TORCH_DTYPES[dtype])
