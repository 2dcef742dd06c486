"""Small safetensors files with the keys of large ones."""

import pytest

SDXL_KEYS = (
    "model.diffusion_model.label_emb.0.0.weight",
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
    "conditioner.embedders.1.model.token_embedding.weight",
)


@pytest.fixture
def save(tmp_path):
    """Write a file of small tensors under the given keys; returns its path."""
    import torch
    from safetensors.torch import save_file

    def write(name="x.safetensors", *keys, metadata=None, **extra):
        tensors = {key: torch.ones(2, 3) for key in keys} | extra
        save_file(tensors, tmp_path / name, metadata=metadata)
        return tmp_path / name

    return write
