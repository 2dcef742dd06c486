"""A tiny CLIP model of random weights, with the toy's vocabulary."""

import json
import shutil

import torch
from transformers import CLIPConfig, CLIPModel

SIDE, LENGTH, WIDTH = 32, 16, 24  # pixels, tokens, and numbers of an embedding


def save_tiny_clip(folder, toy):
    """Write a folder as transformers keeps a CLIP model."""
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(toy / "config" / "tokenizer" / name, folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    tokens = json.loads((folder / "vocab.json").read_text())
    ends = {"bos_token_id": tokens["<|startoftext|>"], "eos_token_id": tokens["<|endoftext|>"]}
    config = CLIPConfig(
        text_config={**size, **ends, "vocab_size": len(tokens), "max_position_embeddings": LENGTH},
        vision_config={**size, "image_size": SIDE, "patch_size": 8},
        projection_dim=WIDTH,
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return folder
