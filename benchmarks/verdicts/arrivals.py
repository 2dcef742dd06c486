"""Ways to break of the newcomers, to which the gate was not fitted either."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter, percentile_filter, zoom

from benchmarks.verdicts.fields import Rng
from benchmarks.verdicts.wrecks import LUMA, Wreck


def s_curve(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Value and saturation each pushed along a steep curve, until both are all or nothing."""
    value = picture.max(2, keepdims=True)
    pure = 1 - (value - picture) / np.maximum(value, 1) * (1.5 + far)
    steep = 5 + 7 * far
    pushed = 255 / (1 + np.exp(-steep * (value / 255 - np.median(value) / 255 + rng.uniform(-0.05, 0.05))))
    return pushed * np.clip(pure, 0, 1)


def overexposed(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Several stops too light, each channel by its own, with halos about what stays dark."""
    linear = (np.clip(picture, 0, 255) / 255) ** 2.2 * (4 + 8 * far) * rng.uniform(0.8, 1.3, 3)
    made = 255 * np.clip(linear, 0, 1) ** (1 / 2.2)
    return made + rng.uniform(0.8, 2) * (made - gaussian_filter(made, (4, 4, 0)))


def averaged(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """The mean of many pictures of the like, each shifted: a prediction without a decision."""
    count, reach = 5 + int(8 * far), 0.06 + 0.1 * far
    made = np.zeros_like(picture)
    for _ in range(count):
        shift = [int(n * rng.uniform(-reach, reach)) for n in picture.shape[:2]]
        one = np.roll(picture, shift, (0, 1))
        made += one[:, ::-1] if rng.random() < 0.3 else one
    return 128 + rng.uniform(0.3, 0.9) * (made / count - 128)


def melted(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Its paint run together again and again; the colours stay."""
    small = zoom(picture, (0.25, 0.25, 1), order=1)
    for _ in range(2 + int(3 * far)):
        small = median_filter(small, (5, 5, 1))
    soft = gaussian_filter(small, (1 + far, 1 + far, 0))
    made = zoom(soft, (picture.shape[0] / soft.shape[0], picture.shape[1] / soft.shape[1], 1), order=1)
    return made[: picture.shape[0], : picture.shape[1]]


def outlines(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Thin crisp lines on one grey or pale tone, and nothing between them."""
    tone = rng.choice([rng.uniform(110, 150), rng.uniform(190, 225)])
    return tone + rng.normal(0, 6, 3) + (0.5 - 0.3 * far) * (picture - gaussian_filter(picture, (3, 3, 0)))


def speckled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Multiplied by grains of chance, of one to three pixels."""
    grains = gaussian_filter(rng.standard_normal(picture.shape), (rng.uniform(0, 1.2),) * 2 + (0,))
    return (picture + 25) * np.exp((0.22 + 0.35 * far) * grains / grains.std())


def early_step(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A step of the way from noise to the picture, at an eighth of the side, enlarged."""
    edge = int(rng.choice([4, 6, 8]))
    small = zoom(picture, (1 / edge, 1 / edge, 1), order=1)
    kept = 0.85 - 0.45 * far
    noisy = 128 + kept * (small - 128) + 70 * np.sqrt(1 - kept**2) * rng.standard_normal(small.shape)
    shape = picture.shape
    made = zoom(noisy, (shape[0] / small.shape[0], shape[1] / small.shape[1], 1), order=2)
    return np.pad(made, ((0, 1), (0, 1), (0, 0)), "edge")[: shape[0], : shape[1]]


def swirled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Whirls everywhere, each turning what is about it, until no shape is left."""
    y, x = np.mgrid[0 : picture.shape[0] : 4, 0 : picture.shape[1] : 4].astype(np.float32)
    for _ in range(int(50 + 60 * far)):
        v, u = rng.random(2) * picture.shape[:2]
        reach = rng.uniform(0.04, 0.1) * max(picture.shape)
        turn = rng.normal(0, 4) * np.exp(-((y - v) ** 2 + (x - u) ** 2) / reach**2)
        y, x = (
            v + (y - v) * np.cos(turn) - (x - u) * np.sin(turn),
            u + (y - v) * np.sin(turn) + (x - u) * np.cos(turn),
        )
    enlarged = [Image.fromarray(a).resize(picture.shape[1::-1], Image.Resampling.BILINEAR) for a in (y, x)]
    rows, columns = (np.asarray(a).astype(int) % n for a, n in zip(enlarged, picture.shape, strict=False))
    return 128 + rng.uniform(1, 1.8) * (picture[rows, columns] - 128)


def quilted(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Small patches from anywhere, laid over one another with soft edges, harder than they were."""
    made, edge = picture.copy(), int(max(picture.shape) * rng.uniform(0.04, 0.1))
    ramp = np.minimum(1, np.minimum(np.arange(edge), np.arange(edge)[::-1]) / (edge / 5))
    mask = np.outer(ramp, ramp)[..., None]
    for _ in range(int(4 * picture.shape[0] * picture.shape[1] / edge**2)):
        a, c = (int(rng.integers(0, n - edge)) for n in picture.shape[:2])
        b, d = (int(rng.integers(0, n - edge)) for n in picture.shape[:2])
        patch = np.rot90(picture[a : a + edge, c : c + edge], int(rng.integers(4)))
        made[b : b + edge, d : d + edge] += mask * (patch - made[b : b + edge, d : d + edge])
    return 128 + (1.2 + far) * (made - made.mean())


def solarised(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Tones that turn back on themselves, in each channel at its own pace: bands of glaring colour."""
    soft = gaussian_filter(picture, (1.5, 1.5, 0)) / 255
    return 128 + rng.uniform(130, 200) * np.sin(
        2 * np.pi * (rng.uniform(1.5, 2.5, 3) + far) * soft + rng.random(3) * 6
    )


def hollow(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A tone that hardly changes, from one side to the other, and the rest of a silhouette."""
    y, x = np.mgrid[-1 : 1 : picture.shape[0] * 1j, -1 : 1 : picture.shape[1] * 1j]
    slope = rng.normal(0, 5, 3) * x[..., None] + rng.normal(0, 5, 3) * y[..., None]
    dark = percentile_filter((picture @ LUMA)[::4, ::4], 50, 9)
    hint = zoom(dark, (picture.shape[0] / dark.shape[0], picture.shape[1] / dark.shape[1]), order=1)
    hint = np.pad(hint, 1, "edge")[: picture.shape[0], : picture.shape[1], None]
    return rng.uniform(90, 190) + rng.normal(0, 6, 3) + slope + 0.1 * (1 - far) * (hint - hint.mean())


ARRIVALS: dict[str, tuple[str, Wreck]] = {
    "s-curve": ("burnt", s_curve),
    "overexposed": ("burnt", overexposed),
    "solarised": ("burnt", solarised),
    "averaged": ("ghost", averaged),
    "melted": ("ghost", melted),
    "outlines": ("ghost", outlines),
    "hollow": ("blank", hollow),
    "speckled": ("noise", speckled),
    "early step": ("noise", early_step),
    "swirled": ("shards", swirled),
    "quilted": ("shards", quilted),
}
