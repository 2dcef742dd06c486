"""SDXL's models without weights, and a checkpoint file held against them before anything is loaded.

diffusers leaves a text encoder's absent tensors unloaded in silence, and stops at the UNet's and the VAE's
with an error from deep within torch; a tensor of another shape is noticed after minutes of reading.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.sdxl.layout import (
    CLIP_G,
    CLIP_L,
    UNET,
    VAE,
    Place,
    file_views,
    places_of,
    shape_of,
)

COMPONENT_OF = {UNET: "unet", VAE: "vae", CLIP_L: "text_encoder", CLIP_G: "text_encoder_2"}


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


def file_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a checkpoint for these configs must hold: file key -> shape. SDXL's has 2513 such keys."""
    return {key: shape_of(pieces) for key, pieces in file_views(skeleton(folder)).items()}


def places(folder: Path) -> dict[str, Place]:
    """Where each parameter is kept in a checkpoint for these configs: diffusers' name -> its place.

    A name has its component in front: `unet.conv_in.weight`, `text_encoder_2.text_projection.weight`.
    """
    return places_of(file_views(skeleton(folder)))


def check_file(path: Path, folder: Path) -> None:
    """Raise BadInput unless the checkpoint holds every tensor that the configs ask for, in its shape.

    Only the head of the file is read. Keys beyond those asked for are left alone.
    """
    found = _shapes_in(path)
    needed = file_shapes(folder)
    absent = [key for key in needed if key not in found]
    if absent:
        components = sorted({_component(key) for key in absent})
        raise BadInput(
            f"The checkpoint lacks {len(absent)} of the {len(needed)} tensors that its configs ask for.",
            where=path,
            why=f"of the {', '.join(components)}: {_first(absent)}",
            fix="Use a complete SDXL checkpoint in its original layout: UNet, VAE and both text encoders.",
        )
    unlike = [f"{key} is {found[key]}, not {needed[key]}" for key in needed if found[key] != needed[key]]
    if unlike:
        raise BadInput(
            f"{len(unlike)} tensors of the checkpoint do not have the shapes that its configs ask for.",
            where=path,
            why=_first(unlike),
            fix="Name the configs of the model it was made from: [render] config.",
        )


def _shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, "pt") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInput(
            "The checkpoint cannot be read.",
            where=path,
            why=str(error),
            fix="Name a .safetensors file; download it again if it was cut short.",
        ) from error


def _component(key: str) -> str:
    return next(name for prefix, name in COMPONENT_OF.items() if key.startswith(prefix))


def _first(items: list[str]) -> str:
    return ", ".join(items[:2]) + (", ..." if len(items) > 2 else "")
