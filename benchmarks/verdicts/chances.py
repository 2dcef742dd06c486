"""Ways to break by chance: bands of frequency, warps, patches, noise, curves, colours, half-drawn states.

Each draws not only how far it goes but what it does, so that hardly two pictures are broken alike.
"""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.verdicts.cells import CELLS
from benchmarks.verdicts.fates import resized
from benchmarks.verdicts.fields import Rng, cloud
from benchmarks.verdicts.wrecks import LUMA, Wreck


def _radius(shape: tuple[int, ...]) -> np.ndarray:
    """Cycles a pixel of each coefficient of a real transform."""
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))


def _curve(at: np.ndarray, rng: Rng, deviation: float) -> np.ndarray:
    """A curve by chance over the octaves of frequencies, of about this deviation."""
    octaves = np.clip(-np.log2(np.maximum(at, 1e-4)), 1, 8)
    return np.interp(octaves, np.arange(1, 9), rng.normal(0, deviation, 8))


def _filtered(picture: np.ndarray, response: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) whose coefficients are multiplied by these, of all colours or of each."""
    spectrum = np.fft.rfft2(picture, axes=(0, 1)) * response
    return np.fft.irfft2(spectrum, picture.shape[:2], axes=(0, 1)).astype(picture.dtype)


def _masked(picture: np.ndarray, made: np.ndarray, rng: Rng) -> np.ndarray:
    """In one of three, parts stay whole: up to a half."""
    if rng.random() > 1 / 3:
        return made
    where = np.clip(5 * (cloud(picture.shape[:2], 2, rng) - rng.uniform(0.1, 0.45)), 0, 1)[..., None]
    return picture + where * (made - picture)


def _noise(shape: tuple[int, ...], rng: Rng) -> np.ndarray:
    """Noise of deviation 1 whose spectrum and whose colours are chance's."""
    at = _radius(shape)
    peak, width = 2 ** rng.uniform(-6, -1.2), rng.uniform(0.4, 1.6)
    size = np.exp(-((np.log2(np.maximum(at, 1e-4) / peak) / width) ** 2)) * np.exp(_curve(at, rng, 0.5))
    size[0, 0] = 0
    field = _filtered(rng.standard_normal(shape), size[..., None])
    field = field @ (np.eye(3) * rng.uniform(0, 1) + rng.normal(0, 0.6, (3, 3)))
    return field / (field.std() + 1e-6)


def _field(shape: tuple[int, ...], reach: float, rng: Rng) -> np.ndarray:
    """Two fields (2, H, W) of deviation 1 that change over about so many pixels."""
    small = [max(4, round(1.2 * n / reach) + 2) for n in shape[:2]]
    grid = rng.standard_normal((2, *small)).astype(np.float32)
    wide = [np.asarray(Image.fromarray(g).resize(shape[1::-1], Image.Resampling.BICUBIC)) for g in grid]
    return np.stack([w / (w.std() + 1e-6) for w in wide])


