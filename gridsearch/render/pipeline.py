"""Loading a single-file checkpoint, offline, as a renderer: a diffusers pipeline to merge into."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import logging

from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.sdxl.components import check_loaded, config_folder, load_tokenizers
from gridsearch.checkpoint.sdxl.layout import LiveRows, file_views
from gridsearch.checkpoint.sdxl.shapes import check_file
from gridsearch.render.placement import TORCH_DTYPES, BatchSizes, Placement
from gridsearch.render.prompt.encode import Encoded

# Below this many UNet parameters a second CPU thread costs more in waiting than it saves in arithmetic.
TINY_UNET = 50_000_000


@dataclass(frozen=True)
class Renderer:
    """A pipeline, the scheduler config it came with, and the views through which its weights are changed."""

    pipe: StableDiffusionXLPipeline
    place: Placement
    scheduler_config: dict
    live: dict[str, list[LiveRows]]  # file key -> views (see `layout.file_views`)
    batches: BatchSizes
    # (text, clip skip) -> embedding; to be cleared when the text encoders change
    encoded: dict[tuple[str, int], Encoded] = field(default_factory=dict)


def load_renderer(
    path: Path,
    config: Path | None,
    vocabulary: Path | None,
    place: Placement,
    vae_dtype: str = "auto",
    compiled: bool = False,
) -> Renderer:
    """Load a checkpoint with the component configs in `config` (default: the package's SDXL ones).

    Args:
        vae_dtype: "auto" keeps a VAE that overflows in half precision (`force_upcast`) in float32 for good:
            moving it there and back for every image, as diffusers does, would also cut the live views off
            from the parameters.
        compiled: whether the UNet's transformer blocks go through torch.compile, whose graphs take the
            weights as inputs, so that they may change.
    """
    folder = config_folder(config)
    check_file(open_checkpoint(path), folder)
    with _quiet():
        pipe = StableDiffusionXLPipeline.from_single_file(
            str(path),
            config=str(folder),
            local_files_only=True,
            torch_dtype=place.dtype,
            add_watermarker=False,
            **load_tokenizers(folder, vocabulary),
        )
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
    for module in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        module.requires_grad_(False)
    if compiled:
        pipe.unet.compile_repeated_blocks()
    batches = BatchSizes(torch.device(place.device), is_tiny)
    return Renderer(pipe, place, dict(pipe.scheduler.config), file_views(pipe.components), batches)


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
