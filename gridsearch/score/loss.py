"""An image's loss, on which curves, races and the best ratio are based. Needs numpy alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SURVIVES = 0.5  # the share of sound images from which a trial counts as surviving


def image_losses(verdicts: ArrayLike, defects: ArrayLike) -> NDArray[np.float64]:
    """Return each image's loss, from 0 to 2: 1 if it failed, plus its distance from healthy squashed to 0..1.

    The mean orders trials as the ranking does, survived first and then defect, and is bounded, so that one
    absurd image does not move the curve. Below 1 is sound, 1 and above failed.

    Args:
        verdicts: words, "ok" where the image is sound.
        defects: one per verdict; one that is not finite counts as the worst.
    """
    failed = np.asarray(verdicts) != "ok"
    defects = np.asarray(defects, dtype=float)
    finite = np.isfinite(defects)
    squashed = np.where(finite, defects / (1 + np.where(finite, defects, 0.0)), 1.0)
    return failed + squashed
