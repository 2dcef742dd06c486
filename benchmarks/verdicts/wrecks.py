"""Sound pictures broken as merges of epsilon and v-prediction models break them, by degrees.

A low ratio leaves grey or a pale, soft ghost; a high one clips, posterises and rims everything with light,
and further on only flat shards or texture are left. The models of these are arithmetic on the picture: what
is over-amplified at every step of denoising is amplified and smoothed in turns.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from benchmarks.verdicts.fields import Rng, cloud
from tests.helpers.pictures import to_bytes

Wreck = Callable[[np.ndarray, float, Rng], np.ndarray]  # (float (H, W, 3), how far 0 to 1, rng) -> the same
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def blur(picture: np.ndarray, share: float) -> np.ndarray:
    """Blurred by a share of the side; wide blurs are made on a reduced copy, which looks the same."""
    reach = share * (picture.shape[0] * picture.shape[1]) ** 0.5
    step = int(max(1, reach // 3))
    if step == 1:
        return gaussian_filter(picture, (reach, reach, 0))
    image = [Image.fromarray(picture[..., k]) for k in range(3)]
    small = max(1, picture.shape[1] // step), max(1, picture.shape[0] // step)
    planes = [np.asarray(i.resize(small, Image.Resampling.BOX)) for i in image]
    soft = [gaussian_filter(p, reach / step) for p in planes]
    full = picture.shape[1::-1]
    return np.stack([np.asarray(Image.fromarray(p).resize(full, Image.Resampling.BICUBIC)) for p in soft], -1)


def chroma(picture: np.ndarray, gain: float) -> np.ndarray:
    luma = (picture @ LUMA)[..., None]
    return luma + gain * (picture - luma)


def _grey(rng: Rng) -> np.ndarray:
    return (rng.uniform(95, 160) + rng.normal(0, 5, 3)).astype(np.float32)


def _resting(shape: tuple[int, ...], rng: Rng, levels: float) -> np.ndarray:
    """The blotches and the weave that a decoder makes of nothing."""
    size = shape[:2]
    blotches = np.stack([cloud(size, 2, rng) - 0.5 for _ in range(3)], -1)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / 8
    weave = (np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y))[..., None] * rng.uniform(0, 0.3)
    return (levels * (blotches + weave)).astype(np.float32)


def blank(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    left = 0.04 * (1 - far)
    return _grey(rng) + left * (blur(picture, 0.01) - 128) + _resting(picture.shape, rng, rng.uniform(2, 22))


def pale_soft(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    left = 0.42 - 0.32 * far
    soft = blur(picture, rng.uniform(0.002, 0.015))
    return (
        _grey(rng)
        + left * chroma(soft - picture.mean(), rng.uniform(0.3, 1))
        + _resting(picture.shape, rng, 8)
    )


def pale_crisp(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    left = 0.36 - 0.28 * far
    return _grey(rng) + left * chroma(picture - picture.mean(), rng.uniform(0.2, 1.2))


def vanished(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Some faint part of it on grey: the rest was never drawn."""
    inside = np.clip(3 * (cloud(picture.shape[:2], 2.5, rng) - 0.55 - 0.2 * far), 0, 1)[..., None]
    soft = blur(picture, rng.uniform(0.002, 0.01))
    return _grey(rng) * (1 - 0.55 * inside) + 0.55 * inside * soft + _resting(picture.shape, rng, 5)


