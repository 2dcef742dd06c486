"""Losses of several parameters that behave as those of real merges do along a ratio.

What all share: the parameters add up to a dose, how much of the other models there is in all. Below a window
of doses images fail as under-cooked, above it as over-cooked, and inside the defect rises towards both edges.
So the healthy part is a valley across the space, and along it lies what is better still, by a quality of its
own. Each prompt shifts the window by a heavy-tailed draw, and each image has a little noise. The dial is that
of the toy along a ratio (see `benchmarks.search.curve`): beyond the window it tells little but the side.

Of two numbers and of twenty there are two worlds: one whose best lies near the middle of the space, and one
where it lies anywhere, in a narrower window; of the twenty, eight then change nothing. Three more of twenty
have other shapes, and nothing was chosen on them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from gridsearch.score.score import image_losses
from gridsearch.search.trial.outcome import Outcome

Array = NDArray[np.float64]

BLOCKS = 20
PROMPTS = 16  # one image each, as a run would have
POPULATION = 1000  # prompts that stand for all of them
SHIFT, TAILS = 0.15, 4  # of a prompt's window, in window widths: scale and degrees of freedom of Student's t
AT_EDGE = 1.2  # a sound image's defect at either edge; in the middle it is 0
IMAGE = 0.03  # standard deviation of an image's defect
FAILED = 8.0  # the defect of a failed image
DIALS = ((-1 / 3, 0, 0.2, 1, 2), (-4.5, -1.2, 0, 1.8, 2.7))  # by the place in the window
OWN_DIAL = 0.4  # standard deviation of what a prompt adds to its dial

Cases = tuple[
    Array, Array, Array
]  # of each prompt: its window's shift, its defect's noise, its dial's offset


@dataclass(frozen=True)
class Problem:
    """One pair of models and what is searched about it.

    Attributes:
        space: parameter -> its values.
        dose: parameters -> how much there is of the other models.
        flaw: parameters -> what is added to every sound image's defect, 0 where nothing is wrong.
        low, width: of the window of doses.
        near: values from which changing one at a time leads to the best.
    """

    space: Mapping[str, BaseDistribution]
    dose: Callable[[Mapping], float]
    flaw: Callable[[Mapping], float]
    low: float
    width: float
    near: Mapping

    def judged(self, parameters: Mapping, cases: Cases) -> tuple[NDArray[np.str_], Array, Array]:
        """The verdict, the defect and the dial of each case."""
        shifts, noise, dials = cases
        place = (self.dose(parameters) - self.low) / self.width - shifts  # 0 and 1 are the edges
        sound = (place > 0) & (place < 1)
        defects = AT_EDGE * np.abs(2 * place - 1) ** 2 + self.flaw(parameters) + noise
        verdicts = np.where(sound, "ok", np.where(place <= 0, "ghost", "burnt"))
        defects = np.where(sound, np.maximum(defects, 0), FAILED)
        return verdicts, defects, np.interp(place, *DIALS) + dials

    def outcome(self, parameters: Mapping, cases: Cases) -> Outcome:
        """Return the outcome of a trial, one image a case."""
        found = zip(*(one.tolist() for one in self.judged(parameters, cases)), strict=True)
        rows = [{"verdict": verdict, "defect": defect, "dial": dial} for verdict, defect, dial in found]
        return Outcome(rows, {}, len(rows))

    def true_loss(self, parameters: Mapping) -> float:
        """The mean over all prompts there might be."""
        verdicts, defects, _ = self.judged(parameters, ALL)
        return float(image_losses(verdicts, defects).mean())


def drawn(prompts: int, rng: np.random.Generator) -> Cases:
    """So many prompts with an image each; the shifts of their windows are in window widths."""
    shifts, noise = SHIFT * rng.standard_t(TAILS, prompts), IMAGE * rng.standard_normal(prompts)
    return shifts, noise, rng.normal(0, OWN_DIAL, prompts)


ALL = drawn(POPULATION, np.random.default_rng(0))


def chain(rng: np.random.Generator) -> Problem:
    """Two numbers: a ratio, then a difference on top, of which a little is good."""
    strength, best = rng.uniform(0.6, 1.6), rng.uniform(0.1, 0.3)
    return _chain(strength, best, rng.uniform(0.35, 0.75), rng.uniform(0.1, 0.2))


def chain_anywhere(rng: np.random.Generator) -> Problem:
    """The same; any of the difference may be good, and any ratio with it."""
    strength, best, width = rng.uniform(0.6, 1.6), rng.uniform(0.0, 0.5), rng.uniform(0.04, 0.12)
    return _chain(strength, best, strength * best + rng.uniform(0.05, 0.95) - width / 2, width)


def _chain(strength: float, best: float, low: float, width: float) -> Problem:
    return Problem(
        {"ratio": _number(0.0, 1.0, 0.01), "more.ratio": _number(0.0, 0.5, 0.01)},
        lambda p: p["ratio"] + strength * p["more.ratio"],
        lambda p: 6 * (p["more.ratio"] - best) ** 2,
        low,
        width,
        {"ratio": np.clip(low + width / 2 - strength * best, 0, 1), "more.ratio": best},
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
        low=(low := rng.uniform(0.2, 0.5)),
        width=(width := rng.uniform(0.1, 0.2)),
        near={
            "ratio": (low + width / 2) / gains[best],
            "merged.model_a": bases[int(offsets.argmin())],
            "merged.model_b": epochs[best],
        },
    )


def blocks(rng: np.random.Generator) -> Problem:
    """Twenty numbers: a ratio for each block, a few of which make most of the dose and of the quality."""
    weights = rng.dirichlet(np.full(BLOCKS, 0.5))
    taste, best = rng.dirichlet(np.full(BLOCKS, 0.3)), rng.uniform(0.2, 0.8, BLOCKS)
    return _blocks(weights, taste, best, width=0.2)


def blocks_anywhere(rng: np.random.Generator) -> Problem:
    """The same; eight change nothing, the others' best ratios lie around any one, in narrower windows."""
    weights, taste = rng.dirichlet(np.full(BLOCKS, 0.5)), rng.dirichlet(np.full(BLOCKS, 0.3))
    idle = rng.permutation(BLOCKS)[:8]
    weights[idle] = taste[idle] = 0
    best = np.clip(rng.uniform(0, 1) + rng.uniform(-0.5, 0.5, BLOCKS), 0, 1)
    return _blocks(weights / weights.sum(), taste / taste.sum(), best, rng.uniform(0.06, 0.15))


