"""The tensors that a checkpoint must hold, the check of a file against them, and a UNet call's arithmetic.

diffusers leaves a text encoder's absent tensors unloaded in silence, and stops at the UNet's and the VAE's
with an error from deep within torch; a tensor of another shape is noticed after minutes of reading.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import INDEX, KNOWN_FAMILIES, family_of_folder
from gridsearch.checkpoint.family import UNET
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.checkpoint.ldm.recognise import family_of

if TYPE_CHECKING:
    import torch
    from torch import nn

TEXT_TOKENS = 77
LATENT_SIDE = 8  # image pixels to a side of a latent's
CONFIGS_KEPT = 8  # of which the models need not be built again: to build SDXL's takes a second


def file_shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    """Return what a checkpoint for these configs must hold: file key -> shape. SDXL's has 2513 such keys."""
    for family in KNOWN_FAMILIES.values():
        if folder == family.configs:  # building the models would take seconds of imports
            return {key: tuple(shape) for key, shape in json.loads(family.shapes.read_bytes()).items()}
    return skeleton_shapes(folder)


def has_usual_size(checkpoint: Checkpoint) -> bool:
    """Return whether most weights that a file holds have the shapes of its family's own models."""
    shapes, known = checkpoint.tensors, file_shapes(family_of(checkpoint).configs)
    alike = [shapes[key].shape == shape for key, shape in known.items() if key in shapes]
    return 2 * sum(alike) >= len(alike)


@dataclass(frozen=True)
class _Configs:
    """A config folder; another one with the same texts is equal."""

    folder: Path = field(compare=False)
    texts: tuple[tuple[str, bytes], ...]


def _configs(folder: Path) -> _Configs:
    files = sorted(folder.glob("*/config.json"))
    index = [folder / INDEX] if (folder / INDEX).is_file() else []
    return _Configs(
        folder, tuple((str(file.relative_to(folder)), file.read_bytes()) for file in files + index)
    )


