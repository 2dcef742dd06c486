"""The names of an SDXL checkpoint's keys, as the original code (Stability's `sgm`) writes them."""

from dataclasses import dataclass

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP_L = "conditioner.embedders.0."  # the first text encoder
CLIP_G = "conditioner.embedders.1."  # the second
CLIP_L_MODEL = f"{CLIP_L}transformer.text_model."  # where the weights of each lie
CLIP_G_MODEL = f"{CLIP_G}model."

# Component -> how its keys begin, in the order in which a merged file holds them.
COMPONENTS = {"unet": UNET, "te1": CLIP_L, "te2": CLIP_G, "vae": VAE}

# Nothing is drawn with them, and they are missing in some files.
UNDRAWN = (f"{CLIP_G_MODEL}logit_scale", f"{CLIP_L_MODEL}embeddings.position_ids")

# Empty or one-element keys that say how to sample: https://github.com/comfyanonymous/ComfyUI,
# comfy/supported_models.py. The second four are EDM's: Playground v2.5 and CosXL.
V_PREDICTION_MARKER, ZERO_SNR_MARKER = MARKERS = ("v_pred", "ztsnr")
EDM_MARKERS = ("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")

MODELSPEC_ARCHITECTURE = "stable-diffusion-xl-v1-base"  # https://github.com/Stability-AI/ModelSpec


@dataclass(frozen=True)
class TensorRows:
    """The rows of a checkpoint's tensor in which a parameter is kept.

    `shape` is the shape of those rows and `file_shape` that of the whole tensor; `transposed` says that the
    parameter is the transpose of them.
    """

    key: str
    rows: slice
    shape: tuple[int, ...]
    file_shape: tuple[int, ...]
    transposed: bool = False


def component_of(key: str) -> str | None:
    """Return `unet`, `te1`, `te2` or `vae`; None for keys that are no part of SDXL."""
    return next((name for name, prefix in COMPONENTS.items() if key.startswith(prefix)), None)


def is_text(key: str) -> bool:
    """Return whether a key belongs to a text encoder."""
    return key.startswith((CLIP_L, CLIP_G))


def is_vae(key: str) -> bool:
    """Return whether a key belongs to the VAE."""
    return key.startswith(VAE)
