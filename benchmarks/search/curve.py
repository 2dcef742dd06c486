"""A simulator of what happens along a ratio: blank, ghost, healthy, burnt, each case with its own edges.

Where the figures come from. TOY is an exhaustive sweep of the toy's two checkpoints (experiments/toy.toml
with a step of 0.01: 8 prompts of 4 seeds); the five published grids of real merges are one prompt each and
say only how sharp it is: a step of 0.05 can go from blank to burnt, and a window can be 0.1 or 0.02 wide.

- A case is sound between its two edges and nowhere else (TOY: 31 of 32 cases have one run of sound ratios).
- The window, from the median lower edge to the median upper one, is 0.02 to 0.2 wide (published grids; drawn
  uniformly) and lies anywhere at least 0.02 from the ends. TOY's is 0.43 wide.
- Edges scatter in proportion to the window: with more scatter than that no ratio keeps half of its images
  and there is no window to speak of. TOY: the quartiles of the edges are those of a normal of sd 0.16 (lower)
  and 0.20 (upper) of the width, the sd itself, tails included, 0.26 and 0.27; rank correlation of both 0.30.
  Here: a prompt shifts both edges by 0.12 and each by another 0.10, a seed each by 0.10 of the width: 0.19 in
  all, correlation 0.4. The prompts' shifts are heavy-tailed (Student's t with 4 degrees of freedom, so that
  these are scales), the seeds' normal. TOY's seeds scatter as much as its prompts, since its captions say
  little; in real merges prompts count more.
- The defect of a sound image against its place u in its case's own window, 0 to 1 (TOY: 0.9 at u = 0, about
  0.2 from u = 0.15 to 0.45, 1.5 at u = 1): falls over the first 0.1 to 0.3 from 0.5 to 1.5, is 0 to the
  middle (0.3 to 0.6), then rises to 0.8 to 1.8; drawn for each study. To that each case adds its own
  exponential (mean 0.15) and each image a normal error (sd 0.03, of which one in fifty is ten times as large;
  TOY, from second differences along the ratio: sd 0.04, by its quartiles 0.01). Failed images: ghost 7.3,
  blank 8.3, burnt 7.3, sd 0.3 (TOY).
- The dial (TOY's medians): -1.2 at u = 0, 0 at u = 0.2, +1.8 at u = 1, and outside to -4.5 and +2.7 within a
  third of a width below and one above. A case adds its own offset (sd 0.4; TOY: 0.3 to 0.4), an image an
  error like that of its defect.
- An image's own edges jitter by 0.01 of the width (TOY: 1 of 32 cases has a verdict out of order).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridsearch.score.score import SURVIVES, image_losses

Array = NDArray[np.float64]

MARGIN = 0.02  # between the window and the ends of the range
PROMPT_BOTH, PROMPT_EDGE, SEED_EDGE = 0.12, 0.10, 0.10  # scatter of edges, in window widths
TAILS = 4  # degrees of freedom of the prompts' shifts
JITTER = 0.01  # of an image's edges, in window widths
GHOST = 0.33  # so far below its window an image is a ghost, and further blank; in window widths
FINE = np.linspace(0, 1, 101)  # places in the window at which the population's loss is read
SMOOTH = 5  # of these places are averaged, so that no single prompt decides
POPULATION = 4000  # prompts that stand for all of them


@dataclass(frozen=True)
class Curve:
    """One pair of models: where its window is, and what a sound image's defect looks like inside.

    Attributes:
        low, width: of the window, in ratios.
        at_low, falls_to, rises_from, at_high: the defect at the lower edge, where it has fallen to 0, where
            it begins to rise, and what it is at the upper edge; places in window widths.
    """

    low: float
    width: float
    at_low: float
    falls_to: float
    rises_from: float
    at_high: float


@dataclass(frozen=True)
class Cases:
    """Cases as arrays of one length: both edges in ratios, and what each adds to defects and dials."""

    prompts: NDArray[np.int64]
    lows: Array
    highs: Array
    defects: Array
    dials: Array

    def __len__(self) -> int:
        return len(self.prompts)


@dataclass(frozen=True)
class Rendered:
    """The images of one ratio, a value per case."""

    verdicts: NDArray[np.str_]
    defects: Array
    dials: Array


def draw_curve(rng: np.random.Generator, width: float | None = None) -> Curve:
    """A pair of models at random; `width` fixes its window's."""
    width = rng.uniform(0.02, 0.2) if width is None else width
    return Curve(
        low=rng.uniform(MARGIN, 1 - MARGIN - width),
        width=width,
        at_low=rng.uniform(0.5, 1.5),
        falls_to=rng.uniform(0.1, 0.3),
        rises_from=rng.uniform(0.3, 0.6),
        at_high=rng.uniform(0.8, 1.8),
    )


