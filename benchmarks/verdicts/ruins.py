"""More ways to break: what gain, guidance and unfinished denoising do to a prediction."""

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.verdicts.fields import Rng, cloud
from benchmarks.verdicts.wrecks import LUMA, Wreck, blur, chroma
from tests.helpers.pictures import to_bytes


def gained(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A prediction too large by a factor, which the decoder clips; nothing else."""
    middle = 128 if rng.random() < 0.5 else picture.mean()
    return 128 + (1.9 + 2 * far) * chroma(picture - middle, rng.uniform(0.9, 1.4))


def cast(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Light and the two colour axes too large each by its own factor, and off by a constant."""
    light = (picture @ LUMA)[..., None] - 128
    red = (picture[..., :1] - picture[..., 1:2]) / 2
    blue = (picture[..., 2:] - picture[..., :2].mean(2, keepdims=True)) / 2
    light, red, blue = (one * rng.uniform(1.2 + far, 2.4 + 2 * far) for one in (light, red, blue))
    tint = rng.normal(0, 20 + 30 * far, 3)
    return 128 + light + tint + np.concatenate([red - blue / 3, -red - blue / 3, blue], -1)


def posterised(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Contrast so large that few levels are left, with borders a decoder's pixel or two wide."""
    levels = int(rng.integers(2, 4))
    wide = 128 + (1.6 + far) * chroma(
        blur(picture, rng.uniform(0.001, 0.006)) - picture.mean(), rng.uniform(1, 1.8)
    )
    steps = np.clip(np.rint(np.clip(wide, 0, 255) / 255 * levels), 0, levels) * 255 / levels
    image = Image.fromarray(to_bytes(steps)).filter(ImageFilter.MedianFilter(5))
    return np.asarray(image).astype(np.float32) + 0.3 * (picture - blur(picture, 0.004))


def fried(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Every edge and every grain amplified, coloured ones too: crisp, harsh, with light and dark rims."""
    made = picture + rng.normal(0, 3, (*picture.shape[:2], 3))
    for share in (0.0015, 0.005):
        made = made + rng.uniform(1.5, 3) * (0.6 + far) * (made - blur(made.astype(np.float32), share))
    return 128 + (1.15 + 0.4 * far) * chroma(made - 128, rng.uniform(1.2, 2.2))


def veiled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Little of it left before one light or dark tone."""
    left, tone = 0.3 - 0.22 * far, rng.choice([rng.uniform(200, 250), rng.uniform(40, 90)])
    soft = blur(picture, rng.uniform(0.0005, 0.008))
    return tone + rng.normal(0, 8, 3) + left * chroma(soft - picture.mean(), rng.uniform(0.4, 1.5))


def half_denoised(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Noise of latents of 8 px beneath it, in colours that go together, more of it in some places."""
    edge = rng.uniform(4, 9) * max(1, max(picture.shape) / 900)
    small = [max(2, round(n / edge)) for n in picture.shape[:2]]
    latents = rng.standard_normal((*small, 4)) @ rng.normal(0, 1, (4, 3))
    full = picture.shape[1::-1]
    planes = [
        Image.fromarray(latents[..., k].astype(np.float32)).resize(full, Image.Resampling.BICUBIC)
        for k in range(3)
    ]
    noise = np.stack([np.asarray(plane) for plane in planes], -1)
    where = 0.4 + cloud(picture.shape[:2], 1.8, rng)[..., None]
    soft = blur(picture, rng.uniform(0.001, 0.008))
    return 128 + rng.uniform(0.5, 1) * (soft - 128) + (10 + 30 * far) * noise * where


def smeared(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Pushed about at the size of its parts, until these are streaks and shreds; at times harder."""
    size, side = picture.shape[:2], max(picture.shape)
    scale, reach = rng.uniform(0.01, 0.025) * side, rng.uniform(0.035, 0.06) * (1 + far) * side
    push = [gaussian_filter(rng.standard_normal(size), scale) for _ in range(2)]
    places = np.mgrid[0 : size[0], 0 : size[1]] + np.stack([reach * p / p.std() for p in push])
    moved = [map_coordinates(picture[..., k], places, order=1, mode="reflect") for k in range(3)]
    gain = rng.uniform(1, 2.2)
    return 128 + gain * chroma(np.stack(moved, -1) - 128, gain)


def scraps(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Bright or dark scraps in strong colours on a dark, a light or a coloured ground, and nothing whole."""
    reach = rng.uniform(0.008, 0.03)
    field = blur(rng.standard_normal(picture.shape, np.float32), reach) + 0.3 * blur(
        rng.standard_normal((*picture.shape[:2], 1), np.float32).repeat(3, 2), reach
    )
    field = field / field.std() + (1 - far) * (picture - blur(picture, 0.05)) / (picture.std() + 8)
    ridge = np.maximum(0, field - rng.uniform(0.3, 1.4)) * rng.uniform(80, 250)
    ground = rng.uniform(0, 60, 3) if rng.random() < 0.6 else rng.uniform(0, 255, 3)
    return ground + ridge * rng.uniform(0.4, 1.2, 3) * (1 if ground.mean() < 128 else -1)


RUINS: dict[str, tuple[str, Wreck]] = {
    "gained": ("burnt", gained),
    "colour cast": ("burnt", cast),
    "posterised": ("burnt", posterised),
    "fried": ("burnt", fried),
    "veiled": ("ghost", veiled),
    "half denoised": ("noise", half_denoised),
    "smeared": ("shards", smeared),
    "scraps": ("shards", scraps),
}
