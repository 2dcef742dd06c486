"""Ways to break: the faults of `wrecks` and `ruins`, made by other means."""

import numpy as np
from PIL import Image
from scipy.fft import idctn
from scipy.ndimage import gaussian_filter

from benchmarks.verdicts.fields import Rng
from benchmarks.verdicts.wrecks import Wreck
from tests.helpers.pictures import to_bytes


def resized(picture: np.ndarray, size: tuple[int, int], way: Image.Resampling) -> np.ndarray:
    """Float (H, W, 3) at another height and width."""
    planes = [Image.fromarray(np.ascontiguousarray(picture[..., k], np.float32)) for k in range(3)]
    return np.stack([np.asarray(plane.resize(size[::-1], way)) for plane in planes], -1)


def _bands(picture: np.ndarray, gains: list[float]) -> np.ndarray:
    """Each octave times its gain, the coarsest first; the mean stays."""
    made, size, rest = np.full_like(picture, picture.mean()), picture.shape[:2], picture
    lows = []
    for octave in range(len(gains)):
        small = tuple(max(2, n * 2 ** (octave + 1) // 2 ** (len(gains) + 1)) for n in size)
        lows.append(resized(resized(picture, small, Image.Resampling.BOX), size, Image.Resampling.BICUBIC))
    for low, before, gain in zip([*lows[1:], rest], lows, gains, strict=True):
        made = made + gain * (low - before)
    return made + gains[0] * (lows[0] - picture.mean())


def octaves(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """The prediction's octaves each too strong by its own factor, the coarse ones most; then clipped."""
    return _bands(picture, sorted(rng.uniform(1.5 + far, 2.6 + 2 * far, 5))[::-1])


def stretched(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """The tails of each channel pushed beyond both ends."""
    share = 0.14 + 0.2 * far
    low, high = (np.quantile(picture, q, axis=(0, 1)) for q in (share, 1 - share * rng.uniform(0.6, 1)))
    return 255 * (picture - low) / np.maximum(high - low, 40)


def few_colours(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """A handful of strong colours left of all."""
    grey = picture.mean(axis=2, keepdims=True)
    strong = 128 + rng.uniform(1.7, 2.6) * (grey + rng.uniform(1.5, 2.5) * (picture - grey) - picture.mean())
    image = Image.fromarray(to_bytes(gaussian_filter(strong, (1.2, 1.2, 0))))
    return np.asarray(image.quantize(int(9 - 5 * far), dither=Image.Dither.NONE).convert("RGB")).astype(
        np.float32
    )


def bloomed(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Laid over its own glow again and again, until most of it is light."""
    made = np.clip(picture, 0, 255)
    for _ in range(2 + int(2 * far)):
        glow = np.clip(1.3 * gaussian_filter(made, (rng.uniform(3, 14),) * 2 + (0,)), 0, 255)
        made = 255 - (255 - made) * (255 - glow) / 255
    return made + rng.uniform(1, 2) * (picture - gaussian_filter(picture, (2, 2, 0)))


def milky(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """An eighth to a third of its contrast, its fine octaves weakest, around its own mean or grey."""
    left = 0.3 - 0.2 * far
    middle = picture.mean(axis=(0, 1)) if rng.random() < 0.5 else np.full(3, rng.uniform(90, 170))
    return middle + left * (_bands(picture, [1, 1, 1, *rng.uniform(0.2, 1, 2)]) - picture.mean(axis=(0, 1)))


def unfocused(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Seen through a lens far out of focus: each point a disc."""
    reach = (0.014 + 0.03 * far) * max(picture.shape)
    y, x = (np.fft.fftfreq(n, 1 / n) for n in picture.shape[:2])
    disc = (np.hypot(y[:, None], x[None]) <= reach).astype(np.float32)
    lens = np.fft.rfft2(disc / disc.sum())
    return np.stack(
        [np.fft.irfft2(np.fft.rfft2(picture[..., k]) * lens, picture.shape[:2]) for k in range(3)], -1
    )


def thumbnail(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """No more of it than a thumbnail holds."""
    scale = (70 - 40 * far) / max(picture.shape)
    small = tuple(max(8, int(n * scale)) for n in picture.shape[:2])
    return resized(resized(picture, small, Image.Resampling.BOX), picture.shape[:2], Image.Resampling.LANCZOS)


def emptied(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """One tone, and the last of its coarsest octave."""
    left = _bands(picture, [1, 0.5, 0, 0, 0]) - picture.mean()
    return (
        rng.uniform(70, 190)
        + rng.normal(0, 12, 3)
        + rng.uniform(0, 0.06) * left
        + rng.normal(0, 1, picture.shape)
    )


def undenoised(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Random low coefficients in each block of 8 × 8 px, of a cosine transform."""
    size = tuple(-(-n // 8) * 8 for n in picture.shape[:2])
    noise = np.zeros((size[0] // 8, 8, size[1] // 8, 8, 3), np.float32)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        noise[:, i, :, j] = rng.normal(0, (18 + 45 * far) * 8 / (1 + i + j), (size[0] // 8, size[1] // 8, 3))
    made = idctn(noise, axes=(1, 3), norm="ortho").reshape(*size, 3)[: picture.shape[0], : picture.shape[1]]
    return rng.uniform(0.6, 1) * (picture - 128) + 128 + gaussian_filter(made, (1.5, 1.5, 0))


def counted(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Grains as of too few photons, in grey or colour, and those of the amplifier."""
    level = 22 + 50 * far
    planes = 3 if rng.random() < 0.7 else 1
    grains = rng.standard_normal((*picture.shape[:2], planes))
    return picture + level * (0.4 + 0.8 * np.sqrt(np.clip(picture, 0, 255) / 255)) * grains


def dealt(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Cut into rows and columns of unlike widths, and dealt out again, some turned over, often harder."""
    cuts = [np.sort(rng.choice(np.arange(1, n), int(7 + 12 * far), replace=False)) for n in picture.shape[:2]]
    rows, columns = (
        list(zip([0, *c], [*c, n], strict=True)) for c, n in zip(cuts, picture.shape, strict=False)
    )
    made = np.empty_like(picture)
    for top, bottom in rows:
        for left, right in columns:
            a, b = rows[rng.integers(len(rows))], columns[rng.integers(len(columns))]
            piece = picture[a[0] : a[1], b[0] : b[1]][:: rng.choice([1, -1]), :: rng.choice([1, -1])]
            made[top:bottom, left:right] = resized(
                piece, (bottom - top, right - left), Image.Resampling.BILINEAR
            )
    return 128 + rng.uniform(1, 1.8) * (made - 128)


def torn(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Torn along line after line, one side pushed along each time."""
    y, x = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]]
    rows, columns = y.copy(), x.copy()
    for _ in range(int(35 + 60 * far)):
        turn, push = rng.uniform(0, np.pi), rng.uniform(0.06, 0.25) * max(picture.shape)
        side = (x - rng.uniform(0, x.max())) * np.cos(turn) + (y - rng.uniform(0, y.max())) * np.sin(turn) > 0
        rows[side] += int(push * np.cos(turn) * rng.choice([1, -1]))
        columns[side] -= int(push * np.sin(turn) * rng.choice([1, -1]))
    return 128 + rng.uniform(1, 1.6) * (picture[rows % picture.shape[0], columns % picture.shape[1]] - 128)


def scrambled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Its octaves' strengths with phases of chance: texture of the same grain everywhere, made hard."""
    turn = np.exp(2j * np.pi * rng.random(np.fft.rfft2(picture[..., 0]).shape) * (0.75 + 0.25 * far))
    made = np.stack(
        [np.fft.irfft2(np.fft.rfft2(picture[..., k]) * turn, picture.shape[:2]) for k in range(3)], -1
    )
    made = made - gaussian_filter(made, (0.04 * max(picture.shape),) * 2 + (0,))
    return rng.uniform(70, 190) + rng.uniform(40, 110) * made / (made.std() + 1)


def curdled(picture: np.ndarray, far: float, rng: Rng) -> np.ndarray:
    """Grown together into spots and worms of few colours, as reaction and diffusion make them."""
    reach = rng.uniform(2.0, 6.0)
    made = (picture - gaussian_filter(picture, (12, 12, 0))) / 30 + rng.normal(0, 0.5 + far, picture.shape)
    for _ in range(6):
        near, wide = (gaussian_filter(made, (r, r, 0)) for r in (reach, 1.7 * reach))
        made = np.tanh(14 * (near - wide) + rng.uniform(-0.1, 0.1))
    return rng.uniform(60, 190) + rng.uniform(50, 120) * made + 0.1 * (picture - 128)


FATES: dict[str, tuple[str, Wreck]] = {
    "octaves": ("burnt", octaves),
    "stretched": ("burnt", stretched),
    "few colours": ("burnt", few_colours),
    "bloomed": ("burnt", bloomed),
    "milky": ("ghost", milky),
    "unfocused": ("ghost", unfocused),
    "thumbnail": ("ghost", thumbnail),
    "emptied": ("blank", emptied),
    "undenoised": ("noise", undenoised),
    "counted": ("noise", counted),
    "dealt": ("shards", dealt),
    "torn": ("shards", torn),
    "scrambled": ("shards", scrambled),
    "curdled": ("shards", curdled),
}
