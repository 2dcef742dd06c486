"""The map between the keys of a single-file SDXL checkpoint and the parameters of a diffusers pipeline.

A checkpoint file names its tensors as the original code did (Stability's `sgm`, `open_clip` for the
second text encoder); diffusers names, reshapes and splits some of them. `file_views` gives, for every
file key, views onto the live parameters *in the file's own shape*, so that writing into a view changes
the model that draws, and reading the views in order gives the file back. Both directions are exact.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from gridsearch.checkpoint.sdxl.keys import CLIP_G_MODEL, CLIP_L_MODEL, UNET, VAE


@dataclass(frozen=True)
class LiveRows:
    """Rows `rows` of a file tensor, as a view onto a live parameter (`view.shape == file[rows].shape`).

    `name` is that parameter as diffusers and transformers name it, its component in front; `transposed`
    says that the view is the parameter's transpose.
    """

    rows: slice
    view: Tensor
    name: str = ""
    transposed: bool = False


def file_views(components: Mapping[str, nn.Module]) -> dict[str, list[LiveRows]]:
    """Map every file key to views onto the parameters of `unet`, `vae`, `text_encoder`, `text_encoder_2`.

    `components` are the pipeline's modules by diffusers' names (`pipe.components` will do). The parts that
    make up a key are in row order: one for all but the joined attention projections of the second text
    encoder, which have three.
    """
    unet, vae = components["unet"], components["vae"]
    views = {UNET + _unet_key(name, unet): [view] for name, view in _parameters("unet", unet)}
    for name, view in _parameters("vae", vae):
        if ".attentions." in name and view.view.ndim == 2:  # a 1x1 convolution in the file, linear here
            view = replace(view, view=view.view[:, :, None, None])
        views[VAE + _vae_key(name, vae)] = [view]
    for name, view in _parameters("text_encoder", components["text_encoder"]):
        views[CLIP_L_MODEL + name.removeprefix("text_model.")] = [view]
    return views | dict(_clip_g_views(components["text_encoder_2"]))


def _parameters(component: str, module: nn.Module) -> Iterator[tuple[str, LiveRows]]:
    for name, parameter in module.named_parameters():
        yield name, LiveRows(slice(None), parameter.data, f"{component}.{name}")


def file_shape(parts: list[LiveRows]) -> tuple[int, ...]:
    """Return the shape of the file tensor that the parts make up."""
    return (sum(part.view.shape[0] for part in parts), *parts[0].view.shape[1:])


# -- UNet: https://github.com/Stability-AI/generative-models, sgm/modules/diffusionmodules/openaimodel.py

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _unet_key(name: str, unet: Any) -> str:
    layers = len(unet.down_blocks[0].resnets)
    stem, leaf = name.rsplit(".", 1)
    if stem in _UNET_OUTER:
        return f"{_UNET_OUTER[stem]}.{leaf}"
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        side, block, kind, layer, rest = match.groups()
        # The down path holds conv_in at 0 and a downsampler after each block's layers; the up path has
        # one layer more a block and its upsampler inside the last one.
        index = (side == "down") + int(block) * (layers + 1) + int(layer)
        kept = f"{_RESNET[rest.removesuffix('.' + leaf)]}.{leaf}" if kind == "resnets" else rest
        return f"{'input' if side == 'down' else 'output'}_blocks.{index}.{int(kind != 'resnets')}.{kept}"
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
        block, rest = match.groups()
        return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
        block, rest = match.groups()
        after = 2 if hasattr(unet.up_blocks[int(block)], "attentions") else 1
        return f"output_blocks.{int(block) * (layers + 1) + layers}.{after}.conv.{rest}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        kind, layer, rest = match.groups()
        if kind == "attentions":
            return f"middle_block.1.{rest}"
        return f"middle_block.{2 * int(layer)}.{_RESNET[rest.removesuffix('.' + leaf)]}.{leaf}"
    raise KeyError(f"no place in an SDXL file for the UNet parameter {name}")


# -- VAE: sgm/modules/diffusionmodules/model.py

_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _vae_key(name: str, vae: Any) -> str:
    ups = len(vae.decoder.up_blocks)
    name = name.replace(".conv_shortcut.", ".nin_shortcut.").replace(".conv_norm_out.", ".norm_out.")
    if match := re.match(r"(.+)\.mid_block\.attentions\.0\.(.+)\.(\w+)", name):
        half, layer, leaf = match.groups()
        return f"{half}.mid.attn_1.{_VAE_ATTENTION[layer]}.{leaf}"
    if match := re.match(r"(.+)\.mid_block\.resnets\.(\d)\.(.+)", name):
        half, layer, rest = match.groups()
        return f"{half}.mid.block_{int(layer) + 1}.{rest}"
    name = re.sub(r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block.", name)
    name = re.sub(r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample.", name)
    # The file counts the up path from the finest block, diffusers from the coarsest.
    name = re.sub(r"\.up_blocks\.(\d+)\.resnets\.", lambda m: f".up.{ups - 1 - int(m[1])}.block.", name)
    return re.sub(
        r"\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f".up.{ups - 1 - int(m[1])}.upsample.", name
    )


# -- Text encoders: transformers' CLIP for the first, open_clip for the second


_CLIP_G_OUTER = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_CLIP_G_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def _clip_g_views(encoder: nn.Module) -> Iterator[tuple[str, list[LiveRows]]]:
    whole = {name.removeprefix("text_model."): view for name, view in _parameters("text_encoder_2", encoder)}
    # text_projection is stored transposed: open_clip multiplies x @ P, transformers applies a linear layer.
    projection = whole.pop("text_projection.weight")
    yield CLIP_G_MODEL + "text_projection", [replace(projection, view=projection.view.T, transposed=True)]
    for name, view in whole.items():
        if name in _CLIP_G_OUTER:
            yield CLIP_G_MODEL + _CLIP_G_OUTER[name], [view]
        elif match := re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            layer, module, leaf = match.groups()
            block = f"{CLIP_G_MODEL}transformer.resblocks.{layer}."
            if module in _CLIP_G_LAYER:
                yield f"{block}{_CLIP_G_LAYER[module]}.{leaf}", [view]
            elif module == "self_attn.q_proj":  # open_clip stores q, k and v one under the other
                width = view.view.shape[0]
                parts = [whole[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
                rows = [slice(i * width, (i + 1) * width) for i in range(3)]
                joined = [replace(part, rows=own) for part, own in zip(parts, rows, strict=True)]
                yield f"{block}attn.in_proj_{leaf}", joined
