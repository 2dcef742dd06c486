"""The uncertainty of one curve: its best ratio, the interval, and how more prompts would narrow it."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gridsearch.results.analysis import optimum
from gridsearch.results.analysis.answer import Doubt, RatioChance, RatioInterval, Width
from gridsearch.results.analysis.trials import CURVE

RELIABLE_PROMPTS = 8  # the bootstrap over fewer covers less than it says
NOT_SEARCHED = Doubt(None, None, "no ratio was searched")


def doubt(images: pd.DataFrame, level: float, resamples: int, seed: int) -> Doubt:
    """Return how sure the best ratio is; see `gridsearch.results.analysis.optimum`.

    Args:
        images: columns at (the ratio), prompt_id, loss. A stopped trial has none of some prompts.
    """
    losses = _losses(images)
    if losses is None:
        return Doubt(None, None, "there is no curve yet, with fewer than three ratios")
    ratios, sums, counts = losses
    centre, draws = optimum.optimum(ratios, sums, counts, resamples, seed)
    prompts = len(sums)
    if prompts == 1:
        return Doubt(centre, None, "with only one prompt, this is a guess")
    low, high = optimum.interval(ratios, centre, draws, level)
    few = prompts < RELIABLE_PROMPTS
    note = f"with only {prompts} prompts, the true uncertainty is larger than this interval" if few else ""
    found = RatioInterval(round(low, 6), round(high, 6), level, prompts, resamples)
    return Doubt(centre, found, note, _chances(ratios, draws))


def with_recommended(found: Doubt, best: float) -> Doubt:
    """Stretch the interval to the recommended ratio: where the two disagree, both are possible."""
    if found.interval is None:
        return found
    low, high = min(found.interval.low, round(best, 6)), max(found.interval.high, round(best, 6))
    return replace(found, interval=replace(found.interval, low=low, high=high))


def _losses(images: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return ratios, and by prompt and ratio the sum of losses and their count, 0 where nothing was drawn."""
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
    """Add how the interval narrows with more prompts, and how many would make it `wanted` wide.

    Args:
        wanted: where None, half of the present width, or as narrow as the ratios allow.
    """
    if found.smoothed is None or found.interval is None or not found.chances:
        return found
    losses = _losses(images)
    assert losses is not None, "what has an interval has a curve"
    steps = optimum.narrowing(*losses, resamples, seed, level)
    width, have = steps[-1][1], found.interval.prompts
    finest = round(optimum.gap_at(losses[0], found.smoothed), 10)
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