def _blocks(weights: Array, taste: Array, best: Array, width: float) -> Problem:
    names = [f"merged.ratio.{i:02}" for i in range(BLOCKS)]
    return Problem(
        {name: _number(0.0, 1.0, 0.05) for name in names},
        lambda p: float(weights @ [p[name] for name in names]),
        lambda p: float(4 * taste @ (np.array([p[name] for name in names]) - best) ** 2),
        float(weights @ best) - width / 2,
        width,
        dict(zip(names, best, strict=True)),
    )


def blocks_rotated(rng: np.random.Generator) -> Problem:
    """As blocks anywhere, but the quality is not a sum over blocks: each of its terms is of all of them."""
    of = blocks_anywhere(rng)
    best, taste = np.array([*of.near.values()]), rng.dirichlet(np.full(BLOCKS, 0.3))
    turned = np.linalg.qr(rng.standard_normal((BLOCKS, BLOCKS)))[0]
    return replace(
        of, flaw=lambda p: float(4 * taste @ (turned @ (np.array([p[name] for name in of.near]) - best)) ** 2)
    )


def blocks_plateau(rng: np.random.Generator) -> Problem:
    """As blocks anywhere, but near the best nothing is wrong, and beyond an edge at once a good deal."""
    of, edge = blocks_anywhere(rng), rng.uniform(0.05, 0.15)
    return replace(of, flaw=lambda p: 0.0 if (flaw := of.flaw(p)) < edge else 0.3 + flaw)


def blocks_sparse(rng: np.random.Generator) -> Problem:
    """Three of the twenty make all of the dose and of the quality."""
    weights, taste = np.zeros(BLOCKS), np.zeros(BLOCKS)
    matter = rng.permutation(BLOCKS)[:3]
    weights[matter], taste[matter] = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(3))
    return _blocks(weights, taste, rng.uniform(0.1, 0.9, BLOCKS), rng.uniform(0.06, 0.15))


def _number(low: float, high: float, step: float) -> FloatDistribution:
    return FloatDistribution(low, high, step=step)


PROBLEMS = {
    "chain": chain,
    "chain anywhere": chain_anywhere,
    "series": series,
    "blocks": blocks,
    "blocks anywhere": blocks_anywhere,
    "blocks rotated": blocks_rotated,
    "blocks plateau": blocks_plateau,
    "blocks sparse": blocks_sparse,
}
