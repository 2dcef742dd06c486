"""Crété's blur effect, from scikit-image: how much blurring a picture again takes from its edges.

Crété et al. 2007, *The blur effect: perception and estimation with a new no-reference perceptual blur
metric*. Unlike the program's own blur it looks at the whole picture, so grain and texture make it lower.
"""

from math import nan

import numpy as np

from gridsearch.score.image import working_copy
from gridsearch.score.measure import TEXTURED, luma_of
from gridsearch.score.scorers.plugins import ScorerCase

LEAST_SIDE = 11  # pixels; the width of the window that blurs again


def blur_effect(rgb: np.ndarray, case: ScorerCase) -> float:
    """Crété's blur effect of a picture, 0 (sharp) to 1 (blurred); nan where there is nothing to blur.

    Args:
        rgb: uint8 (H, W, 3); measured at the size of the working copy, as all metrics are.
        case: makes no difference.
    """
    from skimage.measure import blur_effect as of_scikit_image  # takes a moment to import

    luma = luma_of(working_copy(rgb))
    if min(luma.shape) < LEAST_SIDE or luma.std() < TEXTURED:  # scikit-image calls an empty grey sharp
        return nan
    return float(of_scikit_image(luma / 255, h_size=LEAST_SIDE))