def skeleton_shapes(folder: Path) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of each key of a checkpoint for these configs, by the models that they build."""
    return _skeleton_shapes(_configs(folder))


@lru_cache(CONFIGS_KEPT)
def _skeleton_shapes(configs: _Configs) -> Mapping[str, tuple[int, ...]]:
    from gridsearch.checkpoint.ldm.layout import file_shape, file_views  # imports torch

    models = skeleton(configs.folder)
    return MappingProxyType({key: file_shape(parts) for key, parts in file_views(models).items()})


def parameter_rows(folder: Path) -> Mapping[str, TensorRows]:
    """Return where each parameter is kept in a checkpoint for these configs, by diffusers' names.

    A name has its component in front: `unet.conv_in.weight`, `text_encoder_2.text_projection.weight`.
    """
    return _parameter_rows(_configs(folder))


@lru_cache(CONFIGS_KEPT)
def _parameter_rows(configs: _Configs) -> Mapping[str, TensorRows]:
    from gridsearch.checkpoint.ldm.layout import file_shape, file_views  # imports torch

    rows = {
        part.name: TensorRows(key, part.rows, tuple(part.view.shape), file_shape(parts), part.transposed)
        for key, parts in file_views(skeleton(configs.folder)).items()
        for part in parts
    }
    return MappingProxyType(rows)


def skeleton(folder: Path) -> "dict[str, nn.Module]":
    """Build the models of a config folder on the meta device, which takes no memory for weights."""
    import torch  # and what follows: seconds of imports, spared to most merges
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        models: dict[str, nn.Module] = {
            "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
        }
        for one in family_of_folder(folder).text_encoders:
            encoder = CLIPTextModelWithProjection if one.projected else CLIPTextModel
            models[one.component] = encoder(CLIPTextConfig.from_pretrained(folder / one.component))
        return models


def loaded_models(checkpoint: Checkpoint, folder: Path, dtype: "torch.dtype") -> "dict[str, nn.Module]":
    """Return the models of a config folder with a checkpoint's weights, which may lie in several files.

    What the checkpoint lacks has no values yet: `check_file` says what that is.
    """
    import torch

    from gridsearch.checkpoint.ldm.layout import file_views
    from gridsearch.checkpoint.mapped import mapped

    models = skeleton(folder)
    for model in models.values():
        model.to(dtype).to_empty(device="cpu").eval()
        for name, buffer in model.named_buffers():
            assert name.endswith(".position_ids")  # there are no others
            buffer.copy_(torch.arange(buffer.numel()).view_as(buffer))
    tensors = mapped(checkpoint)
    for key, parts in file_views(models).items():
        for part in parts if key in tensors else ():
            part.view.copy_(tensors[key][part.rows])
    return models


def check_file(checkpoint: Checkpoint, folder: Path, parts: tuple[str, ...] = ("",)) -> None:
    """Raise BadInput unless a checkpoint holds at least what its configs ask for, in the right shapes.

    `parts` are the beginnings of the keys that are asked for: all, unless other files give the rest.
    """
    needed = {key: shape for key, shape in file_shapes(folder).items() if key.startswith(parts)}
    found = {key: checkpoint.tensors[key].shape for key in needed if key in checkpoint.tensors}
    if absent := [key for key in needed if key not in found]:
        family = family_of_folder(folder)
        prefixes = {name: family.parts[part] for name, part in family.pipeline_parts.items()}
        components = sorted({n for key in absent for n, prefix in prefixes.items() if key.startswith(prefix)})
        what = f"The checkpoint lacks {len(absent)} of the {len(needed)} tensors that its configs ask for."
        why = f"of the {', '.join(components)}: {_first(absent)}"
        whole = f"UNet, VAE and {family.encoders}"
        fix = f"Use a complete {family.title} checkpoint in its original layout: {whole}."
        raise BadInput(what, where=checkpoint.path, why=why, fix=fix)
    if unlike := [f"{key} is {found[key]}, not {needed[key]}" for key in needed if found[key] != needed[key]]:
        what = f"{len(unlike)} tensors of the checkpoint do not have the shapes that its configs ask for."
        fix = "Name the configs of the model it was made from: [render] config."
        raise BadInput(what, where=checkpoint.path, why=_first(unlike), fix=fix)


def _first(items: list[str]) -> str:
    return ", ".join(items[:2]) + (", ..." if len(items) > 2 else "")


def unet_call(shapes: Mapping[str, tuple[int, ...]], width: int, height: int) -> tuple[int, int]:
    """Return the floating-point operations of one UNet call on one image, in px, and its number of layers.

    Counted as torch's `FlopCounterMode` counts them: two a multiplication of a matrix or a convolution,
    nothing for norms, activations and sums. Of the checkpoint's keys in `shapes`, only the UNet's count.
    """
    unet = {key.removeprefix(UNET): shape for key, shape in shapes.items() if key.startswith(UNET)}
    weights = {key: shape for key, shape in unet.items() if key.endswith(".weight") and len(shape) > 1}
    downs = [int(found[1]) for key in weights if (found := re.match(r"input_blocks\.(\d+)\.0\.op\.", key))]
    ups = [int(found[1]) for key in weights if (found := re.match(r"output_blocks\.(\d+)\.\d\.conv\.", key))]
    flops = 0
    for key, shape in weights.items():
        side = 2 ** _halvings(key, downs, ups)
        pixels = math.ceil(width // LATENT_SIDE / side) * math.ceil(height // LATENT_SIDE / side)
        if re.search(r"time_embed|label_emb|emb_layers", key):
            positions = 1
        else:
            positions = TEXT_TOKENS if re.search(r"attn2\.to_[kv]", key) else pixels
        flops += 2 * math.prod(shape) * positions
        if key.endswith(".to_q.weight"):  # every query with every key, and the values weighted by that
            flops += 4 * pixels * (pixels if ".attn1." in key else TEXT_TOKENS) * shape[0]
    return flops, len({key.rpartition(".")[0] for key in unet})


def _halvings(key: str, downs: list[int], ups: list[int]) -> int:
    """Return how often the latent has been halved, by the blocks `downs`, where a weight is applied."""
    if key.startswith("middle_block."):
        return len(downs)
    if not (found := re.match(r"(input|output)_blocks\.(\d+)\.", key)):
        return 0
    block = int(found[2])
    if found[1] == "input":
        return sum(block >= down for down in downs)
    return len(downs) - sum(block > up for up in ups) - (".conv." in key)
