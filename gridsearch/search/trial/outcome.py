"""The outcome of a trial: a row per image, and the values that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from gridsearch.score.score import DEFECT_CAP, image_losses, number

SIDES = {"blank": -1, "ghost": -1, "burnt": 1}  # on which side of the window such an image lies
LOST = 1000.0  # of a metric, where all images are lost; blur in pixels and noise in levels stay far below


@dataclass(frozen=True)
class Batch:
    """Some images of a trial, saved and scored: their rows, and the seconds that each part of them took."""

    rows: list[dict]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """A trial's images, a row each, and how long each part took in seconds."""

    images: list[dict]
    seconds: dict[str, float]
    cases: int  # how many images a complete trial has

    @property
    def survived(self) -> float:
        """The share of images whose verdict is `ok`."""
        return sum(row["verdict"] == "ok" for row in self.images) / len(self.images)

    @property
    def defect(self) -> float:
        """The mean defect."""
        return sum(row["defect"] for row in self.images) / len(self.images)

    @property
    def value(self) -> float:
        """The number that the search minimises: images lost, then the mean defect as a fraction of its cap.

        A defect never reaches above its cap, so no mean, however good, outweighs one lost image. The images
        that are missing are taken to be like those that are there.
        """
        lost = round((1 - self.survived) * len(self.images)) * (self.cases / len(self.images))
        return lost + self.defect / DEFECT_CAP

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Return a number to minimise for each objective: the value, or the mean metrics of sound images.

        Lost images weigh more than any metric: a blank one has neither blur nor noise.
        """
        if tuple(objectives) == ("value",):
            return [self.value]
        return [LOST * (1 - self.survived) + self._sound_mean(name) for name in objectives]

    def _sound_mean(self, metric: str) -> float:
        found = [number(row[metric]) for row in self.images if row["verdict"] == "ok"]
        finite = [value for value in found if isfinite(value)]
        return sum(finite) / len(finite) if finite else LOST

    def summary(self) -> dict:
        """Return the figures that the `window` sampler learns from."""
        losses = image_losses([row["verdict"] for row in self.images], [row["defect"] for row in self.images])
        dials = [dial for row in self.images if isfinite(dial := number(row["dial"]))]
        return {
            "survived": self.survived,
            "dial": median(dials) if dials else None,
            "side": sum(SIDES.get(row["verdict"], 0) for row in self.images) / len(self.images),
            "loss": float(losses.mean()),
            "partial": len(self.images) < self.cases,
        }
