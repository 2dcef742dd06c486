"""Hires fix as A1111 has it: a picture is enlarged, noised again, and drawn to its end a second time.

The rules are those of A1111 1.10 (`modules/processing.py`, `setup_img2img_steps` of
`modules/sd_samplers_common.py`): as many steps are done as are asked for, the last of a schedule that is so
much longer; the second pass has the noise that the seed gives a picture of the larger size, and SDXL is told
that size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gridsearch.checkpoint.ldm.shapes import LATENT_SIDE
from gridsearch.render.denoise.sampling import SAMPLERS, Sampling

# Upscalers of latents -> the mode of `torch.nn.functional.interpolate`, and whether it is antialiased.
OF_LATENTS = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
# Of decoded pictures, which are encoded again -> Pillow's resampling.
OF_PICTURES = {"None": "LANCZOS", "Lanczos": "LANCZOS", "Nearest": "NEAREST"}
UPSCALERS = (*OF_LATENTS, *OF_PICTURES)
MOST_STRENGTH = 0.999  # of the noise, in A1111
LONGEST = 1000  # steps of a schedule: as many as diffusers has timesteps
SETTINGS = ("hires_scale", "hires_steps", "hires_denoise", "hires_upscaler")
RESIZE = "Hires resize"


@dataclass(frozen=True)
class Pass:
    """A way through the steps: settings for pictures of its size, without the first `skipped` steps."""

    sampling: Sampling
    skipped: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in px."""
        return self.sampling.width, self.sampling.height

    @property
    def calls(self) -> int:
        """The UNet calls of an image."""
        left = self.sampling.steps - self.skipped
        return SAMPLERS[self.sampling.sampler].calls(left) if left else 0


def passes(sampling: Sampling) -> tuple[Pass, ...]:
    """Return the passes of an image: one, or two with hires fix."""
    first = Pass(replace(sampling, hires_scale=None))
    if sampling.hires_scale is None:
        return (first,)
    width, height = size = enlarged_size(sampling.width, sampling.height, sampling.hires_scale)
    told: dict[str, Any] = {
        f"{kind}_{side}": now
        for side, now in zip(("width", "height"), size, strict=True)
        for kind in ("original", "target")
        if getattr(sampling, f"{kind}_{side}") == getattr(sampling, side)  # else it is told of another
    }
    steps, strength = sampling.hires_steps or sampling.steps, min(sampling.hires_denoise, MOST_STRENGTH)
    of_all = max(steps, min(int(steps / strength), LONGEST)) if strength > 0 else steps
    second = replace(first.sampling, width=width, height=height, steps=of_all, **told)
    return first, Pass(second, of_all - steps if strength > 0 else of_all)


def enlarged_size(width: int, height: int, scale: float | None) -> tuple[int, int]:
    """Return width and height of the final picture, in whole latents; `scale` None is without hires fix."""
    if scale is None:
        return width, height
    wide, high = (int(side * scale) // LATENT_SIDE * LATENT_SIDE for side in (width, height))
    return wide, high


def upscaler_key(name: object) -> object:
    """Return an upscaler's name as A1111 shows it, of one in any case.

    Raises:
        ValueError: there is none of this name here.
    """
    if not isinstance(name, str):
        return name
    known = {one.lower(): one for one in UPSCALERS}
    if (asked := " ".join(name.lower().split())) not in known:
        raise ValueError(
            f"there is no such upscaler (none with weights is known); there are {', '.join(UPSCALERS)}"
        )
    return known[asked]


# -- in A1111's text


def hires_text(sampling: Sampling) -> dict[str, object]:
    """Return what A1111 says of hires fix; nothing without it."""
    if sampling.hires_scale is None:
        return {}
    return {
        "Denoising strength": float(sampling.hires_denoise),
        "Hires upscale": float(sampling.hires_scale),
        "Hires steps": sampling.hires_steps or None,
        "Hires upscaler": sampling.hires_upscaler,
    }


def hires_said(others: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Return what a picture's text says of hires fix: our settings, and the names that said it.

    An upscaler that is not here, and a size of another shape, are left to be told of as they are.
    """
    scale, names = others.get("Hires upscale") or _resized(others), {"Hires upscale", "Hires steps"}
    if not scale:
        return {}, set()
    found = {"hires_scale": scale, "hires_steps": others.get("Hires steps") or others.get("Steps", "")}
    found["hires_denoise"] = others.get("Denoising strength", "")
    try:
        found["hires_upscaler"] = str(upscaler_key(others.get("Hires upscaler", "Latent")))
        names |= {"Hires upscaler"}
    except ValueError:
        pass
    return found, names | {RESIZE, "Denoising strength"}


def _resized(others: Mapping[str, str]) -> str:
    """Return the scale of a picture that was resized to a size of its own shape; empty for others."""
    try:
        (width, height), (wide, high) = (
            map(int, others.get(name, "").split("x")) for name in ("Size", RESIZE)
        )
        scale = wide / width
    except (ValueError, ZeroDivisionError):
        return ""
    return f"{scale:.10g}" if enlarged_size(width, height, scale) == (wide, high) else ""
