"""An adapter of the toy checkpoints, which the tests of merges share."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.merge.toy_steps import TE_FC, TO_Q

NAMES = {
    TO_Q: "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q",
    TE_FC: "lora_te1_text_model_encoder_layers_0_mlp_fc1",
}


@pytest.fixture(scope="session")
def lora(toy, tmp_path_factory):
    """A LoRA in kohya's layout on one layer of the toy's UNet and one of its first text encoder."""
    weights = load_file(toy / "base.safetensors")
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for key, name in NAMES.items():
        out, into = weights[key].shape
        tensors[f"{name}.lora_up.weight"] = torch.randn(out, 2, generator=generator)
        tensors[f"{name}.lora_down.weight"] = torch.randn(2, into, generator=generator)
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
    path = tmp_path_factory.mktemp("lora") / "style.safetensors"
    save_file(tensors, path)
    return path


@pytest.fixture(scope="session")
def dora(toy, lora):
    """The same as a DoRA: the UNet's rows and the text encoder's columns become longer by half."""
    weights, tensors = load_file(toy / "base.safetensors"), load_file(lora)
    for key, name in NAMES.items():
        tensors[f"{name}.dora_scale"] = 1.5 * weights[key].float().norm(dim=int(key == TO_Q), keepdim=True)
    path = lora.parent / "dora.safetensors"
    save_file(tensors, path)
    return path
