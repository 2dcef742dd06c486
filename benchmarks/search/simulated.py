"""Runs in a simulated world: how many images `window` or a race draws at each ratio, and wrong stops.

Plan, glances, race and analysis are the real ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.search.worlds import RATIOS, Images, Truth
from gridsearch.experiment.tables import LOOK
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import Results
from gridsearch.score.score import SURVIVES
from gridsearch.search.checks import FLAT_FROM
from gridsearch.search.racing import Racing
from gridsearch.search.samplers.axis import coarse_left, make_axis
from gridsearch.search.samplers.certain import beyond_edges
from gridsearch.search.samplers.glance import glances
from gridsearch.search.samplers.window import Seen, at_edge, finest_of, next_ratio
from gridsearch.search.trial.outcome import SIDES
from tests.helpers.made_up import results_of

AXIS = make_axis(0.0, 1.0, 0.01)
RACED = 30  # trials at random ratios


def order_of(images: Images, rng: np.random.Generator) -> NDArray[np.int64]:
    """The cases as a run draws them: one of every prompt in turn."""
    seeds = np.bincount(images.prompts).max()
    prompts = images.prompts.max() + 1
    rounds = [rng.permutation(prompts) * seeds + turn for turn in range(seeds)]
    return np.concatenate(rounds)


def run_of(images: Images, counts: NDArray, rng: np.random.Generator) -> Results:
    """The results of a run that drew the first `counts` images of each ratio; 0 where it drew none."""
    order = order_of(images, rng)
    at = np.repeat(np.arange(len(RATIOS)), counts)
    case = np.concatenate([order[:count] for count in counts])
    rows = pd.DataFrame({"trial": at, "ratio": RATIOS[at], "prompt": "x"})
    rows["prompt_id"] = [f"p{images.prompts[one]}" for one in case]
    rows["seed"], rows["verdict"], rows["defect"] = case, images.verdicts[at, case], images.defects[at, case]
    found = results_of(Path("nowhere"), rows, ("ratio",))
    stopped = found.trials["trial"].map(dict(enumerate(counts < len(order))))
    found.trials["partial"] = stopped
    found.trials.loc[stopped, "state"] = "PRUNED"
    return found


def searched(images: Images, truth: Truth, seed: Sequence[int]) -> tuple[NDArray, dict[str, float]]:
    """Return how many images `window` draws at each ratio; what the race stopped wrongly, as in a claim."""
    order = order_of(images, np.random.default_rng(seed))
    counts, seen = np.zeros(len(RATIOS), dtype=int), []
    raced: list[tuple[int, int]] = []
    stopped: set[int] = set()  # at an edge
    while not alike(images, counts, seed):
        best, taken = leader(images, counts), [one.ratio for one in seen]
        ratio, glance = next_ratio(seen, AXIS, finest_of(len(order))), 0
        if ratio is None or ratio in coarse_left(taken, AXIS):
            ratio = next(glances(seen, AXIS, len(order)), None) if ratio is None else ratio
            glance = 1 if best is None else int((images.losses[best, order] < 1).argmax()) + 1
        if ratio is None:
            ratio, glance = next(beyond_edges(seen, AXIS), None), 0
        if ratio is None:
            break
        at = number_of(ratio)
        edge = not glance and at not in stopped and at_edge(seen, ratio)
        race = racing(images, order, edges=True, glance=glance, at_edge=edge)
        counts[at] = drawn_of(images, order, at, counts, race)
        if best is not None:
            raced.append((at, best))
        found = seen_at(images, order[: counts[at]], at, len(order))
        seen.append(replace(found, glanced=found.partial and glance > 0 and counts[at] <= LOOK, edge=edge))
        if edge:
            stopped.add(at)
    return counts, wrong_stops(images, truth, counts, raced)


def wrong_stops(
    images: Images, truth: Truth, counts: NDArray, raced: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """The claim's fields on stops, of ratios each raced against the best then; a ratio counts once."""
    losses, sound = images.losses.mean(axis=1), (images.verdicts == "ok").mean(axis=1)
    good = {at for at, best in raced if truth.loss[at] <= truth.loss[best] and truth.sound[at] >= SURVIVES}
    here = {at for at, best in raced if losses[at] <= losses[best] and sound[at] >= SURVIVES}
    short = set(np.flatnonzero(counts < images.verdicts.shape[1]).tolist())
    tried = [at for at in np.flatnonzero(counts).tolist() if truth.sound[at] >= SURVIVES]
    return {
        "false_stops": len(good & short),
        "false_of": len(good),
        "best_stopped": float(min(tried, key=truth.loss.__getitem__) in short) if tried else np.nan,
        "lost": len(here & short),
        "lost_of": len(here),
    }


