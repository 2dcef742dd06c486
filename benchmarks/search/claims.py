"""The claims of a run of a simulated world, held against what is true of all prompts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.search.simulated import AXIS, RACED, number_of, raced, run_of, searched
from benchmarks.search.worlds import RATIOS, Images, Truth, drawn, seeds_of, size_of, truth_of, world_of
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.optimum import MARGIN
from gridsearch.results.analysis.window import Window, run_around
from gridsearch.score.score import SURVIVES

NEAR, EDGE, SAME = 0.02, 0.01, 1e-9


@dataclass(frozen=True)
class Claim:
    """One study's answer against its truth; NaN where there is nothing to compare.

    Attributes:
        renders: the share of the grid's renders.
        regret: the true loss at the recommended ratio above the least.
        taken: the recommended ratio is within NEAR of one that is as good as the best.
        covered, width: the interval holds a ratio that is as good as the best; its length.
        said, right: the greatest chance given to a rendered ratio, and whether it is as good as any that was
            rendered, to MARGIN; of ratios with one chance, the nearest to the recommended one.
        fewer: the recommended trial has fewer sound images than one that ties with it.
        window, edges: a window is claimed for all prompts; the share of its edges' intervals that hold.
        kept: the interval of the recommended ratio's survival holds the true one.
        true, stated: the recommended ratio's true loss, and that which is said to be expected.
        flat: all that survives is said to be equal.
        found, told: of the true windows, those in which a whole trial survives, and those that are named.
        near: both edges are within EDGE of those that all ratios give for the same cases.
        false_stops, false_of: of so many ratios truly as good as the best so far, those that a race stopped
            and no later trial drew whole.
        best_stopped: of the ratios tried, the truly best one that survives is left stopped.
        lost, lost_of: the same of ratios that survive and are as good on the cases at hand, drawn whole.
    """

    renders: float
    regret: float
    taken: float
    covered: float
    width: float
    said: float
    right: float
    fewer: float
    window: float
    edges: float
    edge_width: float
    kept: float
    true: float
    stated: float
    flat: float
    found: float
    told: float
    near: float
    false_stops: float
    false_of: float
    best_stopped: float
    lost: float
    lost_of: float


NOTHING = dict.fromkeys(Claim.__annotations__, math.nan)


def claim_of(name: str, how: str, seed: int) -> Claim:
    """One study of a world, of all ratios (`grid`) or of those that `window` draws."""
    world = world_of(name, np.random.default_rng([seed, 0]))
    truth = truth_of(world, np.random.default_rng([seed, 1]))
    images = drawn(world, *size_of(name), np.random.default_rng([seed, 2]))
    counts, stops = np.full(len(RATIOS), images.verdicts.shape[1]), {}
    if how == "race":
        counts, stops = raced(images, truth, seed)
        share = counts.sum() / (RACED * images.verdicts.shape[1])
        return Claim(**NOTHING | stops | {"renders": share})
    if how == "window":
        counts, stops = searched(images, truth, [seed, 3])
    results = run_of(images, counts, np.random.default_rng([seed, 3]))
    return held(analyse(results, resamples=1000), images, counts, truth, stops)


# -- against the truth


def held(answer: Answer, images: Images, counts: NDArray, truth: Truth, stops: dict[str, float]) -> Claim:
    """Hold an answer against the truth."""
    known = stops | {"renders": counts.sum() / images.verdicts.size}
    best, survived = answer.best, (images.verdicts == "ok").mean(axis=1)
    alive = np.flatnonzero((survived >= SURVIVES) & (counts == images.verdicts.shape[1]))
    if truth.windows:
        known["found"] = float(np.mean([np.isin(alive, run).any() for run in truth.windows]))
        named = [one for one in (best.window, *best.others) if one] if best else []
        known["told"] = float(np.mean([any(_in(one, run) for one in named) for run in truth.windows]))
    if best is None or best.ratio is None:
        return Claim(**NOTHING | known)
    ratio, at = best.ratio, number_of(best.ratio)
    places = [(one.low, one.high) for one in best.doubt.places]
    chances = best.doubt.chances
    if chances:
        likeliest = max(chances, key=lambda one: (one.chance, -abs(one.ratio - ratio)))
        least = min(truth.loss[number_of(one.ratio)] for one in chances)
        known["said"] = likeliest.chance
        known["right"] = float(truth.loss[number_of(likeliest.ratio)] <= least + MARGIN + SAME)
    if places:
        near = AXIS.step / 2 + SAME  # the truth is read at every step
        inside = [((truth.bests >= low - near) & (truth.bests <= high + near)).any() for low, high in places]
        known["covered"], known["width"] = float(any(inside)), sum(high - low for low, high in places)
    if best.elsewhere:
        known["stated"], known["kept"] = (
            best.elsewhere.loss,
            float(best.elsewhere.low <= truth.sound[at] <= best.elsewhere.high),
        )
    return Claim(
        **NOTHING
        | known
        | _window(best.window, truth, best.ratio)
        | {"near": _near(best.window, survived >= SURVIVES, at)}
        | {
            "regret": truth.regret(best.ratio),
            "taken": float(np.abs(truth.bests - best.ratio).min() <= NEAR + SAME),
            "fewer": float(any(survived[trial] > survived[at] + SAME for trial in answer.tied)),
            "flat": float(best.plateau is not None and best.plateau.whole),
            "true": float(truth.loss[at]),
        }
    )


def _window(window: Window | None, truth: Truth, ratio: float) -> dict[str, float]:
    """Return what is claimed of the window for all prompts, and which of its edges' intervals hold."""
    if window is None:
        return {"window": 0.0}
    true = truth.edges(ratio)
    if true is None:
        return {"window": float(window.sure)}
    ends = [(window.low, true[0], 0.0), (window.high, true[1], 1.0)]
    held = [edge.least <= (end if known is None else known) <= edge.most for edge, known, end in ends]
    wide = [edge.most - edge.least for edge, _, _ in ends]
    return {"window": float(window.sure), "edges": float(np.mean(held)), "edge_width": float(np.mean(wide))}


