"""One curve's doubt: where the loss is least, between which ratios, and what more prompts would change."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.answer import Doubt, Interval, RatioChance, Width
from gridsearch.results.analysis.trials import CURVE

FEW = 8  # the bootstrap over fewer covers less than it says
NO_RATIO = Doubt(None, None, "no ratio was searched")


def doubt(images: pd.DataFrame, level: float, resamples: int, seed: int) -> Doubt:
    """How sure the best ratio is; see `gridsearch.results.analysis.optimum`.

    Args:
        images: columns at (the ratio), prompt_id, loss. A stopped trial has none of some prompts.
    """
    losses = _losses(images)
    if losses is None:
        return Doubt(None, None, "fewer than three ratios: there is no curve yet")
    ratios, sums, counts = losses
    centre, draws = optimum.optimum(ratios, sums, counts, resamples, seed)
    prompts = len(sums)
    if prompts == 1:
        return Doubt(centre, None, "one prompt only: this is a guess")
    low, high = optimum.interval(ratios, centre, draws, level)
    note = f"only {prompts} prompts: the true doubt is wider than this interval" if prompts < FEW else ""
    found = Interval(round(low, 6), round(high, 6), level, prompts, resamples)
    return Doubt(centre, found, note, _chances(ratios, draws))


def holding(found: Doubt, best: float) -> Doubt:
    """The same with the recommended ratio in the interval: where the two disagree, both are possible."""
    if found.interval is None:
        return found
    low, high = min(found.interval.low, round(best, 6)), max(found.interval.high, round(best, 6))
    return replace(found, interval=replace(found.interval, low=low, high=high))


def _losses(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(ratios, sums, counts): the loss of each prompt at each ratio; a count is 0 where it was not drawn."""
    table = images.assign(one=1.0).pivot_table(
        index="prompt_id", columns="at", values=["loss", "one"], aggfunc="sum", fill_value=0
    )
    if table.empty or table["loss"].shape[1] < CURVE:
        return None
    ratios = table["loss"].columns.to_numpy(dtype=float)
    return ratios, table["loss"].to_numpy(dtype=float), table["one"].to_numpy(dtype=float)


def _chances(ratios: np.ndarray, draws: np.ndarray) -> tuple[RatioChance, ...]:
    if not len(draws):
        return ()
    chances = optimum.probability_best(ratios, draws)
    return tuple(RatioChance(float(at), float(chance)) for at, chance in zip(ratios, chances, strict=True))


def with_narrowing(
    found: Doubt, images: pd.DataFrame, wanted: float | None, level: float, resamples: int, seed: int
) -> Doubt:
    """The same with how the interval narrows as prompts are added, and how many would make it `wanted` wide.

    Args:
        wanted: where None, half of the present width, or as narrow as the ratios allow.
    """
    if found.interval is None or not found.chances:
        return found
    losses = _losses(images)
    steps = optimum.narrowing(*losses, resamples, seed, level)
    if not steps:
        return found
    width, have, finest = steps[-1][1], found.interval.prompts, _gap(losses[0], found.smoothed)
    wanted = max(width / 2, finest) if wanted is None else wanted
    needed = None
    if width <= wanted:
        needed = have
    elif wanted >= finest:
        needed = max(have, optimum.prompts_for(wanted, width, have, level))
    return replace(
        found,
        narrowing=tuple(Width(int(prompts), float(wide)) for prompts, wide in steps),
        wanted_width=float(wanted),
        prompts_needed=needed,
        finest=finest,
    )


def _gap(ratios: np.ndarray, centre: float) -> float:
    """Between the two ratios about `centre`, where nothing was rendered."""
    after = int(np.clip(np.searchsorted(ratios, centre), 1, len(ratios) - 1))
    return round(float(ratios[after] - ratios[after - 1]), 10)
