"""Ways to break by chance at the scale of latents: chains of steps on a picture in cells of some pixels.

The channels are mixtures of the colours by chance, as a latent's are. What the cells do not hold is the
decoder's, and stays or grows. The first step names the way; up to two more follow by chance.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from benchmarks.verdicts.fates import resized
from benchmarks.verdicts.fields import Rng, cloud
from benchmarks.verdicts.wrecks import Wreck

Step = Callable[[np.ndarray, float, Rng], np.ndarray]  # (cells (h, w, 3) about 0, how far 0 to 1, rng)
MOST_STEPS = 3
STRIDES = (5, 6, 8, 8, 8, 10, 12)  # pixels a cell


def chained(first: Step) -> Wreck:
    """Return the way to break that begins with this step."""

    def way(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
        axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        planes = (picture - picture.mean(axis=(0, 1))) @ axes
        stride = int(rng.choice(STRIDES))
        small = tuple(max(8, round(n / stride)) for n in picture.shape[:2])
        cells = resized(planes, small, Image.Resampling.BOX)
        enlarge = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR)[rng.integers(2)]
        rest = planes - resized(cells, picture.shape[:2], enlarge)
        made = first(cells, far, rng)
        for number in rng.permutation(len(STEPS))[: rng.integers(MOST_STEPS)]:
            made = STEPS[number](made, 0.5 * far * rng.random(), rng)
        if rng.random() < 0.3:  # in some places it is whole
            where = np.clip(4 * (cloud(small, 2, rng) - rng.uniform(0.1, 0.35)), 0, 1)[..., None]
            made = cells + where * (made - cells)
        whole = resized(made, picture.shape[:2], enlarge) + rng.uniform(0.3, 1.6) * rest
        return picture.mean(axis=(0, 1)) + whole @ axes.T

    way.__doc__ = first.__doc__
    return way


def scaled(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Each channel times a factor about what is near it or its mean; one at times the other way round."""
    reach = rng.choice([0, rng.uniform(2, 12)])
    middle = gaussian_filter(cells, (reach, reach, 0)) if reach else cells.mean(axis=(0, 1))
    gains = rng.uniform(2.2, 3.4, 3) + 2 * far
    gains[rng.integers(3)] *= rng.choice([-1, 0.2, 1])
    return middle + gains * (cells - middle)


def quantised(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Few levels a channel, which lie where chance put them; a cell at times takes the next one."""
    levels = rng.integers(2, 5, 3)
    made = cells + (6 + 14 * far) * rng.standard_normal(cells.shape)
    for k, count in enumerate(levels):
        at = np.sort(rng.uniform(-1, 1, count)) * (2 + far) * max(20, cells[..., k].std())
        made[..., k] = at[np.abs(made[..., k, None] - at).argmin(-1)]
    return made


def limited(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Cut off where most of each channel lies, from one side or both, and driven apart."""
    low = np.quantile(cells, rng.uniform(0.25, 0.45), axis=(0, 1))
    high = np.quantile(cells, 1 - rng.uniform(0.25, 0.45), axis=(0, 1))
    width = (high - low) / 2 + 6
    return rng.uniform(90, 130) * (1 + far) * np.clip((cells - (low + high) / 2) / width, -1, 1) ** 3


def strewn(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Each channel's cells from others about them, each by a leap of its own."""
    reach = rng.uniform(1.2, 3) * (1 + 2 * far)
    made = np.empty_like(cells)
    together = rng.random() < 0.6
    leaps = rng.normal(0, reach, (2, *cells.shape)).round().astype(int)
    for k in range(3):
        rows, columns = np.indices(cells.shape[:2]) + leaps[..., 0 if together else k]
        made[..., k] = cells[rows % cells.shape[0], columns % cells.shape[1], k]
    return made


def rolled(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Channels that no longer lie over one another: each rolled, turned over, or both."""
    made = cells.copy()
    for k in rng.permutation(3)[: rng.integers(2, 4)]:
        shift = [int(rng.choice([-1, 1]) * n * rng.uniform(0.06, 0.15 + 0.35 * far)) for n in cells.shape[:2]]
        made[..., k] = np.roll(cells[..., k], shift, (0, 1))[:: rng.choice([1, -1]), :: rng.choice([1, -1])]
    return (1.2 + far) * made


def exchanged(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Blocks of cells that changed places, at times one channel alone, at times turned over."""
    made, edge = cells.copy(), int(rng.integers(3, 9))
    if min(cells.shape[:2]) <= edge + 1:
        return (2 + far) * made
    for _ in range(int((0.5 + 1.5 * far) * made[..., 0].size / edge**2)):
        a, c = (rng.integers(0, n - edge, 2) for n in cells.shape[:2])
        one, two = (np.s_[a[i] : a[i] + edge, c[i] : c[i] + edge] for i in range(2))
        k = slice(None) if rng.random() < 0.7 else slice(*(lambda n: (n, n + 1))(int(rng.integers(3))))
        first, second = made[one][..., k].copy(), made[two][..., k].copy()
        made[one][..., k], made[two][..., k] = second[::-1], first[:, ::-1]
    return made


def mingled(cells: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Mixed with a part of it, enlarged and turned, as if that were another picture; harder than either."""
    height, width = (max(4, int(n * rng.uniform(0.3, 0.7))) for n in cells.shape[:2])
    top, left = (int(rng.integers(0, n - m + 1)) for n, m in zip(cells.shape, (height, width), strict=False))
    part = np.rot90(cells[top : top + height, left : left + width], rng.integers(1, 4))
    other = resized(part, cells.shape[:2], Image.Resampling.BILINEAR)[..., rng.permutation(3)]
    share = 0.5 + 0.25 * far
    return rng.uniform(1.4, 2.2) * ((1 - share) * cells + rng.choice([-1, 1]) * share * other)


STEPS = (scaled, quantised, limited, strewn, rolled, exchanged, mingled)
CELLS: dict[str, tuple[str, Wreck]] = {
    "cells scaled": ("shards", chained(scaled)),
    "cells quantised": ("noise", chained(quantised)),
    "cells limited": ("shards", chained(limited)),
    "cells strewn": ("noise", chained(strewn)),
    "cells rolled": ("shards", chained(rolled)),
    "cells exchanged": ("shards", chained(exchanged)),
    "cells mingled": ("shards", chained(mingled)),
}