def out_of_tune(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Octaves of frequency amplified or damped, each by a factor of chance, in each colour by its own."""
    at = _radius(picture.shape)
    shared = _curve(at, rng, 1 + 0.5 * far)
    own = [_curve(at, rng, rng.choice([0, 0.5])) + rng.uniform(-0.4, 0.5) for _ in range(3)]
    gains = np.exp(shared[..., None] + np.stack(own, -1))
    gains[0, 0] = 1
    return _filtered(picture, gains)


def dephased(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A band of frequencies whose phases are lost, so that its waves lie anywhere."""
    at = _radius(picture.shape)
    low = 2 ** rng.uniform(-7.5, -4.5)
    inside = ((at > low) & (at < low * 2 ** rng.uniform(2, 5))) * rng.uniform(0.6 + 0.4 * far, 1)
    turns = [rng.random(at.shape)]
    if rng.random() < 0.4:  # each colour by turns of its own
        turns = [rng.random(at.shape) for _ in range(3)]
    made = _filtered(picture, np.exp(2j * np.pi * np.stack(turns, -1) * inside[..., None]))
    mean = picture.mean(axis=(0, 1))
    return _masked(picture, mean + rng.uniform(1, 1.8) * (made - mean), rng)


def _moved(picture: np.ndarray, push: np.ndarray) -> np.ndarray:
    places = np.indices(picture.shape[:2]) + push
    return np.stack(
        [map_coordinates(picture[..., k], places, order=1, mode="mirror") for k in range(picture.shape[2])],
        -1,
    )


def warped(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Pushed about by fields of several sizes at once, so far that it lies in folds."""
    push, side = np.zeros((2, *picture.shape[:2])), max(picture.shape)
    for _ in range(int(rng.integers(1, 4))):
        reach = side * 2 ** rng.uniform(-7.5, -4.5)
        push += _field(picture.shape, reach, rng) * reach * rng.uniform(1.3, 2) * (1 + 1.5 * far)
    return _masked(picture, _moved(picture, push), rng)


def slipped(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Rows, columns or both slipped along by steps that wander and leap."""
    push = np.zeros((2, *picture.shape[:2]))
    for axis in ((0,), (1,), (0, 1))[rng.integers(3)]:
        length = picture.shape[axis]
        leaps = rng.normal(0, 1, length) * (rng.random(length) < rng.uniform(0.03, 0.4))
        walk = np.cumsum(leaps) - np.linspace(0, leaps.sum(), length)
        walk += rng.normal(0, rng.choice([0, 0.1]) * walk.std(), length)
        walk *= (0.05 + 0.07 * far) * max(picture.shape) / (walk.std() + 1e-6)
        push[1 - axis] += walk[:, None] if axis == 0 else walk
    return _moved(picture, push)


def apart(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Colours that no longer lie over one another: each channel of chance pushed by a field of its own."""
    axes = np.linalg.qr(rng.standard_normal((3, 3)))[0] if rng.random() < 0.6 else np.eye(3)
    planes, side = (picture - 128) @ axes, max(picture.shape)
    made = planes.copy()
    for k in range(3):
        reach = side * rng.uniform(0.03, 0.25)
        far_off = side * (0.025 + 0.06 * far) * rng.uniform(0.8, 1.5)
        push = far_off * (_field(picture.shape, reach, rng) + rng.standard_normal((2, 1, 1)))
        made[..., k] = _moved(planes[..., k : k + 1], push)[..., 0]
    return 128 + rng.uniform(1, 1.5) * made @ axes.T


def repeated(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A few patches of it again and again, over most of it or all, turned, tinted, soft or hard."""
    edge = int(max(picture.shape[:2]) * rng.uniform(0.05, 0.16))
    count, made = int(rng.integers(1, 6)), picture.copy()
    corners = [[int(rng.integers(0, n - edge)) for n in picture.shape[:2]] for _ in range(count)]
    ramp = np.clip(
        np.minimum(np.arange(edge) + 1, np.arange(edge)[::-1] + 1) / rng.uniform(1, edge / 3), 0, 1
    )
    soft, turned = np.outer(ramp, ramp)[..., None], rng.random() < 0.5
    for _ in range(int((1 + 3 * far) * picture[..., 0].size / edge**2)):
        a, c = corners[rng.integers(count)]
        patch = np.rot90(picture[a : a + edge, c : c + edge], rng.integers(4) if turned else 0)
        b, d = (int(rng.integers(0, n - edge + 1)) for n in picture.shape[:2])
        here = made[b : b + edge, d : d + edge]
        here += soft * (patch + rng.normal(0, 12, 3) - here)
    return made


def tiled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Tiles of chance sides dealt out anew, all or most of them, each turned over, lighter or darker."""
    made, size = picture.copy(), picture.shape[:2]
    tile = [max(6, int(max(size) / rng.uniform(7, 14 + 16 * far))) for _ in range(2)]
    places = [
        (y, x)
        for y in range(0, size[0] - tile[0] + 1, tile[0])
        for x in range(0, size[1] - tile[1] + 1, tile[1])
    ]
    moving = [places[n] for n in rng.permutation(len(places))[: int(len(places) * rng.uniform(0.6, 1))]]
    for (y, x), n in zip(moving, rng.permutation(len(moving)), strict=True):
        piece = picture[moving[n][0] : moving[n][0] + tile[0], moving[n][1] : moving[n][1] + tile[1]]
        piece = piece[:: rng.choice([1, -1]), :: rng.choice([1, -1])]
        made[y : y + tile[0], x : x + tile[1]] = piece + rng.normal(0, 10)
    return made


def grained(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Noise of a spectrum and of colours of chance, added or multiplied, more in some places."""
    noise = _noise(picture.shape, rng)
    where = 1.0 if rng.random() < 0.5 else 2 * cloud(picture.shape[:2], rng.uniform(1.2, 2.2), rng)[..., None]
    if rng.random() < 0.3:
        return (picture + 20) * np.exp((0.45 + 0.5 * far) * where * noise)
    return rng.uniform(0.5, 1) * (picture - 128) + 128 + (34 + 44 * far) * where * noise


def bent(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A curve by chance in each channel: steep over few of its values, the rest cut off on either side."""
    made, share = np.empty_like(picture), rng.uniform(0.55, 0.7) + 0.25 * far  # of the values, cut off
    for k in range(3):
        above = rng.random()
        low, high = np.quantile(picture[..., k], (share * (1 - above), 1 - share * above))
        points = np.linspace(low, max(high, low + 12), 4)
        made[..., k] = np.interp(picture[..., k], points, [0, *np.sort(rng.uniform(0, 255, 2)), 255])
    reach = rng.uniform(1, 6)
    return made + rng.uniform(0.5, 2) * (picture - gaussian_filter(picture, (reach, reach, 0)))


def drowned(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """All tones within a narrow range, by a curve of chance, in a tint, at times in blotches or softened."""
    reach = rng.uniform(0, 3)
    luma = gaussian_filter(picture, (reach, reach, 0))
    bends = np.sort(rng.uniform(0, 255, 5))
    made = np.interp(luma, np.linspace(0, 255, 5), bends)
    made = (made - made.mean()) / (made.std() + 4)
    depth = (24 - 16 * far) * rng.uniform(0.5, 1, 3)
    ground = rng.uniform(15, 240) + rng.normal(0, 12, 3)
    blotches = rng.choice([0, 14]) * (cloud(picture.shape[:2], 2, rng)[..., None] - 0.5)
    return ground + depth * np.clip(made, -2, 2) + blotches


def half_drawn(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """What is decided of each frequency falls off from one on; beyond it the noise is left, or nothing."""
    at = _radius(picture.shape)
    edge = 2 ** rng.uniform(-6, -4.7) / (1 + 1.5 * far)
    kept = 1 / (1 + (at / edge) ** rng.uniform(1.5, 4))
    noise = _noise(picture.shape, rng) * rng.choice([0, rng.uniform(10, 45)])
    mean, contrast = picture.mean(axis=(0, 1)), rng.uniform(0.5, 1.1)
    return mean + contrast * (_filtered(picture, kept[..., None]) - mean) + noise


def part_drawn(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Finished in some places; in most others noise, a blur or a tone, with a border that wanders."""
    reach = max(picture.shape) * rng.uniform(0.01, 0.05)
    tone = rng.uniform(60, 200) + rng.normal(0, 15, 3)
    soft = gaussian_filter(picture, (reach, reach, 0))
    under = tone + rng.uniform(0, 0.9) * (soft - tone) + rng.choice([0, 25, 50]) * _noise(picture.shape, rng)
    field = cloud(picture.shape[:2], rng.uniform(1.4, 2.2), rng)
    level = np.quantile(field, 0.45 + 0.4 * far)
    return under + np.clip((field - level) * rng.uniform(3, 30), 0, 1)[..., None] * (picture - under)


def recoloured(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Its light with the colours of other places and sizes, too strong, running over the outlines."""
    luma = (picture @ LUMA)[..., None]
    small = tuple(max(4, int(n / rng.uniform(8, 40))) for n in picture.shape[:2])
    hues = resized(picture - luma, small, Image.Resampling.BOX)
    hues = np.roll(hues, [int(n * rng.uniform(0.2, 0.8)) for n in small], (0, 1))[:, ::-1]
    hues = hues + (12 + 30 * far) * rng.standard_normal((*small, 3)) @ rng.normal(0, 0.6, (3, 3))
    wide = resized(hues, picture.shape[:2], Image.Resampling.BICUBIC)
    strength = (45 + 40 * far) / (wide.std() + 8)
    return luma + max(1.0, strength) * (wide - (wide @ LUMA)[..., None])


CHANCES: dict[str, tuple[str, Wreck]] = CELLS | {
    "out of tune": ("shards", out_of_tune),
    "dephased": ("shards", dephased),
    "warped": ("shards", warped),
    "slipped": ("shards", slipped),
    "apart": ("shards", apart),
    "repeated": ("shards", repeated),
    "tiled": ("shards", tiled),
    "grained": ("noise", grained),
    "bent": ("burnt", bent),
    "drowned": ("ghost", drowned),
    "half drawn": ("ghost", half_drawn),
    "part drawn": ("ghost", part_drawn),
    "recoloured": ("shards", recoloured),
}
