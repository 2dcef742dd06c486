"""The tensors of a checkpoint by their keys, mapped into memory."""

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import Checkpoint, StoredTensor


def mapped(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return all tensors as the checkpoint describes them; their pages are read when they are first used.

    Those that lie in a file otherwise are views of it; what is transposed or made of several tensors there is
    copied once, contiguous as in a file, since the last bits of a merge may depend on how its inputs lie.

    Raises:
        BadInput: a file cannot be read, or is no whole safetensors file.
    """
    opened = {}
    for path in checkpoint.files:
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                opened[path] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise BadInput("This safetensors file is incomplete.", where=path, why=str(error)) from None
        except OSError as error:
            raise BadInput("The checkpoint cannot be read.", where=path, why=error.strerror) from None
    if not checkpoint.pieces:
        return opened[checkpoint.path]
    own = checkpoint.path
    held = {key: checkpoint.pieces.get(key, (StoredTensor(own, key),)) for key in checkpoint.tensors}
    return {
        key: _joined([_as_held(opened[one.file][one.key], one) for one in pieces]).view(
            checkpoint.tensors[key].shape
        )
        for key, pieces in held.items()
    }


def _as_held(tensor: Tensor, piece: StoredTensor) -> Tensor:
    return tensor.T.contiguous() if piece.transposed else tensor


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
