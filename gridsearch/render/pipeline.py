"""Loading a single-file checkpoint, offline, as a renderer: a diffusers pipeline to merge into."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from diffusers.utils import logging

from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.sdxl.components import check_loaded, config_folder, load_tokenizers
from gridsearch.checkpoint.sdxl.keys import BESIDE_VAE
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
    has_vae: bool = True,
) -> Renderer:
    """Load a checkpoint with the component configs in `config` (default: the package's SDXL ones).

    Args:
        vae_dtype: "auto" keeps a VAE that overflows in half precision (`force_upcast`) in float32 for good:
            moving it there and back for every image, as diffusers does, would also cut the live views off
            from the parameters.
        compiled: whether the UNet's transformer blocks go through torch.compile, whose graphs take the
            weights as inputs, so that they may change.
        has_vae: whether the VAE is read from this file. Else it has no values yet: its weights are to be
            written over it before anything is drawn.
    """
    folder = config_folder(config)
    check_file(open_checkpoint(path), folder, ("",) if has_vae else BESIDE_VAE)
    with _quiet():
        pipe = StableDiffusionXLPipeline.from_single_file(
            str(path),
            config=str(folder),
            local_files_only=True,
            torch_dtype=place.dtype,
            add_watermarker=False,
            **load_tokenizers(folder, vocabulary),
            **({} if has_vae else {"vae": _empty_vae(folder).to(place.dtype)}),
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


def _empty_vae(folder: Path) -> AutoencoderKL:
    with torch.device("meta"):  # random values would take seconds
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
    return vae.to_empty(device="cpu").eval()


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
