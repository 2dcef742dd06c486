"""A tiny SDXL: the true classes with few channels, and a vocabulary of its own, for the tests."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.ldm.components import config_files
from gridsearch.checkpoint.ldm.layout import file_views
from gridsearch.checkpoint.ldm.shapes import skeleton
from gridsearch.checkpoint.ldm.vocabulary import END, START, Vocabulary, byte_letters
from gridsearch.checkpoint.sdxl.family import SDXL

MERGES = ("c a", "ca t</w>", "r e", "re d</w>")
WIDTHS = {
    "text_encoder": 32,
    "text_encoder_2": 48,
}  # different, as in SDXL: it is by width they are told apart


def tiny_vocabulary() -> Vocabulary:
    """CLIP's 512 byte tokens, four merges and the two markers: 518 tokens; "cat" is 513, "red" 515."""
    letters = byte_letters()
    joined = [merge.replace(" ", "") for merge in MERGES]
    words = [*letters, *(letter + "</w>" for letter in letters), *joined, START, END]
    return Vocabulary({word: number for number, word in enumerate(words)}, MERGES, "tiny")


def write_configs(folder: Path, family: Family = SDXL) -> Path:
    """A family's configs made tiny; without a vocabulary, as the package's own are."""
    index = json.loads((family.configs / "model_index.json").read_text())
    write_json(folder / "model_index.json", index)
    for name, file in config_files(family).items():
        config = json.loads((family.configs / name / file).read_text())
        write_json(folder / name / file, config | _tiny(name, family))
    return folder


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def edit_json(file: Path, **changes: object) -> None:
    """Set keys of a JSON object in a file; None removes a key."""
    content = json.loads(file.read_text()) | changes
    write_json(file, {key: value for key, value in content.items() if value is not None})


def random_components(folder: Path, dtype: torch.dtype, seed: int = 0) -> dict[str, nn.Module]:
    """The folder's four models with random weights, every parameter a different draw."""
    generator = torch.Generator().manual_seed(seed)
    components = {name: module.to_empty(device="cpu") for name, module in skeleton(folder).items()}
    for module in components.values():
        for buffer in module.buffers():  # position ids: there are no others
            buffer.copy_(torch.arange(buffer.numel()).view_as(buffer))
    for module in components.values():
        for parameter in module.requires_grad_(False).parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
        module.to(dtype).eval()
    return components


def file_state_dict(components: Mapping[str, nn.Module], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The components' weights as a single-file checkpoint holds them, by file key and contiguous."""
    return {
        key: torch.cat([part.view.detach() for part in parts]).to("cpu", dtype).contiguous()
        for key, parts in file_views(components).items()
    }


def _tiny(name: str, family: Family) -> dict[str, object]:
    if name == "unet" and family is not SDXL:
        return {
            "block_out_channels": [8, 16, 16, 16],
            "attention_head_dim": 2,
            "norm_num_groups": 4,
            "cross_attention_dim": WIDTHS["text_encoder"],
            "sample_size": 8,
        }
    if name == "unet":
        return {
            "block_out_channels": [16, 32, 32],
            "attention_head_dim": [2, 2, 2],
            "transformer_layers_per_block": [1, 1, 2],
            "norm_num_groups": 8,
            "cross_attention_dim": sum(WIDTHS.values()),
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 6 * 8 + WIDTHS["text_encoder_2"],
            "sample_size": 8,
        }
    if name == "vae":
        return {"block_out_channels": [8, 16, 16, 16], "norm_num_groups": 4, "sample_size": 64}
    if name in WIDTHS:
        width, tokens = WIDTHS[name], len(tiny_vocabulary().tokens)
        return {
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "projection_dim": width,
            "num_attention_heads": 4,
            "num_hidden_layers": 3,
            "vocab_size": tokens,
            "bos_token_id": tokens - 2,
            "eos_token_id": tokens - 1,
        }
    return {}
