"""Loading a checkpoint, offline, as a renderer: a diffusers pipeline to merge into."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.utils import logging

from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.components import check_loaded, config_folder, load_tokenizers
from gridsearch.checkpoint.ldm.layout import LiveRows, file_views
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import family_of
from gridsearch.checkpoint.ldm.shapes import check_file, loaded_models
from gridsearch.render.placement import TORCH_DTYPES, BatchSizes, Placement
from gridsearch.render.prompt.encode import Encoded

# Below this many UNet parameters a second CPU thread costs more in waiting than it saves in arithmetic.
TINY_UNET = 50_000_000


@dataclass(frozen=True)
class Renderer:
    """A pipeline, the scheduler config it came with, and the views through which its weights are changed."""

    pipe: Any  # of the class that the family says
    place: Placement
    scheduler_config: dict
    live: dict[str, list[LiveRows]]  # file key -> views (see `layout.file_views`)
    batches: BatchSizes
    # (text, clip skip) -> embedding; to be cleared when the text encoders change
    encoded: dict[tuple[str, int], Encoded] = field(default_factory=dict)


def load_renderer(
    model: Checkpoint | Path,
    config: Path | None,
    vocabulary: Path | None,
    place: Placement,
    vae_dtype: str = "auto",
    compiled: bool = False,
    has_vae: bool = True,
) -> Renderer:
    """Load a checkpoint with the component configs in `config` (default: the package's of its family).

    Args:
        model: opened, or where it is: a file or a diffusers folder.
        vae_dtype: "auto" keeps a VAE that overflows in half precision (`force_upcast`) in float32 for good:
            moving it there and back for every image, as diffusers does, would also cut the live views off
            from the parameters.
        compiled: whether the UNet's transformer blocks go through torch.compile, whose graphs take the
            weights as inputs, so that they may change.
        has_vae: whether the VAE is read from this file. Else it has no values yet: its weights are to be
            written over it before anything is drawn.
    """
    checkpoint = open_model(model) if isinstance(model, Path) else model
    family = family_of(checkpoint)
    folder = config_folder(config, family)
    check_file(checkpoint, folder, ("",) if has_vae else family.beside_vae)
    load = _assembled if checkpoint.pieces else _from_single_file
    given = load_tokenizers(folder, vocabulary)
    with _quiet():
        if not has_vae and not checkpoint.pieces:
            given["vae"] = _empty_vae(folder).to(place.dtype)
        pipe = load(checkpoint, folder, place.dtype, {**given, **family.pipeline_options})
    check_loaded(pipe)
    pipe.to(place.device)
    dtype = TORCH_DTYPES.get(vae_dtype, place.dtype)
    if vae_dtype == "auto" and dtype == torch.float16 and pipe.vae.config.force_upcast:
        dtype = torch.float32
    with _quiet():
        pipe.vae.to(dtype)
    is_tiny = sum(p.numel() for p in pipe.unet.parameters()) < TINY_UNET
    if place.device == "cpu" and is_tiny:
        torch.set_num_threads(1)
    for name in family.pipeline_parts:
        pipe.components[name].requires_grad_(False)
    if compiled:
        pipe.unet.compile_repeated_blocks()
    batches = BatchSizes(torch.device(place.device), is_tiny)
    return Renderer(pipe, place, dict(pipe.scheduler.config), file_views(pipe.components), batches)


def _empty_vae(folder: Path) -> AutoencoderKL:
    with torch.device("meta"):  # random values would take seconds
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
    return vae.to_empty(device="cpu").eval()


def _from_single_file(
    checkpoint: Checkpoint, folder: Path, dtype: torch.dtype, given: Mapping[str, Any]
) -> DiffusionPipeline:
    return _pipeline(checkpoint).from_single_file(
        str(checkpoint.path),
        config=str(folder),
        local_files_only=True,
        torch_dtype=dtype,
        **given,
    )


def _assembled(
    checkpoint: Checkpoint, folder: Path, dtype: torch.dtype, given: Mapping[str, Any]
) -> DiffusionPipeline:
    """Build a pipeline from its configs, with weights that lie where `from_single_file` does not look."""
    models = loaded_models(checkpoint, folder, dtype)
    return _pipeline(checkpoint).from_pretrained(str(folder), local_files_only=True, **models, **given)


def _pipeline(checkpoint: Checkpoint) -> Any:
    """Return the class of diffusers for a checkpoint."""
    return getattr(diffusers, family_of(checkpoint).pipeline)


@contextlib.contextmanager
def _quiet():
    """Silence diffusers: its progress bars, and warnings about what the config folder already settles."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
        logging.set_verbosity(level)
