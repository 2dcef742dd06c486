"""The images along a curve, counted and added up by prompt and place.

In arrays: a table of pandas takes ten times as long, and an answer asks for many.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tally:
    """The number of images and the sum of a value of theirs.

    Attributes:
        places: J of them, ascending.
        counts, sums: (prompts, J), the prompts by their ids; 0 where nothing was drawn.
    """

    places: NDArray[np.float64]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]


def tally(images: "pd.DataFrame", values: "pd.Series") -> Tally:
    """Return the tally of images with columns at (the place) and prompt_id, and of a value for each."""
    prompts, ids = images["prompt_id"].factorize(sort=True)
    places, at = np.unique(images["at"].to_numpy(dtype=float), return_inverse=True)
    cells, size = prompts * len(places) + at, len(ids) * len(places)
    counts = np.bincount(cells, minlength=size).astype(np.float64)
    sums = np.bincount(cells, values.to_numpy(dtype=float), size).astype(np.float64)
    return Tally(places, counts.reshape(len(ids), -1), sums.reshape(len(ids), -1))
