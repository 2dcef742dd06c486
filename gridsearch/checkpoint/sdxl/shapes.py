"""The tensors that a checkpoint must hold, and the check of a file against them before it is loaded.

diffusers leaves a text encoder's absent tensors unloaded in silence, and stops at the UNet's and the VAE's
with an error from deep within torch; a tensor of another shape is noticed after minutes of reading.
"""

import json
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.sdxl.components import SDXL_CONFIGS
from gridsearch.checkpoint.sdxl.keys import CLIP_G, CLIP_L, UNET, VAE

# The shapes that follow from the package's own configs: building the models takes seconds of imports.
SDXL_SHAPES = Path(__file__).parent / "shapes.json"

_DIFFUSERS_NAMES = {UNET: "unet", VAE: "vae", CLIP_L: "text_encoder", CLIP_G: "text_encoder_2"}


def file_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return what a checkpoint for these configs must hold: file key -> shape. SDXL's has 2513 such keys."""
    if folder == SDXL_CONFIGS:
        return {key: tuple(shape) for key, shape in json.loads(SDXL_SHAPES.read_bytes()).items()}
    from gridsearch.checkpoint.sdxl.skeleton import skeleton_shapes

    return skeleton_shapes(folder)


def check_file(checkpoint: Checkpoint, folder: Path) -> None:
    """Raise BadInput unless the checkpoint holds every tensor that the configs ask for, in its shape.

    Keys beyond those asked for are left alone.
    """
    needed = file_shapes(folder)
    found = {key: checkpoint.tensors[key].shape for key in needed if key in checkpoint.tensors}
    if absent := [key for key in needed if key not in found]:
        components = sorted(
            {name for key in absent for prefix, name in _DIFFUSERS_NAMES.items() if key.startswith(prefix)}
        )
        raise BadInput(
            f"The checkpoint lacks {len(absent)} of the {len(needed)} tensors that its configs ask for.",
            where=checkpoint.path,
            why=f"of the {', '.join(components)}: {_first(absent)}",
            fix="Use a complete SDXL checkpoint in its original layout: UNet, VAE and both text encoders.",
        )
    if unlike := [f"{key} is {found[key]}, not {needed[key]}" for key in needed if found[key] != needed[key]]:
        raise BadInput(
            f"{len(unlike)} tensors of the checkpoint do not have the shapes that its configs ask for.",
            where=checkpoint.path,
            why=_first(unlike),
            fix="Name the configs of the model it was made from: [render] config.",
        )


def _first(items: list[str]) -> str:
    return ", ".join(items[:2]) + (", ..." if len(items) > 2 else "")
