"""The second look at a picture: how strongly a network that has seen many photographs takes it for broken.

A logistic regression on the maps of EfficientNet-Lite0 (`gridsearch.score.scorers.lite0`), of each stage by
the mean and the deviation of each channel, of the last by its greatest value too. The table beside this file
is fitted by `python -m benchmarks.verdicts.second_look`. It holds of each feature the `middle` and the
`spread` over the pictures of the fit, and its `weights`; and the `intercept`.
"""

from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from gridsearch.score.measure import Measuring, measure, working_copy
from gridsearch.score.metrics import Metrics

HEAD_TABLE = "second_look.safetensors"
MOST_AWAY = 5.0  # spreads from the middle; what lies farther counts as so far


def look_features(rgb: np.ndarray) -> NDArray[np.float32]:
    """Return the features (D,) of a picture, uint8 (H, W, 3), stage by stage.

    They are taken of its working copy, as the metrics are.

    Raises:
        BadInput: see `gridsearch.score.scorers.lite0.known_file`.
    """
    import torch  # takes a second to import, and only a second look needs it

    from gridsearch.score.scorers.lite0 import lite0

    with torch.inference_mode():
        flat = [found.flatten(1) for found in lite0().maps(working_copy(rgb))]
        kinds = [kind for found in flat for kind in (found.mean(1), found.std(1, correction=0))]
        return torch.cat([*kinds, flat[-1].amax(1)]).numpy()


def head_logit(found: NDArray[np.float32], table: dict[str, NDArray[np.float32]]) -> float:
    """Return the natural logarithm of the odds that a picture is broken, of all its features."""
    far = np.clip((found - table["middle"]) / table["spread"], -MOST_AWAY, MOST_AWAY)
    return float(far.astype(np.float64) @ table["weights"] + table["intercept"][0])


@cache
def linear_head() -> dict[str, NDArray[np.float32]]:
    """Return the table beside this file."""
    from safetensors.numpy import load_file

    with as_file(files(__package__).joinpath(HEAD_TABLE)) as path:
        return load_file(path)


def measure_by(second_look: bool) -> Measuring:
    """Return what takes a picture's metrics, with a second look at it or without.

    Raises:
        BadInput: see `gridsearch.score.scorers.lite0.known_file`.
    """
    if not second_look:
        return measure
    from gridsearch.score.scorers.lite0 import known_file  # imports torch

    known_file()
    return measure_twice


def measure_twice(rgb: np.ndarray) -> Metrics:
    """Return the metrics of a picture, uint8 (H, W, 3), with the second look at it.

    Raises:
        BadInput: another shape or dtype, or see `gridsearch.score.scorers.lite0.known_file`.
    """
    return replace(measure(rgb), second_look=head_logit(look_features(rgb), linear_head()))
