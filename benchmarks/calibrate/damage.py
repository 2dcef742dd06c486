"""Pictures damaged by degrees. Grade 0 of each kind is the picture as it is; every draw is seeded."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from tests.helpers.pictures import gained, to_bytes


@dataclass(frozen=True)
class Damage:
    """One kind.

    Attributes:
        name: as on the axis.
        unit: of a grade.
        grades: ascending, from none.
        apply: (uint8 (H, W, 3), grade) -> uint8 (H, W, 3).
    """

    name: str
    unit: str
    grades: tuple[float, ...]
    apply: Callable[[np.ndarray, float], np.ndarray]

    def series(self, picture: np.ndarray) -> list[np.ndarray]:
        """The picture as it is, and at each further grade."""
        return [picture if grade == self.grades[0] else self.apply(picture, grade) for grade in self.grades]


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """By a Gaussian, sigma in pixels."""
    return to_bytes(gaussian_filter(picture.astype(float), (sigma, sigma, 0)))


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    """White Gaussian noise in each channel, sigma in levels."""
    return to_bytes(picture + sigma * np.random.default_rng(0).standard_normal(picture.shape))


def compressed(picture: np.ndarray, loss: float) -> np.ndarray:
    """As JPEG of quality 100 - loss."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=round(100 - loss))
    return np.asarray(Image.open(file).convert("RGB"))


def fogged(picture: np.ndarray, share: float) -> np.ndarray:
    """Mixed with mid-grey, which takes this share of the contrast away."""
    return gained(picture, 1 - share)


def blotched(picture: np.ndarray, levels: float) -> np.ndarray:
    """Soft coloured blotches, a 20th of the side wide, standard deviation in levels."""
    reach = (picture.shape[0] * picture.shape[1]) ** 0.5 / 20
    white = np.random.default_rng(0).standard_normal(picture.shape)
    soft = gaussian_filter(white, (reach, reach, 0))
    return to_bytes(picture + levels * soft / soft.std())


DAMAGES = (
    Damage("blur", "σ, px", (0, 0.7, 1, 1.5, 2, 3, 4), blurred),
    Damage("noise", "σ, levels", (0, 2, 4, 8, 16, 32), noisy),
    Damage("JPEG", "100 − quality", (0, 10, 30, 50, 70, 90), compressed),
    Damage("clipping", "gain", (1, 1.25, 1.5, 2, 3, 4), gained),
    Damage("fog", "contrast lost", (0, 0.2, 0.4, 0.6, 0.8, 0.95), fogged),
    Damage("blotches", "σ, levels", (0, 10, 20, 40, 60, 80), blotched),
)
BLUR, NOISE = DAMAGES[:2]
