"""Losses of several parameters that behave as those of real merges do along a ratio.

What all share: the parameters add up to a dose, how much of the other models there is in all. Below a window
of doses images fail as under-cooked, above it as over-cooked, and inside the defect rises towards both edges.
So the healthy part is a valley across the space, and along it lies what is better still, by a quality of its
own. Each prompt shifts the window by a heavy-tailed draw, and each image has a little noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from gridsearch.score.score import image_losses

Array = NDArray[np.float64]

PROMPTS = 16  # one image each, as a run would have
POPULATION = 1000  # prompts that stand for all of them
SHIFT, TAILS = 0.15, 4  # of a prompt's window, in window widths: scale and degrees of freedom of Student's t
AT_EDGE = 1.2  # a sound image's defect at either edge; in the middle it is 0
IMAGE = 0.03  # standard deviation of an image's defect
FAILED = 8.0  # the defect of a failed image


@dataclass(frozen=True)
class Problem:
    """One pair of models and what is searched about it.

    Attributes:
        space: parameter -> its values.
        dose: parameters -> how much there is of the other models.
        flaw: parameters -> what is added to every sound image's defect, 0 where nothing is wrong.
        low, width: of the window of doses.
    """

    space: Mapping[str, BaseDistribution]
    dose: Callable[[Mapping], float]
    flaw: Callable[[Mapping], float]
    low: float
    width: float

    def losses(self, parameters: Mapping, shifts: Array, noise: Array) -> Array:
        """An image's loss for each prompt, given the shift of its window and the noise of its defect."""
        place = (self.dose(parameters) - self.low) / self.width - shifts  # 0 and 1 are the edges
        sound = (place > 0) & (place < 1)
        defects = AT_EDGE * np.abs(2 * place - 1) ** 2 + self.flaw(parameters) + noise
        verdicts = np.where(sound, "ok", np.where(place <= 0, "ghost", "burnt"))
        return image_losses(verdicts, np.where(sound, np.maximum(defects, 0), FAILED))

    def true_loss(self, parameters: Mapping) -> float:
        """The mean over all prompts there might be."""
        return float(self.losses(parameters, *drawn(POPULATION, np.random.default_rng(0))).mean())


def drawn(prompts: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """The shifts of so many prompts' windows, in window widths, and the noise of their images' defects."""
    return SHIFT * rng.standard_t(TAILS, prompts), IMAGE * rng.standard_normal(prompts)


def chain(rng: np.random.Generator) -> Problem:
    """Two numbers: a ratio, then a difference on top, of which a little is good."""
    strength, best = rng.uniform(0.6, 1.6), rng.uniform(0.1, 0.3)
    return Problem(
        {"ratio": _number(0.0, 1.0, 0.01), "more.ratio": _number(0.0, 0.5, 0.01)},
        lambda p: p["ratio"] + strength * p["more.ratio"],
        lambda p: 6 * (p["more.ratio"] - best) ** 2,
        low=rng.uniform(0.35, 0.75),
        width=rng.uniform(0.1, 0.2),
    )


def series(rng: np.random.Generator) -> Problem:
    """Three bases, a ratio, and six epochs: later ones are stronger, and one in the middle is best."""
    gains, best = np.linspace(0.7, 1.5, 6), rng.integers(1, 5)
    bases, offsets = ("base1", "base2", "base3"), rng.permutation([0.0, 0.2, 0.5])
    epochs = tuple(f"ep{i}" for i in range(6))
    return Problem(
        {
            "ratio": _number(0.0, 1.0, 0.01),
            "merged.model_a": CategoricalDistribution(bases),
            "merged.model_b": CategoricalDistribution(epochs),
        },
        lambda p: p["ratio"] * gains[epochs.index(p["merged.model_b"])],
        lambda p: (
            offsets[bases.index(p["merged.model_a"])] + 0.1 * (epochs.index(p["merged.model_b"]) - best) ** 2
        ),
        low=rng.uniform(0.2, 0.5),
        width=rng.uniform(0.1, 0.2),
    )


def blocks(rng: np.random.Generator) -> Problem:
    """Twenty numbers: a ratio for each block, a few of which make most of the dose and of the quality."""
    names = [f"merged.ratio.{i:02}" for i in range(20)]
    weights = rng.dirichlet(np.full(20, 0.5))
    taste, best = rng.dirichlet(np.full(20, 0.3)), rng.uniform(0.2, 0.8, 20)
    return Problem(
        {name: _number(0.0, 1.0, 0.05) for name in names},
        lambda p: float(weights @ [p[name] for name in names]),
        lambda p: float(4 * taste @ (np.array([p[name] for name in names]) - best) ** 2),
        low=float(weights @ best) - 0.1,
        width=0.2,
    )


def _number(low: float, high: float, step: float) -> FloatDistribution:
    return FloatDistribution(low, high, step=step)


PROBLEMS = {"chain": chain, "series": series, "blocks": blocks}
