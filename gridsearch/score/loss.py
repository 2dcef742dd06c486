"""One image's loss, the number that curves, races and the best ratio rest on. Needs numpy alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SURVIVES = 0.5  # the share of its images that a trial must keep to be in the window


def image_losses(verdicts: ArrayLike, defects: ArrayLike) -> NDArray[np.float64]:
    """1 where an image failed, plus how far it is from healthy, squashed to 0..1: from 0 to 2.

    A mean of it orders trials as the ranking does, survived first and then defect, and stays bounded, so that
    one absurd image does not move the curve. Below 1 is sound, 1 and above failed.

    Args:
        verdicts: words, "ok" where the image is sound.
        defects: of the same length; one that is not finite counts as the worst.
    """
    failed = np.asarray(verdicts) != "ok"
    defects = np.asarray(defects, dtype=float)
    finite = np.isfinite(defects)
    squashed = np.where(finite, defects / (1 + np.where(finite, defects, 0.0)), 1.0)
    return failed + squashed
