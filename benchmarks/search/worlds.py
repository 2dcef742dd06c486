"""Simulated merges of many shapes: where they are sound, how good, and what is true of all prompts.

Each world is drawn anew for each study. In all of them a case (a prompt with a seed) has its own edges and
its own offset, as `benchmarks.search.curve` has it and says from where; what differs is the shape:

- one: the window that `curve` draws; narrow, asymmetric (a sharp edge of 0.01 and a soft one of 0.08) and
  scattered (edges that scatter by 0.3 of the width) are variants of it;
- reversed: the models in the other order, burnt at low ratios;
- paler, stronger: the dial is off by two spreads, because the references are paler or stronger than merges;
- two: two windows of one shape and width; beside: a poor and wide one (0.25 to 0.35, its defects 0.6 higher)
  beside a good and narrow one (0.04 to 0.08);
- unequal: as two, with the defects of either higher by a normal number (sd 0.2; the sign says of which one);
- hidden: a wide one (0.15 to 0.3, its defects 0.3 higher) and beside it a better one 0.02 to 0.04 wide;
  island: the same, but all around the narrow one is burnt, with such dials, so that no dial leads to it;
- end: sound from one end of the range on, and best there, at 0 or at 1;
- flat, shallow, linear: all is sound, and defects are equal, or a parabola 0.15 deep, or a line of 0.2;
- errors: the shallow one, with 3% of the verdicts wrong;
- none: at most 40% or so of all prompts are sound at any ratio; nothing: none is, and 5% of verdicts wrong;
- seeds: 8 prompts of 4 seeds, which differ little from seed to seed; few: 4 prompts of 8.
- trio: three windows, 0.05 to 0.12 wide, their defects 0.3, 0 and 0.15 higher; valley: sound at both ends and
  burnt or pale between; soft: each image has edges of its own, off by 0.15 of the width; dipped: all is
  sound, with a dip 0.2 deep and about 0.13 wide. Nothing was chosen on these four; their seeds are from 1000.

A number after a colon is that of the prompts, as in `one:4`; 16 of one seed where nothing else is said.

On the plateaus each case wanders about the common curve (sd 0.06, correlated over 0.2 of the range).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.curve import GHOST, JITTER, PROMPT_BOTH, TAILS, Cases, Curve, draw_curve, place
from benchmarks.search.curve import dial as dial_at
from benchmarks.search.curve import sound_defect as defect_in
from gridsearch.score.score import SURVIVES, image_losses

Array = NDArray[np.float64]

RATIOS = np.round(np.linspace(0, 1, 101), 2)
POPULATION = 2000  # prompts that stand for all of them
WANDER, WANDER_LENGTH = 0.06, 0.2
UNEQUAL = 0.2  # of a defect: the scatter of the difference between two windows
EQUAL = 0.002  # of a loss: ratios that differ by less are as good


@dataclass(frozen=True)
class World:
    """One pair of models.

    Attributes:
        windows: the runs of ratios that are sound; none where the common curve is `plateau`.
        extra: what is added to the defects in each window.
        spread: of each edge from prompt to prompt, in ratios (low, high); None: in proportion to the width.
        seeds_alike: how much of the scatter is the seeds', as a share of a prompt's.
        plateau: ratios -> the defect at each, where all is sound.
        dead: no image is sound anywhere.
        wrong: the share of verdicts that are wrong.
        mirrored: the models are given in the other order.
        dial: what every dial is off by.
        island: below the second window it is burnt as above.
        jitter: of an image's own edges, in window widths.
    """

    windows: tuple[Curve, ...] = ()
    extra: tuple[float, ...] = (0.0, 0.0)
    spread: tuple[float, float] | None = None
    seeds_alike: float = 0.8
    plateau: Callable[[Array], Array] | None = None
    dead: bool = False
    wrong: float = 0.0
    mirrored: bool = False
    dial: float = 0.0
    island: bool = False
    jitter: float = JITTER


@dataclass(frozen=True)
class Images:
    """The images of all cases at each ratio (ratios × cases)."""

    ratios: Array
    prompts: NDArray[np.int64]
    verdicts: NDArray[np.str_]
    defects: Array
    dials: Array

    @cached_property
    def losses(self) -> Array:
        return image_losses(self.verdicts, self.defects)


def _cases(world: World, curve: Curve, prompts: int, seeds: int, rng: np.random.Generator) -> Cases:
    """Edges and offsets of so many prompts with so many seeds each, in one window."""
    share = PROMPT_BOTH * curve.width
    low, high = world.spread or (0.10 * curve.width, 0.10 * curve.width)
    both = share * rng.standard_t(TAILS, prompts) * (world.spread is None)
    prompt = np.repeat(np.arange(prompts), seeds)
    lows, highs = (
        (both + scale * rng.standard_t(TAILS, prompts))[prompt]
        + world.seeds_alike * scale * rng.normal(size=len(prompt))
        for scale in (low, high)
    )
    own = rng.exponential(0.15, len(prompt)), rng.normal(0, 0.4, len(prompt))
    return Cases(prompt, curve.low + lows, curve.low + curve.width + highs, *own)


def drawn(world: World, prompts: int, seeds: int, rng: np.random.Generator, noise: bool = True) -> Images:
    """Every case at every ratio. Without `noise` an image is as its case has it, and verdicts are right."""
    at = 1 - RATIOS if world.mirrored else RATIOS
    shape = (len(RATIOS), prompts * seeds)
    error = np.where(rng.random(shape) < 0.02, 10, 1) * rng.normal(0, 0.03, shape) * noise
    if world.plateau is not None:
        images = _plateau(world, at, np.repeat(np.arange(prompts), seeds), error, rng, noise)
    else:
        images = _windows(world, at, prompts, seeds, error, rng, noise)
    if world.wrong and noise:
        images = _misjudged(images, rng.random(shape) < world.wrong)
    return replace(images, dials=images.dials + world.dial)


def _plateau(
    world: World, at: Array, prompt: NDArray, error: Array, rng: np.random.Generator, noise: bool
) -> Images:
    count = prompt.max() + 1
    kernel = np.exp(-0.5 * ((at[:, None] - at) / WANDER_LENGTH) ** 2) + 1e-9 * np.eye(len(at))
    own = WANDER * np.linalg.cholesky(kernel) @ rng.normal(size=(len(at), count)) * noise
    level = rng.gamma(2, 0.2, count)
    assert world.plateau is not None
    defects = np.maximum(level[prompt] + world.plateau(at)[:, None] + own[:, prompt] + error, 0)
    sound = np.full(defects.shape, "ok")
    return Images(RATIOS, prompt, sound.astype("<U5"), defects, np.zeros(defects.shape) + error)


def _windows(
    world: World, at: Array, prompts: int, seeds: int, error: Array, rng: np.random.Generator, noise: bool
) -> Images:
    """The images of one or two windows: each case is as the nearer one has it."""
    parts, alike = [], rng.bit_generator.random_raw()
    for number, (curve, extra) in enumerate(zip(world.windows, world.extra, strict=False)):
        if not noise:  # all prompts are the same ones in every window
            rng = np.random.default_rng(alike)
        cases = _cases(world, curve, prompts, seeds, rng)
        here = at[:, None] + rng.normal(0, world.jitter * curve.width, error.shape) * noise
        own = place(here, cases, curve)
        verdicts = np.select(
            [here <= cases.lows - GHOST * curve.width, here <= cases.lows, here < cases.highs],
            ["blank", "ghost", "ok"],
            "burnt",
        )
        if number and world.island:
            verdicts = np.where(verdicts == "ok", "ok", "burnt")
            own = np.where(own < 0, 2.0, own)
        sound = np.maximum(defect_in(curve, own) + extra + cases.defects + error, 0)
        failed = np.where(verdicts == "blank", 8.3, 7.3) + 0.3 * rng.normal(size=error.shape) * noise
        defects = np.where(verdicts == "ok", np.minimum(sound, 4), failed)
        parts.append((verdicts, defects, dial_at(own) + cases.dials + error, cases.prompts))
    verdicts, defects, dials, prompt = parts[0]
    for below, above, other in zip(world.windows, world.windows[1:], parts[1:], strict=False):
        nearer = (at > (below.low + below.width + above.low) / 2)[:, None]
        verdicts, defects, dials = (
            np.where(nearer, b, a) for a, b in zip((verdicts, defects, dials), other[:3], strict=True)
        )
    if world.dead:
        verdicts = np.where(verdicts == "ok", "burnt", verdicts)
        defects = np.where(defects < 5, 7.3 + error, defects)
    return Images(RATIOS, prompt, verdicts, defects, dials)


def _misjudged(images: Images, wrong: NDArray[np.bool_]) -> Images:
    sound = images.verdicts == "ok"
    verdicts = np.where(wrong, np.where(sound, "burnt", "ok"), images.verdicts)
    defects = np.where(wrong, np.where(sound, 7.0, 1.0), images.defects)
    return replace(images, verdicts=verdicts, defects=defects)


# -- what is true of all prompts


@dataclass(frozen=True)
class Truth:
    """The truth of all prompts, at RATIOS: the mean loss of an image, and the share that is sound."""

    loss: Array
    sound: Array

    def regret(self, ratio: float) -> float:
        return float(np.interp(ratio, RATIOS, self.loss) - self.loss.min())

    @property
    def bests(self) -> Array:
        """All ratios that are as good as the best."""
        return RATIOS[self.loss <= self.loss.min() + EQUAL]

    @property
    def windows(self) -> list[NDArray[np.int64]]:
        """The runs of RATIOS at which half of all prompts are sound, by number."""
        alive = np.flatnonzero(self.sound >= SURVIVES)
        return np.split(alive, np.flatnonzero(np.diff(alive) > 1) + 1) if len(alive) else []

    def edges(self, inside: float) -> tuple[float | None, float | None] | None:
        """Return the ratios on both sides where half of all prompts cease to be sound, or None."""
        alive = self.sound >= SURVIVES
        at = int(np.abs(RATIOS - inside).argmin())
        if not alive[at]:
            return None
        ends: list[float | None] = []
        for step in (-1, 1):
            i = at
            while 0 <= i + step < len(RATIOS) and alive[i + step]:
                i += step
            out = i + step
            if not 0 <= out < len(RATIOS):
                ends.append(None)
                continue
            part = (self.sound[i] - SURVIVES) / (self.sound[i] - self.sound[out])
            ends.append(float(RATIOS[i] + part * (RATIOS[out] - RATIOS[i])))
        return ends[0], ends[1]


def truth_of(world: World, rng: np.random.Generator) -> Truth:
    images = drawn(world, POPULATION, 1, rng, noise=False)
    right = replace(images, verdicts=images.verdicts)
    return Truth(right.losses.mean(axis=1), (right.verdicts == "ok").mean(axis=1))


# -- the worlds


def _end(rng: np.random.Generator) -> World:
    width = rng.uniform(0.3, 0.6)
    curve = Curve(-width, 2 * width, 1.0, 0.1, 0.3, rng.uniform(1.2, 2.0))
    return World((curve,), spread=(0.01, 0.15 * width), mirrored=bool(rng.integers(2)))


def _two(rng: np.random.Generator) -> World:
    width = rng.uniform(0.06, 0.15)
    first = replace(draw_curve(rng, width), low=rng.integers(5, 25) / 100)
    return World((first, replace(first, low=rng.integers(55, 75) / 100)))


def _unequal(rng: np.random.Generator) -> World:
    """Two windows of one shape, of which neither is the better one more often, nor ever exactly as good."""
    higher = rng.normal(0, UNEQUAL)
    return replace(_two(rng), extra=(max(higher, 0.0), max(-higher, 0.0)))


def _beside(rng: np.random.Generator) -> World:
    wide = replace(draw_curve(rng, rng.uniform(0.25, 0.35)), low=rng.uniform(0.05, 0.2))
    good = replace(draw_curve(rng, rng.uniform(0.04, 0.08)), low=rng.uniform(0.65, 0.85))
    return World((wide, good), extra=(0.6, 0.0), mirrored=bool(rng.integers(2)))


def _hidden(rng: np.random.Generator, island: bool = False) -> World:
    wide = replace(draw_curve(rng, rng.uniform(0.15, 0.3)), low=rng.uniform(0.05, 0.25))
    good = replace(draw_curve(rng, rng.uniform(0.02, 0.04)), low=rng.uniform(0.6, 0.9))
    return World((wide, good), extra=(0.3, 0.0), mirrored=bool(rng.integers(2)), island=island)


def _trio(rng: np.random.Generator) -> World:
    lows = (rng.uniform(0.04, 0.12), rng.uniform(0.38, 0.48), rng.uniform(0.74, 0.84))
    windows = tuple(replace(draw_curve(rng, rng.uniform(0.05, 0.12)), low=low) for low in lows)
    return World(windows, extra=(0.3, 0.0, 0.15), mirrored=bool(rng.integers(2)))


def _valley(rng: np.random.Generator) -> World:
    low, high = rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.75)
    return World((Curve(-0.4, 0.4 + low, 1.0, 0.2, 0.6, 1.5), Curve(high, 1.4 - high, 1.2, 0.3, 0.6, 1.0)))


def _dipped(rng: np.random.Generator) -> World:
    best = rng.uniform(0.15, 0.85)
    return World(plateau=lambda at: 0.2 - 0.2 * np.exp(-(((at - best) / 0.08) ** 2)))


def _shallow(rng: np.random.Generator, wrong: float = 0.0) -> World:
    best = rng.uniform(0.25, 0.75)
    return World(plateau=lambda at: 0.15 * ((at - best) / 0.5) ** 2, wrong=wrong)


def _linear(rng: np.random.Generator) -> World:
    return World(plateau=lambda at: 0.2 * at, mirrored=bool(rng.integers(2)))


def _around(rng: np.random.Generator, low: float, high: float) -> Curve:
    return draw_curve(rng, rng.uniform(low, high))


def _asymmetric(rng: np.random.Generator) -> World:
    curve = _around(rng, 0.15, 0.3)
    spread = (0.01, 0.08) if rng.integers(2) else (0.08, 0.01)
    return World((curve,), spread=spread)


def _scattered(rng: np.random.Generator, share: float) -> World:
    curve = _around(rng, 0.1, 0.2)
    return World((curve,), spread=(share * curve.width, share * curve.width))


DRAW: dict[str, Callable[[np.random.Generator], World]] = {
    "one": lambda rng: World((draw_curve(rng),)),
    "narrow": lambda rng: World((_around(rng, 0.02, 0.04),)),
    "two": _two,
    "unequal": _unequal,
    "beside": _beside,
    "hidden": _hidden,
    "island": lambda rng: _hidden(rng, island=True),
    "end": _end,
    "asymmetric": _asymmetric,
    "reversed": lambda rng: World((_around(rng, 0.04, 0.04),), mirrored=True),
    "paler": lambda rng: World((_around(rng, 0.02, 0.06),), dial=2.0),
    "stronger": lambda rng: World((_around(rng, 0.02, 0.06),), dial=-2.0),
    "flat": lambda rng: World(plateau=np.zeros_like),
    "shallow": _shallow,
    "linear": _linear,
    "errors": lambda rng: _shallow(rng, wrong=0.03),
    "scattered": lambda rng: _scattered(rng, 0.3),
    "none": lambda rng: _scattered(rng, 0.9),
    "nothing": lambda rng: replace(_scattered(rng, 0.1), dead=True, wrong=0.05),
    "seeds": lambda rng: World((draw_curve(rng),), seeds_alike=0.2),
    "few": lambda rng: World((draw_curve(rng),), seeds_alike=0.2),
    "trio": _trio,
    "valley": _valley,
    "soft": lambda rng: World((_around(rng, 0.08, 0.2),), jitter=0.15),
    "dipped": _dipped,
    "flat8x4": lambda rng: World(plateau=np.zeros_like),
    "flat4x8": lambda rng: World(plateau=np.zeros_like),
}
SIZES = {"seeds": (8, 4), "few": (4, 8), "flat8x4": (8, 4), "flat4x8": (4, 8)}  # prompts, seeds
HELD_BACK = ("trio", "valley", "soft", "dipped")
FEWER = (
    "one:1",
    "one:2",
    "one:4",
    "one:8",
    "one:32",
    "none:8",
    "none:32",
    "asymmetric:8",
    "two:8",
    "unequal:8",
)


def world_of(name: str, rng: np.random.Generator) -> World:
    return DRAW[name.partition(":")[0]](rng)


def seeds_of(name: str, studies: int, first: int | None = None) -> range:
    """The seeds of so many studies of a world, from `first` on."""
    if first is None:
        first = 1000 if name in HELD_BACK else 0
    return range(first, first + studies)


def size_of(name: str) -> tuple[int, int]:
    base, _, prompts = name.partition(":")
    return (int(prompts), 1) if prompts else SIZES.get(base, (16, 1))
