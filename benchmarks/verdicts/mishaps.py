"""Ways to break that the gate was not fitted to, each after a fault of decoders, schedules or guidance.

They were written before the gate was fitted, and looked at when it was final.
"""

import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from benchmarks.verdicts.fields import Rng, cloud
from benchmarks.verdicts.wrecks import LUMA, Wreck, blur


def one_axis(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Its strongest axis of colour amplified far beyond the others: two glaring tones and their rims."""
    flat = (picture - picture.mean(axis=(0, 1))).reshape(-1, 3)
    axis = np.linalg.eigh(np.cov(flat[::17].T) + np.eye(3))[1][:, -1]
    axis = axis + rng.normal(0, 0.35, 3)
    along = (picture - picture.mean(axis=(0, 1))) @ (axis / np.linalg.norm(axis))
    gain = (90 + 80 * far) / (np.abs(along).mean() + 4)
    return 128 + gain * along[..., None] * np.sign(axis) * rng.uniform(0.7, 1.3, 3) + 0.4 * (picture - 128)


def crushed(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A steep power of each channel: shadows black, lights at their end, colours pure."""
    share = np.clip(picture, 0, 255) / 255
    bent = share - np.quantile(share, rng.uniform(0.4, 0.6), axis=(0, 1))
    power = 0.35 - 0.2 * far
    made = np.sign(bent) * np.abs(bent) ** power
    return 128 + rng.uniform(150, 200) * made + (picture - blur(picture, 0.003)) * rng.uniform(0.5, 2)


def ringing(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """No more of it than its lowest waves, which ring about every outline."""
    kept = [max(4, int(n * (0.045 - 0.025 * far))) for n in picture.shape[:2]]
    waves = dctn(picture, axes=(0, 1), norm="ortho")
    waves[kept[0] :], waves[:, kept[1] :] = 0, 0
    return idctn(waves, axes=(0, 1), norm="ortho")


def flattened(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """All tones drawn towards one: of large differences little is left."""
    middle = picture.mean(axis=(0, 1)) * 0.3 + rng.uniform(90, 170) * 0.7
    apart = blur(picture, rng.uniform(0.001, 0.005)) - picture.mean(axis=(0, 1))
    return middle + (26 - 15 * far) * np.tanh(apart / 90)


def banded(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Noise that is the same along a whole line, in each colour by itself, and some that is not."""
    lines = rng.standard_normal((picture.shape[0], 1, 3)).repeat(picture.shape[1], 1)
    if rng.random() < 0.5:
        lines = rng.standard_normal((1, picture.shape[1], 3)).repeat(picture.shape[0], 0)
    fine = rng.standard_normal(picture.shape)
    return picture + (16 + 22 * far) * (lines + 0.5 * fine)


def checkerboard(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A weave of 2 to 8 px over all of it, as strides of a decoder leave, stronger in some places."""
    period = int(rng.choice([2, 4, 8]))
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    weave = np.where((y // (period // 2) + x // (period // 2)) % 2, 1.0, -1.0)[..., None]
    where = 0.5 + cloud(picture.shape[:2], 1.8, rng)[..., None]
    return picture + (22 + 30 * far) * weave * where * rng.uniform(0.4, 1.2, 3)


def dust(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Pixels and small clots of chance colours strewn over all of it."""
    reach = rng.uniform(0, 0.9)
    field = gaussian_filter(rng.standard_normal(picture.shape[:2]), reach) if reach > 0.3 else None
    chance = rng.random(picture.shape[:2]) if field is None else field.argsort(axis=None).argsort()
    chance = np.reshape(chance, picture.shape[:2]) / (1 if field is None else chance.size)
    colours = rng.uniform(0, 255, picture.shape)
    return np.where((chance < 0.08 + 0.25 * far)[..., None], colours, picture)


def crumpled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Cells that are each turned about their middles by an angle of their own."""
    size = picture.shape[:2]
    seeds = rng.random((int(60 * 6**far), 2)) * size
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(float)
    near = cKDTree(seeds).query(np.stack([y, x], -1))[1]
    turn, wide = rng.uniform(0, 2 * np.pi, len(seeds))[near], rng.uniform(0.6, 2, len(seeds))[near]
    v, u = y - seeds[near, 0], x - seeds[near, 1]
    rows = seeds[near, 0] + wide * (v * np.cos(turn) - u * np.sin(turn))
    columns = seeds[near, 1] + wide * (v * np.sin(turn) + u * np.cos(turn))
    moved = [map_coordinates(picture[..., k], (rows, columns), order=1, mode="reflect") for k in range(3)]
    return 128 + rng.uniform(1, 1.8) * (np.stack(moved, -1) - 128)


def collided(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Parts of it at all sizes pasted over one another, hard-edged, until they cover everything."""
    made, size = picture.copy(), picture.shape[:2]
    for _ in range(int(120 + 250 * far)):
        high, wide = (int(n * rng.uniform(0.04, 0.16)) + 4 for n in size)
        top, left = (int(rng.integers(0, n - m)) for n, m in zip(size, (high, wide), strict=True))
        scale = rng.uniform(0.3, 1.0)
        part_size = max(3, int(high * scale)), max(3, int(wide * scale))
        b, d = (int(rng.integers(0, n - m)) for n, m in zip(size, part_size, strict=True))
        part = np.clip(picture[b : b + part_size[0], d : d + part_size[1]], 0, 255).astype(np.uint8)
        made[top : top + high, left : left + wide] = np.asarray(Image.fromarray(part).resize((wide, high)))
    return 128 + rng.uniform(1, 1.7) * (made - 128)


def streaked(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Smeared along a field of directions, with grain of its own: fibres where shapes were."""
    size = picture.shape[:2]
    field = gaussian_filter(rng.standard_normal(size), 0.03 * max(size))
    angle = 3 * field / field.std()
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(float)
    rough = picture + 70 * rng.standard_normal((*size, 1)) + 25 * rng.standard_normal(picture.shape)
    made = np.zeros_like(picture)
    for step in np.linspace(-1, 1, 15) * (0.02 + 0.03 * far) * max(size):
        places = y + step * np.sin(angle), x + step * np.cos(angle)
        made += np.stack(
            [map_coordinates(rough[..., k], places, order=0, mode="reflect") for k in range(3)], -1
        )
    made = made / 15
    return 128 + rng.uniform(1.2, 2.4) * (made - (made @ LUMA).mean())


MISHAPS: dict[str, tuple[str, Wreck]] = {
    "one axis": ("burnt", one_axis),
    "crushed": ("burnt", crushed),
    "ringing": ("ghost", ringing),
    "flattened": ("ghost", flattened),
    "banded": ("noise", banded),
    "checkerboard": ("noise", checkerboard),
    "dust": ("noise", dust),
    "crumpled": ("shards", crumpled),
    "collided": ("shards", collided),
    "streaked": ("shards", streaked),
}