def draw_cases(curve: Curve, prompts: int, seeds: int, rng: np.random.Generator) -> Cases:
    """So many prompts with so many seeds each."""
    both = PROMPT_BOTH * rng.standard_t(TAILS, prompts)
    prompt = np.repeat(np.arange(prompts), seeds)
    lows, highs = (
        (both + PROMPT_EDGE * rng.standard_t(TAILS, prompts))[prompt] + rng.normal(0, SEED_EDGE, len(prompt))
        for _ in range(2)
    )
    return Cases(
        prompts=prompt,
        lows=curve.low + curve.width * lows,
        highs=curve.low + curve.width * (1 + highs),
        defects=rng.exponential(0.15, len(prompt)),
        dials=rng.normal(0, 0.4, len(prompt)),
    )


def render(curve: Curve, cases: Cases, ratio: float, seed: int) -> Rendered:
    """The images of all cases at a ratio; the same ones whenever they are asked for again."""
    rng = np.random.default_rng([seed, round(ratio * 1e9)])
    at = ratio + rng.normal(0, JITTER * curve.width, len(cases))
    own = place(at, cases, curve)
    noise = np.where(rng.random((2, len(cases))) < 0.02, 10, 1) * rng.normal(0, 0.03, (2, len(cases)))
    sound = np.maximum(sound_defect(curve, own) + cases.defects + noise[0], 0)
    verdicts = np.select(
        [at <= cases.lows - GHOST * curve.width, at <= cases.lows, at < cases.highs],
        ["blank", "ghost", "ok"],
        "burnt",
    )
    failed = np.select([verdicts == "blank"], [8.3], 7.3) + 0.3 * rng.normal(size=len(cases))
    return Rendered(
        verdicts=verdicts,
        defects=np.where(verdicts == "ok", np.minimum(sound, 4), failed),
        dials=dial(own) + cases.dials + noise[1],
    )


def true_window(cases: Cases, share: float = SURVIVES) -> tuple[float, float] | None:
    """The edges of what survives, without noise, of these cases; None where nothing does.

    Between two edges of cases the number of sound ones is constant. Of several runs, the one that keeps
    most, and of those the widest.
    """
    edges = np.sort(np.concatenate([cases.lows, cases.highs, [0.0, 1.0]]))
    edges = edges[(edges >= 0) & (edges <= 1)]
    middles = (edges[:-1] + edges[1:]) / 2
    kept = ((cases.lows[:, None] < middles) & (middles < cases.highs[:, None])).mean(axis=0)
    alive = np.concatenate([[False], kept >= share, [False]])
    starts, ends = (np.flatnonzero(alive[1:] & ~alive[:-1]), np.flatnonzero(alive[:-1] & ~alive[1:]))
    runs = [
        (kept[start:end].max(), edges[end] - edges[start], edges[start], edges[end])
        for start, end in zip(starts, ends, strict=True)
    ]
    return tuple(map(float, max(runs)[2:])) if runs else None


def true_best(curve: Curve, seed: int) -> float:
    """The ratio at which the expected loss of an image is least, whatever the prompt."""
    rng = np.random.default_rng([seed, 1])
    cases = draw_cases(curve, POPULATION, 1, rng)
    ratios = curve.low + curve.width * FINE
    loss = np.array([expected_loss(curve, cases, ratio) for ratio in ratios])
    smooth = np.convolve(loss, np.ones(SMOOTH) / SMOOTH, mode="valid")
    return float(ratios[SMOOTH // 2 + smooth.argmin()])


def expected_loss(curve: Curve, cases: Cases, ratio: float) -> float:
    """The mean loss of these cases at a ratio, without an image's own noise."""
    own = place(np.full(len(cases), ratio), cases, curve)
    sound = (cases.lows < ratio) & (ratio < cases.highs)
    defects = np.where(sound, sound_defect(curve, own) + cases.defects, 7.5)
    return float(image_losses(np.where(sound, "ok", "burnt"), defects).mean())


def place(at: Array, cases: Cases, curve: Curve) -> Array:
    """Return the place of each case in its own window: 0 at the lower edge, 1 at the upper one."""
    own = np.maximum(cases.highs - cases.lows, 1e-9)
    inside = (at - cases.lows) / own
    above = 1 + (at - cases.highs) / curve.width
    return np.select([at <= cases.lows, at < cases.highs], [(at - cases.lows) / curve.width, inside], above)


def sound_defect(curve: Curve, own: Array) -> Array:
    places = [0, curve.falls_to, max(curve.rises_from, curve.falls_to), 1]
    return np.interp(own, places, [curve.at_low, 0, 0, curve.at_high])


def dial(own: Array) -> Array:
    return np.interp(own, [-0.33, -0.05, 0, 0.2, 1, 2], [-4.5, -1.8, -1.2, 0, 1.8, 2.7])
