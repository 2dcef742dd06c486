"""Ways to break of the visitors: latents scaled, rounded, left undone or put in the wrong place, and decoded.

A latent here is what a picture is at an eighth of its side; the rest of the picture is the decoder's.
They were written before any gate was asked about them.
"""

import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter

from benchmarks.verdicts.fields import Rng
from benchmarks.verdicts.wrecks import LUMA, Wreck

STRIDE = 8  # pixels of a latent
OPPONENT = np.array([[0.299, 0.587, 0.114], [0.5, -0.419, -0.081], [-0.169, -0.331, 0.5]])  # of JPEG: YCbCr


def _sized(planes: np.ndarray, size: tuple[int, ...], way: Image.Resampling) -> np.ndarray:
    images = [
        Image.fromarray(np.ascontiguousarray(planes[..., k], np.float32)) for k in range(planes.shape[2])
    ]
    return np.stack([np.asarray(image.resize(size[1::-1], way)) for image in images], -1)


def _latents(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light and two colours about 0 at an eighth of the side, and what the decoder adds to them."""
    small = tuple(max(6, round(n / STRIDE)) for n in picture.shape[:2])
    planes = (picture - 128) @ OPPONENT.T
    low = _sized(planes, small, Image.Resampling.BOX)
    return low, planes - _sized(low, picture.shape, Image.Resampling.BICUBIC)


def _decoded(low: np.ndarray, rest: np.ndarray) -> np.ndarray:
    planes = _sized(low, rest.shape, Image.Resampling.BICUBIC) + rest
    return 128 + planes @ np.linalg.inv(OPPONENT).T


def overscaled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Latents times a factor about their own median, each by its own; the decoder saturates."""
    low, rest = _latents(picture)
    gain = rng.uniform(2.0, 2.8, 3) + 2 * far
    made = _decoded(
        gain * (low - np.median(low, axis=(0, 1))) + rng.normal(0, 12, 3), rng.uniform(1, 2.2) * rest
    )
    return 128 + 140 * np.tanh((made - 128) / 110)


def overguided(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """At each of ten steps away from a blurred copy, clipped as x0 is, until shapes are flat and glaring."""
    low, rest = _latents(picture)
    for _ in range(10):
        reach = rng.uniform(1, 6)
        low = np.clip(
            low + (0.16 + 0.2 * far) * (low - 0.4 * gaussian_filter(low, (reach, reach, 0))), -150, 150
        )
        rest = np.clip(1.12 * rest, -90, 90)
    return _decoded(low * (1.1, 1.3, 1.3), rest)


def inked(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Black and white flats with blots of neon where shapes were: far beyond burnt."""
    low, rest = _latents(picture)
    light = gaussian_filter(low[..., 0], 0.6 + far) + rng.normal(0, 6) + 18 * gaussian_filter(
        rng.standard_normal(low.shape[:2]), 3
    )  # fmt: skip
    flats = np.where(light[..., None] < np.quantile(light, rng.uniform(0.25, 0.5)), -150.0, 140.0)
    hue = median_filter(low[..., 1:], (5, 5, 1))
    hue -= np.median(hue, axis=(0, 1))
    vivid = np.hypot(hue[..., 0], hue[..., 1])
    inside = (vivid > np.quantile(vivid, rng.uniform(0.7, 0.88)))[..., None]
    neon = hue / (vivid[..., None] + 3) * rng.uniform(110, 170)
    blots = np.concatenate([np.full_like(neon[..., :1], rng.uniform(-40, 60)), neon], -1)
    made = np.where(inside, blots, np.concatenate([flats, 0 * neon], -1))
    return _decoded(made, rng.uniform(0, 0.5) * rest)


def drained(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Latents drawn to nothing and the decoder's details with them: a film of grey with a hint of it."""
    low, rest = _latents(picture)
    left = 0.26 - 0.2 * far
    weave = np.indices(picture.shape[:2]).sum(0) % STRIDE < STRIDE / 2
    grey = rng.normal((10, 2, 2), (22, 4, 4)) + rng.normal(0, 2, low.shape)
    made = _decoded(grey + left * (low - low.mean(axis=(0, 1))) * (1, 0.6, 0.6), 0.5 * left * rest)
    return made + rng.uniform(0, 1.5) * weave[..., None]


def stopped_early(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Only the strongest waves of overlapping windows decided: soft stains where things were to be."""
    edge = 32
    pad = [(edge, edge - n % edge + edge) for n in picture.shape[:2]]
    made = np.zeros((picture.shape[0] + sum(pad[0]), picture.shape[1] + sum(pad[1]), 3))
    whole = np.pad(picture, [*pad, (0, 0)], "reflect")
    for down, across in ((0, 0), (16, 0), (0, 16), (16, 16)):
        part = np.roll(whole, (-down, -across), (0, 1))
        blocks = part.reshape(part.shape[0] // edge, edge, -1, edge, 3)
        waves = dctn(blocks, axes=(1, 3), norm="ortho")
        size = np.abs(waves)
        size[:, 3:], size[:, :, :, 3:] = 0, 0
        least = np.quantile(size[:, :3, :, :3], 0.35 + 0.3 * far, axis=(1, 3), keepdims=True)
        blocks = idctn(np.where(size > least, waves, 0), axes=(1, 3), norm="ortho")
        made += np.roll(blocks.reshape(part.shape), (down, across), (0, 1)) / 4
    return made[edge : edge + picture.shape[0], edge : edge + picture.shape[1]]


def noise_left(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """The last steps left out: grain of one band of sizes, more of it where the picture is light."""
    fine = rng.uniform(0.6, 2.2)
    white = rng.standard_normal((*picture.shape[:2], 3)) @ np.linalg.inv(OPPONENT).T * (1, 0.8, 0.8)
    grain = gaussian_filter(white, (fine, fine, 0)) - gaussian_filter(white, (3 * fine, 3 * fine, 0))
    light = 0.5 + np.clip(picture @ LUMA, 0, 255)[..., None] / 255
    return picture + (20 + 35 * far) * light * grain / grain.std()


def rounded(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Latents in a format of too few bits, each cell off by chance, decoded cell by cell."""
    low, rest = _latents(picture)
    step = 40 + 50 * far
    cells = step * np.rint(low / step + rng.uniform(-0.5, 0.5, low.shape))
    wide = _sized(
        cells, rest.shape, Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR
    )
    return 128 + (wide + rest) @ np.linalg.inv(OPPONENT).T


def displaced(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Groups of latents exchanged with others near by, the decoder's details staying: nothing fits."""
    low, rest = _latents(picture)
    edge = int(rng.integers(2, 5))
    rows, columns = np.indices(low.shape[:2])
    cells = tuple(-(-n // edge) for n in low.shape[:2])
    reach = (0.12 + 0.2 * far) * max(low.shape)
    for plane in (rows, columns):
        plane += rng.normal(0, reach, cells).round().astype(int).repeat(edge, 0).repeat(edge, 1)[
            : low.shape[0], : low.shape[1]
        ]  # fmt: skip
    moved = low[rows % low.shape[0], columns % low.shape[1]]
    return 128 + rng.uniform(1, 1.6) * (_decoded(moved, rng.uniform(0.3, 1.2) * rest) - 128)


def flowed(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Carried along by its own outlines again and again, and sharpened after: strings of paint."""
    y, x = np.indices(picture.shape[:2]).astype(np.float32)
    side, light = max(picture.shape), (picture @ LUMA).astype(np.float32)
    wide = gaussian_filter(light + 25 * rng.standard_normal(light.shape), rng.uniform(0.008, 0.02) * side)
    down, across = np.gradient(wide)
    length = np.hypot(down, across) + 0.3 * np.hypot(down, across).mean() + 1e-6
    turn = rng.choice([-1, 1])
    for _ in range(7):
        step = (0.02 + 0.025 * far) * side
        at = [np.clip(y, 0, y.shape[0] - 1), np.clip(x, 0, x.shape[1] - 1)]
        v, u = (map_coordinates(p / length, at, order=1) for p in (across, down))
        y, x = y + turn * step * v, x - turn * step * u
    made = np.stack([map_coordinates(picture[..., k], (y, x), order=1, mode="reflect") for k in range(3)], -1)
    return made + rng.uniform(0.5, 2) * (made - gaussian_filter(made, (2, 2, 0)))


def crossed(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """The masses of one picture and the details of another, amplified: skips that do not belong to it."""
    reach = 0.012 * max(picture.shape) * (1 + far)
    other = (
        picture[::-1, ::-1].transpose(1, 0, 2)
        if rng.random() < 0.5
        else np.roll(picture, 97, (0, 1))[:, ::-1]
    )
    other = _sized(other, picture.shape, Image.Resampling.BILINEAR)
    masses = gaussian_filter(picture, (reach, reach, 0))
    return masses + rng.uniform(1.8, 3) * (other - gaussian_filter(other, (reach, reach, 0)))


HARMS: dict[str, tuple[str, Wreck]] = {
    "overscaled": ("burnt", overscaled),
    "overguided": ("burnt", overguided),
    "inked": ("burnt", inked),
    "drained": ("ghost", drained),
    "stopped early": ("ghost", stopped_early),
    "noise left": ("noise", noise_left),
    "rounded": ("noise", rounded),
    "displaced": ("shards", displaced),
    "flowed": ("shards", flowed),
    "crossed": ("shards", crossed),
}
