"""Read a picture, and take its metrics.

All are taken on the working copy (see `working_copy`): a 1024 px picture is reduced to 512 px
first, so its edge widths read half of what they are at native size, and so does white noise.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from math import isnan, nan, pi, sqrt
from pathlib import Path

import numpy as np
import scipy
from PIL import Image

from gridsearch.base.embedded import main_text, texts_in
from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import DAMAGED, open_picture
from gridsearch.score.looks import CLIPPED_HIGH, CLIPPED_LOW, looks_of
from gridsearch.score.metrics import Metrics

WORKING_SIDE = 512  # pixels; a working copy has at most WORKING_SIDE² of them
STRIP_PIXELS = 1024 * 1024  # converted at once
ORIENTATION = 0x0112  # EXIF's tag
TEXTURED = 4.0  # a block whose luma varies by more than this many levels holds something
# What white noise adds to a window, in its sigmas: to the range of an edge, and in quadrature to the steepest
# 1-px difference; and the least shares of both that are taken to be the picture's.
RANGE_OF_NOISE, SLOPE_OF_NOISE = 2.4, 5.0
LEAST_RANGE, LEAST_SLOPE = 0.5, 0.45
EDGE_RANGE = 12.0  # a window whose luma spans fewer levels holds no edge to measure

Measuring = Callable[[np.ndarray], Metrics]  # of a picture, uint8 (H, W, 3)


@dataclass(frozen=True)
class PictureFile:
    """A picture, uint8 (H, W, 3), the text in its file ("" without any), and how many pictures that holds."""

    rgb: np.ndarray
    text: str
    frames: int


def read_image(path: str | Path) -> np.ndarray:
    """Read a picture file as uint8 (H, W, 3), see `read_picture_file`."""
    return read_picture_file(path).rgb


def read_picture_file(path: str | Path) -> PictureFile:
    """Read a PNG, JPEG, WebP, AVIF or BMP file; of an animation its first picture.

    Transparency is laid over white, grey becomes three equal channels, and of 16 bits the upper 8 are kept.
    It is turned upright as its EXIF orientation says.

    Raises:
        BadInput: no such file, not a picture, damaged, or too large (see `gridsearch.base.pictures`).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large pictures, for our limit is stricter, and bad EXIF data
        with open_picture(path) as file:
            file.load()
            width, height = file.size
            rgb = np.empty((height, width, 3), np.uint8)
            rows = max(STRIP_PIXELS // width, 1)  # a second copy of a large picture would take gigabytes
            for top in range(0, height, rows):
                strip = file.crop((0, top, width, min(top + rows, height)))
                rgb[top : top + rows] = _strip_to_rgb(strip)
            text, orientation = "", 1
            with suppress(*DAMAGED):  # what is beside the pixels may be damaged
                orientation = file.getexif().get(ORIENTATION, 1)
                text = main_text(texts_in(file))
            return PictureFile(_upright(rgb, orientation), text, getattr(file, "n_frames", 1))


def _upright(rgb: np.ndarray, orientation: object) -> np.ndarray:
    """Return a view of the picture, turned and mirrored as the EXIF orientation says (CIPA DC-008)."""
    match orientation:
        case 2:
            return rgb[:, ::-1]
        case 3:
            return rgb[::-1, ::-1]
        case 4:
            return rgb[::-1]
        case 5:
            return rgb.swapaxes(0, 1)
        case 6:
            return np.rot90(rgb, -1)
        case 7:
            return rgb.swapaxes(0, 1)[::-1, ::-1]
        case 8:
            return np.rot90(rgb)
    return rgb


def working_copy(rgb: np.ndarray) -> np.ndarray:
    """Return the picture reduced to WORKING_SIDE² pixels, at which metrics are taken, or as it is if smaller.

    So one picture at 512 and at 1024 px, or a scaled-down cell of a published grid and the native render,
    give comparable numbers. Nothing is ever enlarged, which would add blur: pictures of fewer than
    WORKING_SIDE² pixels can only be compared with others of their own size. Pictures are uint8 (H, W, 3).
    """
    height, width = rgb.shape[:2]
    scale = WORKING_SIDE / (height * width) ** 0.5
    if scale >= 1:
        return rgb
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Hamming: antialiased, and sharp without the overshoot of Lanczos, which would clip beside edges.
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.HAMMING))