def blurred(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    return blur(picture, 0.008 * 4**far)


def undercooked(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Colours in place, outlines melted: blurred here and there, paint pushed about."""
    small = max(24, round(110 - 70 * far))
    image = Image.fromarray(to_bytes(picture)).resize((small, small), Image.Resampling.BOX)
    flat = image.filter(ImageFilter.MedianFilter(3))
    melted = np.asarray(flat.resize(picture.shape[1::-1], Image.Resampling.BICUBIC))
    return chroma(melted.astype(np.float32), rng.uniform(0.7, 1.4)) + _resting(picture.shape, rng, 6)


def burnt(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Contrast and colours pushed to the ends, with rims."""
    gain = 2.2 + 3 * far
    middle = np.quantile(picture @ LUMA, rng.uniform(0.35, 0.65))
    sharp = picture + rng.uniform(0.3, 1.5) * (picture - blur(picture, rng.uniform(0.002, 0.008)))
    return 128 + gain * chroma(sharp - middle, rng.uniform(1, 2))


def overcooked(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Amplified and smoothed in turns, as too high a guidance does: hard, garish, posterised."""
    made = picture + rng.uniform(-40, 30)
    for _ in range(3 + int(4 * far)):
        base = blur(made, rng.uniform(0.004, 0.02))
        made = np.clip(128 + rng.uniform(1.25, 1.5) * chroma(made + 0.6 * (made - base) - 128, 1.15), 0, 255)
        smoothed = Image.fromarray(made.astype(np.uint8)).filter(ImageFilter.MedianFilter(3))
        made = np.asarray(smoothed).astype(np.float32)
    return made


def blown_out(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Most of it white, with coloured rims left of the outlines."""
    edges = chroma(picture - blur(picture, rng.uniform(0.004, 0.02)), rng.uniform(2, 4))
    lifted = picture.mean() + 0.7 * (picture - picture.mean()) + 110 + 90 * far
    rim = (blur(abs(edges), 0.003) - 10) * rng.uniform(-1, 1, 3).astype(np.float32) * 2.5
    return lifted + edges * rng.uniform(1, 2.5) + rim


def fine_noise(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    level = 14 * 4**far * max(1, max(picture.shape) / 1024)
    grey = rng.random() < 0.3
    white = rng.standard_normal((*picture.shape[:2], 1 if grey else 3), np.float32)
    return picture + level * white


def coarse_noise(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Of latents that were not denoised: coloured grains of some pixels."""
    grain = float(rng.choice([3, 4, 6, 8, 12])) * max(1, max(picture.shape) / 1024)
    small = [max(2, round(n / grain)) for n in picture.shape[:2]]
    white = rng.normal(0, 1, (3, *small)).astype(np.float32)
    full = picture.shape[1::-1]
    enlarged = np.stack([Image.fromarray(p).resize(full, Image.Resampling.BILINEAR) for p in white], -1)
    return rng.uniform(0.5, 1) * (picture - 128) + 128 + 16 * 4.5**far * enlarged


def static(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Nothing but noise, or nearly so."""
    left = 0.35 * (1 - far)
    return coarse_noise(left * (picture - 128) + 128, 1, rng) if rng.random() < 0.5 else (
        left * picture + (1 - left) * rng.uniform(0, 255, picture.shape)
    )  # fmt: skip


def shards(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Its patches, anywhere: texture everywhere and no large shape."""
    rows = int(rng.integers(8, 14) + 14 * far)
    edge = max(6, round((picture.shape[0] * picture.shape[1]) ** 0.5 / rows))
    down, across = picture.shape[0] // edge, picture.shape[1] // edge
    whole = picture[: down * edge, : across * edge]
    patches = whole.reshape(down, edge, across, edge, 3).swapaxes(1, 2).reshape(-1, edge, edge, 3)
    busy = patches[np.argsort(-patches.std(axis=(1, 2, 3)))[: max(8, len(patches) // 3)]]
    chosen = busy[rng.integers(0, len(busy), down * across)].copy()
    for k, turn in enumerate(rng.integers(0, 4, len(chosen))):
        chosen[k] = np.rot90(chosen[k], turn)
    made = chosen.reshape(down, across, edge, edge, 3).swapaxes(1, 2).reshape(down * edge, across * edge, 3)
    made = gaussian_filter(made, (edge / 20, edge / 20, 0))
    gain = rng.uniform(1.0, 2.5)
    return 128 + gain * chroma(made - made.mean(), rng.uniform(0.8, 1.8))


def fragments(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Pieces with straight edges, each from elsewhere: lines and shapes are there, but nothing whole."""
    size = picture.shape[:2]
    pieces = int(100 * 8**far)
    seeds = rng.random((pieces, 2)) * size
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    near = cKDTree(seeds).query(np.stack([y, x], -1), workers=1)[1]
    reach = max(size) * rng.uniform(0.15, 0.5)
    shift = rng.uniform(-reach, reach, (pieces, 2)).round().astype(int)
    made = picture[(y + shift[near, 0]) % size[0], (x + shift[near, 1]) % size[1]]
    gain = rng.uniform(1, 2) if rng.random() < 0.5 else 1.0
    return 128 + gain * chroma(made - 128, gain)


def texture(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Hard-edged scraps of one size everywhere, coloured or white with marks."""
    size, reach = picture.shape[:2], rng.uniform(0.004, 0.018)
    hint = (picture - blur(picture, 3 * reach)) * (1 - far)
    white = 40 * rng.standard_normal(picture.shape, np.float32)
    if rng.random() < 0.5:
        white = white.mean(axis=2, keepdims=True) * 1.7 + 0.4 * white
    field = blur(white, reach) + 0.02 * hint
    field = (field - field.mean()) / (field.std() + 1e-6)
    bias = rng.uniform(-1.2, 1.2) + rng.normal(0, 0.3, 3).astype(np.float32)
    made = 128 + rng.uniform(60, 220) * (field + bias)
    return made + 20 * (cloud(size, 0.6, rng)[..., None] - 0.5)


def posterised_blobs(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Flat blobs of black, white and pure colours where the shapes were."""
    soft = blur(picture, rng.uniform(0.006, 0.02))
    wander = np.stack([cloud(picture.shape[:2], 1.8, rng) - 0.5 for _ in range(3)], -1) * (60 + 120 * far)
    local = soft - blur(picture, rng.uniform(0.08, 0.2)) + wander * np.float32(rng.uniform(0.3, 1))
    made = 128 + rng.uniform(6, 14) * chroma(local, rng.uniform(0.8, 2)) + rng.uniform(-100, 150)
    streaks = 60 * rng.standard_normal(picture.shape[:2], np.float32)
    grain = gaussian_filter(streaks, (0.7, 3))[..., None]
    return np.clip(made, 0, 255) + grain * rng.uniform(0, 0.6) + rng.uniform(0, 1) * (picture - soft)


WRECKS: dict[str, tuple[str, Wreck]] = {
    "blank": ("blank", blank),
    "pale, soft": ("ghost", pale_soft),
    "pale, crisp": ("ghost", pale_crisp),
    "vanished": ("ghost", vanished),
    "blurred": ("ghost", blurred),
    "undercooked": ("ghost", undercooked),
    "burnt": ("burnt", burnt),
    "overcooked": ("burnt", overcooked),
    "blown out": ("burnt", blown_out),
    "fine noise": ("noise", fine_noise),
    "coarse noise": ("noise", coarse_noise),
    "static": ("noise", static),
    "shards": ("shards", shards),
    "fragments": ("shards", fragments),
    "texture": ("shards", texture),
    "blobs": ("shards", posterised_blobs),
}


def wrecked(picture: np.ndarray, wreck: Wreck, kind: str, far: float, seed: int) -> np.ndarray:
    """One picture broken in one way; `far` is from 0, just broken, to 1."""
    rng = np.random.default_rng([seed, *kind.encode()])
    return to_bytes(wreck(picture.astype(np.float32), far, rng))
