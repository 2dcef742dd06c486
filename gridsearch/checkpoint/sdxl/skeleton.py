"""SDXL's models without weights: the shapes of their parameters, and where each lies in a checkpoint."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gridsearch.checkpoint.sdxl.keys import TensorRows
from gridsearch.checkpoint.sdxl.layout import file_shape, file_views, rows_by_parameter


def skeleton(folder: Path) -> dict[str, nn.Module]:
    """Build the four models of a config folder on the meta device, which takes no memory for weights."""
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder")),
            "text_encoder_2": CLIPTextModelWithProjection(
                CLIPTextConfig.from_pretrained(folder / "text_encoder_2")
            ),
        }


def skeleton_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what a checkpoint for these configs must hold: file key -> shape."""
    return {key: file_shape(parts) for key, parts in file_views(skeleton(folder)).items()}


def parameter_rows(folder: Path) -> dict[str, TensorRows]:
    """Return where each parameter is kept in a checkpoint for these configs, by diffusers' names.

    A name has its component in front: `unet.conv_in.weight`, `text_encoder_2.text_projection.weight`.
    """
    return rows_by_parameter(file_views(skeleton(folder)))
