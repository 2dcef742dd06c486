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

import torch
from torch import Tensor, nn

from gridsearch.checkpoint.sdxl.keys import CLIP_G_MODEL, CLIP_L_MODEL, UNET, VAE, TensorRows

ALL_ROWS = slice(None)


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

    Args:
        components: the pipeline's modules by diffusers' names (`pipe.components` will do).

    Returns:
        file key -> the parts that make it up, in row order. One part for all but the joined
        attention projections of the second text encoder, which have three.
    """
    views = dict(_unet_views(components["unet"]))
    views |= dict(_vae_views(components["vae"]))
    views |= dict(_clip_l_views(components["text_encoder"]))
    views |= dict(_clip_g_views(components["text_encoder_2"]))
    return views


def rows_by_parameter(views: Mapping[str, list[LiveRows]]) -> dict[str, TensorRows]:
    """Turn `file_views` round: diffusers parameter -> the rows of the file in which it is kept."""
    return {
        part.name: TensorRows(key, part.rows, tuple(part.view.shape), file_shape(parts), part.transposed)
        for key, parts in views.items()
        for part in parts
    }


def file_shape(parts: list[LiveRows]) -> tuple[int, ...]:
    """Return the shape of the file tensor that the parts make up."""
    return (sum(part.view.shape[0] for part in parts), *parts[0].view.shape[1:])


def file_state_dict(components: Mapping[str, nn.Module], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the components' weights as a single-file checkpoint holds them, by file key and contiguous."""
    return {
        key: torch.cat([part.view.detach() for part in parts]).to("cpu", dtype).contiguous()
        for key, parts in file_views(components).items()
    }


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


def _unet_views(unet: Any) -> Iterator[tuple[str, list[LiveRows]]]:
    layers = len(unet.down_blocks[0].resnets)
    for name, parameter in unet.named_parameters():
        yield UNET + _unet_key(name, unet, layers), [LiveRows(ALL_ROWS, parameter.data, f"unet.{name}")]


def _unet_key(name: str, unet: Any, layers: int) -> str:
    stem, leaf = name.rsplit(".", 1)
    if stem in _UNET_OUTER:
        return f"{_UNET_OUTER[stem]}.{leaf}"
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        side, block, kind, layer, rest = match.groups()
        # The down path holds conv_in at 0 and a downsampler after each block's layers; the up path has
        # one layer more a block and its upsampler inside the last one.
        index = (
            1 + int(block) * (layers + 1) + int(layer)
            if side == "down"
            else int(block) * (layers + 1) + int(layer)
        )
        block = f"{'input' if side == 'down' else 'output'}_blocks.{index}.{0 if kind == 'resnets' else 1}"
        return f"{block}.{_resnet_leaf(rest) if kind == 'resnets' else rest}"
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
        return f"middle_block.{2 * int(layer)}.{_resnet_leaf(rest)}"
    raise KeyError(f"no place in an SDXL file for the UNet parameter {name}")


def _resnet_leaf(rest: str) -> str:
    stem, leaf = rest.rsplit(".", 1)
    return f"{_RESNET[stem]}.{leaf}"


# -- VAE: sgm/modules/diffusionmodules/model.py

_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _vae_views(vae: Any) -> Iterator[tuple[str, list[LiveRows]]]:
    ups = len(vae.decoder.up_blocks)
    for name, parameter in vae.named_parameters():
        view = parameter.data
        if ".attentions." in name and view.ndim == 2:  # a 1x1 convolution in the file, a linear layer here
            view = view[:, :, None, None]
        yield VAE + _vae_key(name, ups), [LiveRows(ALL_ROWS, view, f"vae.{name}")]


def _vae_key(name: str, ups: int) -> str:
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


def _clip_l_views(encoder: nn.Module) -> Iterator[tuple[str, list[LiveRows]]]:
    for name, parameter in encoder.named_parameters():
        view = LiveRows(ALL_ROWS, parameter.data, f"text_encoder.{name}")
        yield CLIP_L_MODEL + name.removeprefix("text_model."), [view]


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


def _clip_g_views(encoder: Any) -> Iterator[tuple[str, list[LiveRows]]]:
    # text_projection is stored transposed: open_clip multiplies x @ P, transformers applies a linear layer.
    projection = encoder.text_projection.weight.data.T
    name = "text_encoder_2.text_projection.weight"
    yield CLIP_G_MODEL + "text_projection", [LiveRows(ALL_ROWS, projection, name, transposed=True)]
    whole = {
        name.removeprefix("text_model."): LiveRows(ALL_ROWS, parameter.data, f"text_encoder_2.{name}")
        for name, parameter in encoder.named_parameters()
    }
    for name, view in whole.items():
        if name in _CLIP_G_OUTER:
            yield CLIP_G_MODEL + _CLIP_G_OUTER[name], [view]
        elif match := re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name):
            layer, module, leaf = match.groups()
            block = f"{CLIP_G_MODEL}transformer.resblocks.{layer}."
            if module in _CLIP_G_LAYER:
                yield f"{block}{_CLIP_G_LAYER[module]}.{leaf}", [view]
            elif module == "self_attn.q_proj":
                parts = [whole[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
                yield f"{block}attn.in_proj_{leaf}", _joined(parts)


def _joined(parts: list[LiveRows]) -> list[LiveRows]:
    """Place the q, k and v projections one under the other, as open_clip stores them."""
    width = parts[0].view.shape[0]
    return [replace(part, rows=slice(i * width, (i + 1) * width)) for i, part in enumerate(parts)]