def alike(images: Images, counts: NDArray, seed: Sequence[int]) -> bool:
    """Whether all that was drawn is said to draw as well, which ends a search."""
    drawn = np.flatnonzero(counts)
    alive = [(images.verdicts[at] == "ok").mean() >= SURVIVES for at in drawn]
    if len(drawn) < FLAT_FROM or not all(alive) or (counts[drawn] < images.verdicts.shape[1]).any():
        return False
    best = analyse(run_of(images, counts, np.random.default_rng(seed)), resamples=1000).best
    return best is not None and best.plateau is not None and best.plateau.whole


def seen_at(images: Images, drawn: NDArray, at: int, cases: int) -> Seen:
    return Seen(
        float(RATIOS[at]),
        float((images.verdicts[at, drawn] == "ok").mean()),
        _side(images.verdicts[at, drawn]) or float(np.median(images.dials[at, drawn])),
        float(images.losses[at, drawn].mean()),
        len(drawn) < cases,
        prompts=len(np.unique(images.prompts[drawn])),
        losses=dict(enumerate(images.losses[at, drawn].tolist())),
    )


def _side(verdicts: NDArray) -> float:
    return float(np.mean([SIDES.get(verdict, 0) for verdict in verdicts.tolist()]))


def leader(images: Images, counts: NDArray) -> int | None:
    """The best whole trial by rank."""
    whole = np.flatnonzero(counts == images.verdicts.shape[1])
    return min(whole, key=lambda i: float(images.losses[i].mean()), default=None)


def raced(images: Images, truth: Truth, seed: int) -> tuple[NDArray, dict[str, float]]:
    """As `searched`, of so many trials at random ratios, each raced against the best so far."""
    order = order_of(images, np.random.default_rng([seed, 3]))
    counts, raced = np.zeros(len(RATIOS), dtype=int), []
    for at in np.random.default_rng([seed, 4]).permutation(len(RATIOS))[:RACED]:
        best = leader(images, counts)
        counts[at] = drawn_of(images, order, at, counts, racing(images, order))
        if best is not None:
            raced.append((int(at), best))
    return counts, wrong_stops(images, truth, counts, raced)


def racing(images: Images, order: NDArray, **how) -> Racing:
    return Racing([str(images.prompts[case]) for case in order], **how)


def drawn_of(images: Images, order: NDArray, at: int, counts: NDArray, race: Racing) -> int:
    """Return the number of images that the race draws at a ratio in all."""
    best, whole, drawn = leader(images, counts), int((counts == len(order)).sum()), int(counts[at])
    own = images.losses[at, order]
    other = {} if best is None else dict(enumerate(images.losses[best, order]))
    while drawn < len(order):
        drawn = min(drawn + LOOK, race.next_look(drawn, int((own[:drawn] < 1).sum())))
        if race.why(dict(enumerate(own[:drawn])), other, whole):
            break
    return drawn


def number_of(ratio: float) -> int:
    """The place of a ratio in RATIOS."""
    return int(np.abs(RATIOS - ratio).argmin())
