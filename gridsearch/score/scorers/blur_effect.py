"""Crété's blur effect, from scikit-image: how much a picture's edges lose when it is blurred again.

Crété et al. 2007, *The blur effect: perception and estimation with a new no-reference perceptual blur
metric*. Unlike the built-in blur it measures the whole picture, so grain and texture lower it.
"""

from math import nan

import numpy as np

from gridsearch.score.measure import TEXTURED, luma_of, working_copy
from gridsearch.score.scorers.plugins import ScoredCase

LEAST_SIDE = 11  # pixels; the width of the blurring window


def blur_effect(rgb: np.ndarray, case: ScoredCase) -> float:
    """Return the blur effect of uint8 (H, W, 3), 0 (sharp) to 1 (blurred); nan where there is no texture.

    It is measured on the working copy, like all metrics.
    """
    from skimage.measure import blur_effect as of_scikit_image  # takes a moment to import

    luma = luma_of(working_copy(rgb))
    if min(luma.shape) < LEAST_SIDE or luma.std() < TEXTURED:  # scikit-image calls an empty grey sharp
        return nan
    return float(of_scikit_image(luma / 255, h_size=LEAST_SIDE))
