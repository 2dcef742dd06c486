"""A model of the loss over many numbers: the share of images that fail, and how far off the sound ones are.

Each has a process of its own (`surrogate`). What a number adds to the defect of sound images shows in every
trial that has some. In the mean loss of a trial it is lost among the failed images, whose share goes mostly
with the dose.
"""

from dataclasses import dataclass

import numpy as np

from gridsearch.score.score import DEFECT_CAP, FAILED, OK_CAP
from gridsearch.search.samplers.surrogate import Numbers, Surrogate, fit_surrogate

_USUAL = (FAILED + DEFECT_CAP) / 2  # the defect of a failed image
FAILED_LOSS = 1 + _USUAL / (1 + _USUAL)  # its loss
MOST_SOUND = OK_CAP / (1 + OK_CAP)  # the loss of a sound image, at most
LEAST_TOLD = 0.1  # the share of sound images below which nothing is read off them
LEAST_TRIALS = 2  # with sound images, below which they tell nothing


@dataclass(frozen=True)
class LossModel:
    """The fitted processes of the share that fails, and of how far off sound images are (None if unknown)."""

    failing: Surrogate
    off: Surrogate | None

    def predict(self, places: Numbers, doses: Numbers) -> tuple[Numbers, Numbers]:
        """Return mean and standard deviation of the loss at places (m, d) with doses (..., m).

        To first order: the loss is FAILED_LOSS · share + (1 - share) · off / (1 + off).
        """
        share, share_error = self.failing.predict(places, doses)
        share = np.clip(share, 0.0, 1.0)
        if self.off is None:
            return FAILED_LOSS * share, FAILED_LOSS * share_error
        off, off_error = self.off.predict(places, doses)
        off = np.maximum(off, 0.0)
        sound, slope = off / (1 + off), 1 / (1 + off) ** 2
        error = np.hypot((FAILED_LOSS - sound) * share_error, (1 - share) * slope * off_error)
        return FAILED_LOSS * share + (1 - share) * sound, error

    def with_expected(self, places: Numbers) -> "LossModel":
        """Return the model that knows that places (m, d + 1) come to what it expects of them."""
        off = self.off and self.off.with_expected(places)
        return LossModel(self.failing.with_expected(places), off)


def parts_of(losses: Numbers, survived: Numbers) -> tuple[Numbers, Numbers]:
    """Return of each trial the share that fails, and how far off its sound images are.

    Both together give its loss. How far off, from 0 to OK_CAP as a defect, is nan where hardly any is sound.
    """
    told = survived >= LEAST_TOLD
    sound = (losses - (1 - survived) * FAILED_LOSS) / np.where(told, survived, 1.0)
    sound = np.where(told, np.clip(sound, 0.0, MOST_SOUND), 0.0)
    share = np.where(told, np.clip((losses - sound) / (FAILED_LOSS - sound), 0.0, 1.0), 1.0)
    return share, np.where(told, sound / (1 - sound), np.nan)


def fit_losses(
    places: Numbers,
    losses: Numbers,
    survived: Numbers,
    matter: Numbers | None = None,
) -> LossModel:
    """Return the model of losses (n,), of whose images so many survived, at places (n, d + 1).

    Args:
        places: the last column is the dose.
        matter: (d,) shares of how much each number is expected to matter beside the dose; None if alike.
    """
    share, off = parts_of(losses, survived)
    told = np.isfinite(off)
    failing = fit_surrogate(places, share, matter)
    if told.sum() < LEAST_TRIALS:
        return LossModel(failing, None)
    return LossModel(failing, fit_surrogate(places[told], off[told], matter))