def _strip_to_rgb(file: Image.Image) -> np.ndarray:
    if file.mode.startswith("I"):  # 16-bit grey, as "I;16" or widened to "I"
        grey = (np.asarray(file).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return grey[..., None]
    if file.has_transparency_data:
        layer = file.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(file.convert("RGB"))


def measure(rgb: np.ndarray) -> Metrics:
    """Return all metrics of one picture.

    Args:
        rgb: uint8 (H, W, 3), at least one pixel.
    Raises:
        BadInput: another shape or dtype.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0 or rgb.dtype != np.uint8:
        raise BadInput(
            f"Not an RGB picture: an array of shape {rgb.shape} and dtype {rgb.dtype}.",
            fix="Give uint8 (height, width, 3).",
        )
    copy = working_copy(rgb)
    luma = luma_of(copy)
    grain = grain_of(*luma.shape)
    fine = flat_noise(luma, grain)
    return Metrics(
        blur=edge_width(luma, grain, 0.0 if isnan(fine) else fine),
        noise=grain_noise(luma, grain, fine),
        contrast=float(luma.std(dtype=np.float64)),
        clipped=clipped_share(copy),
        colourfulness=colourfulness(copy),
        entropy=entropy(luma),
        detail=detail(luma, grain),
        autocorrelation=autocorrelation(luma),
        brightness=float(luma.mean(dtype=np.float64)),
        side=sqrt(luma.size),
        **looks_of(copy, luma),
    )


def luma_of(rgb: np.ndarray) -> np.ndarray:
    """Luma of BT.601, float32 (H, W), 0..255."""
    return rgb @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def luma_in_strips(rgb: np.ndarray) -> np.ndarray:
    """Return `luma_of` a large picture: three channels of floats at once would take gigabytes."""
    luma = np.empty(rgb.shape[:2], np.float32)
    rows = max(STRIP_PIXELS // rgb.shape[1], 1)
    for top in range(0, len(rgb), rows):
        luma[top : top + rows] = luma_of(rgb[top : top + rows])
    return luma


def grain_of(height: int, width: int) -> int:
    """The size rule: a 32nd of the picture's side, 6 to 16 px. It is the block's edge and half a window.

    16 px at 512 px and above. A 64 px picture would get 2 px, too few to measure in, hence at least 6.
    """
    return round(min(max(sqrt(height * width) / 32, 6), 16))


def edge_width(luma: np.ndarray, grain: int, noise: float) -> float:
    """Gaussian sigma of the strongest edges, in pixels; nan where no edge spans EDGE_RANGE levels.

    An edge of height r blurred by a Gaussian of sigma s has the steepest slope d = r / (sqrt(2 pi) s).
    Range and slope are taken in windows of 2 grain + 1 pixels, and of the 2% of windows with the
    largest range the median counts: these hold the outlines, not the grain. (In the spirit of the
    edge-width measure of Marziliano et al. 2002; unlike Crété's blur effect of 2007 it has no value
    where there is no edge.)

    Noise, whose sigma is given in levels, widens the range and steepens the slope, which is taken off again.
    Only part of either may be noise, or nothing would be left where there is nothing but noise.
    """
    step = 2 if grain >= 16 else 1  # windows overlap so much that every other one, each way, says the same
    reach = 2 * (grain // step) + 1
    highest = scipy.ndimage.maximum_filter(_most(luma, step), reach)
    lowest = -scipy.ndimage.maximum_filter(_most(-luma, step), reach)
    spans = highest - lowest
    least = np.quantile(spans, 0.98)
    if least < EDGE_RANGE:
        return nan
    strongest = spans >= least
    down = np.diff(luma, axis=0, append=luma[-1:])
    right = np.diff(luma, axis=1, append=luma[:, -1:])
    slopes = scipy.ndimage.maximum_filter(_most(np.hypot(down, right), step), reach)[strongest]
    ranges = np.maximum(spans[strongest] - RANGE_OF_NOISE * noise, LEAST_RANGE * spans[strongest])
    steepest = np.sqrt(np.maximum(slopes**2 - (SLOPE_OF_NOISE * noise) ** 2, (LEAST_SLOPE * slopes) ** 2))
    return float(np.median(ranges / steepest)) / sqrt(2 * pi)


def _most(plane: np.ndarray, edge: int) -> np.ndarray:
    """The largest value of each square of `edge` pixels, (H // edge, W // edge)."""
    rows, columns = plane.shape[0] // edge, plane.shape[1] // edge
    whole = plane[: rows * edge, : columns * edge]
    across = reduce(np.maximum, (whole[:, shift::edge] for shift in range(edge)))
    return reduce(np.maximum, (across[shift::edge] for shift in range(edge)))


def grain_noise(luma: np.ndarray, grain: int, fine: float) -> float:
    """Sigma of noise in flat areas, in levels: the larger of two scales; nan where neither can be taken.

    Noise of an undenoised latent has grains of 8 px at native size, which a mask of 3 px hardly sees;
    on the picture halved it does. White noise is halved with it, so its sigma is that of the full scale.
    Fur, grass and cloth look like coarse grain too, but seldom everywhere: there the quietest blocks count.
    `fine` is the sigma of the full scale.
    """
    rows, columns = luma.shape[0] // 2, luma.shape[1] // 2
    upper, lower = luma[: 2 * rows : 2, : 2 * columns], luma[1 : 2 * rows : 2, : 2 * columns]
    halved = (upper[:, ::2] + upper[:, 1::2] + (lower[:, ::2] + lower[:, 1::2])) / 4
    scales = fine, flat_noise(halved, max(grain // 2, 6), quantile=0.25)
    return max((sigma for sigma in scales if not isnan(sigma)), default=nan)


def flat_noise(luma: np.ndarray, grain: int, quantile: float = 0.5) -> float:
    """Sigma of white noise in the flattest fifth of the blocks, in levels; nan where no block serves.

    Immerkær 1996 (fast noise variance estimation): the difference of two Laplacians cancels planes and
    straight edges; of Gaussian noise it keeps the mean size 6 sigma sqrt(2 / pi). Flatness is judged on
    a smoothed copy, so that noisy blocks are not passed over, and blocks over 25% clipped are left out,
    because clipping hides noise. The `quantile` says which of these blocks' sigmas counts: less than the
    median reads white noise low, by 5% at 16 px and 14% at 6 px.
    """
    if min(luma.shape) < 3:
        return nan
    residual = np.abs(np.diff(np.diff(luma, 2, axis=0), 2, axis=1))
    inner = luma[1:-1, 1:-1]
    clipped = (inner <= CLIPPED_LOW) | (inner >= CLIPPED_HIGH)
    usable = _blocks(clipped, grain).mean(axis=1) <= 0.25
    if not usable.any():
        return nan
    flatness = _blocks(scipy.ndimage.gaussian_filter(inner, 2, truncate=3), grain).std(axis=1)[usable]
    sigmas = _blocks(residual, grain).mean(axis=1)[usable] * (sqrt(pi / 2) / 6)
    return float(np.quantile(sigmas[flatness <= np.quantile(flatness, 0.2)], quantile))


def detail(luma: np.ndarray, grain: int) -> float:
    """Share of blocks whose luma varies by more than TEXTURED levels."""
    return float((_blocks(luma, grain).std(axis=1) > TEXTURED).mean())


def _blocks(plane: np.ndarray, edge: int) -> np.ndarray:
    """(H, W) cut into squares of `edge` pixels, (blocks, edge²); a picture thinner than that is one block."""
    rows, columns = plane.shape[0] // edge, plane.shape[1] // edge
    if rows == 0 or columns == 0:
        return plane.reshape(1, -1)
    whole = plane[: rows * edge, : columns * edge]
    return whole.reshape(rows, edge, columns, edge).swapaxes(1, 2).reshape(rows * columns, edge * edge)


def clipped_share(rgb: np.ndarray) -> float:
    """Share of channel values that lie at an end of the range, 0..1."""
    return float(((rgb <= CLIPPED_LOW) | (rgb >= CLIPPED_HIGH)).mean())


def colourfulness(rgb: np.ndarray) -> float:
    """Hasler & Süsstrunk 2003, M3: spread and mean distance from grey in an opponent colour plane."""
    red, green, blue = np.moveaxis(rgb.astype(np.float32), 2, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = np.hypot(red_green.std(dtype=np.float64), yellow_blue.std(dtype=np.float64))
    distance = np.hypot(red_green.mean(dtype=np.float64), yellow_blue.mean(dtype=np.float64))
    return float(spread + 0.3 * distance)


def entropy(luma: np.ndarray) -> float:
    """Shannon entropy of the luma histogram of 256 levels, in bits, 0..8."""
    counts = np.bincount(np.rint(luma).astype(np.intp).ravel(), minlength=256)
    shares = counts[counts > 0] / luma.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # not -0.0


def autocorrelation(luma: np.ndarray) -> float:
    """Correlation of each pixel with its neighbour, the lower of across and down; nan where luma is flat.

    The lower one, because noise is often streaky: smooth along the streaks, white across them.
    """
    found = []
    for a, b in ((luma[:, :-1], luma[:, 1:]), (luma[:-1], luma[1:])):
        if a.size and a.std() > 0 and b.std() > 0:
            a, b = a - a.mean(), b - b.mean()
            found.append(float((a * b).mean() / sqrt((a * a).mean() * (b * b).mean())))
    return min(found, default=nan)