def _near(window: Window | None, alive: NDArray, at: int) -> float:
    """Whether both edges are those that all ratios give for the same cases, to EDGE."""
    if window is None:
        return float(not alive[at])
    low, high = run_around(alive, at)
    ends = abs(window.low.inside - RATIOS[low]), abs(window.high.inside - RATIOS[high])
    return float(max(ends) <= EDGE + SAME)


def _in(window: Window, run: NDArray) -> bool:
    return window.low.inside <= RATIOS[run[-1]] + SAME and window.high.inside >= RATIOS[run[0]] - SAME


# -- the table

HEAD = """{studies} studies of each world; in % but regret, widths and chances

world        how  renders  most found  told  near regret taken cover width  said right \
fewer  flat window edges width kept loss stopped best"""

FOOT = """
renders of the grid's, on average and at most
found   of the true windows, those in which a whole trial survives; told: those that the answer names
near    both edges are within 0.01 of those that all ratios give for the same cases
regret, taken: of the recommended ratio, its true loss above the least, and whether it
        is within 0.02 of one that is as good as the best
cover   the 95% interval holds such a ratio; width: its mean length
said    the greatest chance given to a ratio, on average; right: how often none is better by over 0.05
fewer   the recommended trial has fewer sound images than one that ties with it
flat    all that survives is said to be equal
window  a window is claimed for all prompts; edges, width: their 95% intervals hold the truth; their length
kept    the 95% interval of the recommended ratio's survival holds the true one
loss    the recommended ratio's true mean loss over the one that is said to be expected
stopped of trials truly as good as the best so far that survive, those that are left stopped (of how many);
best    of the ratios tried the truly best one that survives is left stopped"""


def table(
    names: Sequence[str], hows: Sequence[str], studies: int, save: Path | None, first: int | None = None
) -> Iterator[str]:
    """The lines, each as soon as it is known; every study's claim is added to the file `save`."""
    yield HEAD.format(studies=studies)
    for name in names:
        for how in hows:
            seeds = seeds_of(name, studies, first)
            found = pd.DataFrame([asdict(claim_of(name, how, seed)) for seed in seeds])
            if save:
                own = found.assign(world=name, how=how)
                own.to_csv(save, mode="a", header=not save.exists(), index=False)
            yield row(name, how, found)
    yield FOOT


def row(name: str, how: str, found: pd.DataFrame) -> str:
    mean = found.mean()
    cells = [f"{100 * mean['renders']:7.1f} {100 * found['renders'].max():5.1f}"]
    cells += [f"{100 * mean[field]:5.1f}" for field in ("found", "told", "near")]
    cells += [f"{mean['regret']:6.3f} {100 * mean['taken']:5.0f}"]
    cells += [f"{100 * mean['covered']:6.1f} {mean['width']:5.3f} {mean['said']:5.2f} {mean['right']:5.2f}"]
    cells += [f"{100 * mean[field]:5.1f}" for field in ("fewer", "flat", "window", "edges")]
    cells += [f"{mean['edge_width']:5.3f} {100 * mean['kept']:5.1f} {mean['true'] / mean['stated']:4.2f}"]
    stopped, of = found[["false_stops", "false_of"]].sum()
    cells += [f"{100 * stopped / of if of else math.nan:4.1f} ({of:.0f}) {100 * mean['best_stopped']:4.1f}"]
    return f"{name:<13}{how:<6}{' '.join(cells)}"
