"""Small models for recipes of sd-mecha, and what both programs make of them."""

import pytest
import torch

from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.sdxl.family import CLIP_G, CLIP_L
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.sources import FileSource

# A few of every block's keys, as SDXL has them.
KEYS = (
    f"{UNET}time_embed.0.weight",
    f"{UNET}label_emb.0.0.bias",
    f"{UNET}input_blocks.0.0.weight",
    *(f"{UNET}input_blocks.{i}.0.in_layers.2.weight" for i in (1, 2, 4, 5, 7, 8)),
    *(f"{UNET}input_blocks.{i}.0.op.weight" for i in (3, 6)),
    f"{UNET}input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight",
    f"{UNET}middle_block.1.norm.weight",
    *(f"{UNET}output_blocks.{i}.0.in_layers.2.weight" for i in range(9)),
    f"{UNET}output_blocks.5.1.transformer_blocks.1.ff.net.2.bias",
    f"{UNET}out.2.weight",
    f"{CLIP_L}transformer.text_model.encoder.layers.3.self_attn.k_proj.weight",
    f"{CLIP_G}model.transformer.resblocks.2.attn.in_proj_weight",
    f"{VAE}decoder.conv_in.weight",
    f"{VAE}encoder.mid.attn_1.q.weight",
)


def theirs(text, **options):
    sd_mecha = pytest.importorskip("sd_mecha")
    return sd_mecha.merge(sd_mecha.deserialize(text), output_dtype=torch.float16, threads=0, **options)


def our_weights(ours, keys=KEYS):
    sources = {name: FileSource(open_checkpoint(model.path)) for name, model in ours.models.items()}
    scratch = new_buffer()
    terms = terms_of(ours, keys)
    return {key: evaluate(terms[key], key, sources, torch.float16, scratch) for key in keys}


def furthest(theirs, ours, exact=True):
    """The largest difference, in steps of float16 at the value's size, or where not exact at the tensor's.

    A change to a model is kept in half precision, with the bits of the change and not those of a small sum.
    """
    worst = 0.0
    for key, tensor in ours.items():
        a, b = theirs[key].double(), tensor.double()
        least = 2**-14 if exact else max(a.square().mean().sqrt().item(), 2**-14)
        unit = 2.0 ** (torch.maximum(a.abs(), b.abs()).clamp(min=least).log2().floor() - 10)
        worst = max(worst, ((a - b).abs() / unit).max().item())
    return worst
