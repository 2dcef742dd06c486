"""SDXL's models without weights: what shapes their parameters have, and where each lies in a checkpoint."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gridsearch.checkpoint.sdxl.layout import Place, file_views, places_of, shape_of


def skeleton(folder: Path) -> dict[str, nn.Module]:
    """The four models of a component folder on the meta device: shapes, and no memory for the weights."""
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
    """What a checkpoint for these configs must hold: file key -> shape."""
    return {key: shape_of(pieces) for key, pieces in file_views(skeleton(folder)).items()}


def places(folder: Path) -> dict[str, Place]:
    """Where each parameter is kept in a checkpoint for these configs: diffusers' name -> its place.

    A name has its component in front: `unet.conv_in.weight`, `text_encoder_2.text_projection.weight`.
    """
    return places_of(file_views(skeleton(folder)))
