"""Disagreement of the prompts: the answer that each of them alone would give."""

import numpy as np
import pandas as pd

from gridsearch.results.analysis.answer import Disagreement, PromptView
from gridsearch.results.analysis.trials import CURVE
from gridsearch.results.analysis.window import run_around
from gridsearch.score.loss import SURVIVES

# A modified z-score above this stands out (Iglewicz & Hoaglin 1993); 0.6745 makes the median absolute
# deviation of a normal distribution its standard deviation.
STANDS_OUT, NORMAL = 3.5, 0.6745


def disagreement(images: pd.DataFrame, ratio: float) -> Disagreement | None:
    """Return each prompt's own answer, by its own best ratio; None for one prompt or without a curve.

    Args:
        images: columns at (the ratio), prompt_id, verdict, loss.
        ratio: the recommended one.
    """
    if images["prompt_id"].nunique() < 2 or images["at"].nunique() < CURVE:
        return None
    views = [_view(str(prompt), rows, ratio) for prompt, rows in images.groupby("prompt_id", sort=False)]
    bests = np.array([view[1] for view in views])
    step = float(np.median(np.diff(np.sort(images["at"].unique()))))
    found = [
        PromptView(prompt, best, low, high, survives, _why(best, survives, bests, ratio, step))
        for prompt, best, low, high, survives in views
    ]
    return Disagreement(
        low=float(bests.min()),
        high=float(bests.max()),
        spread=float(bests.std(ddof=1)),
        prompts=tuple(sorted(found, key=lambda view: view.best)),
    )


def _view(prompt: str, images: pd.DataFrame, ratio: float) -> tuple:
    """Return (prompt, own best, low, high, survives at `ratio`) of one prompt's images.

    Its own best is where its loss, averaged with its neighbours' on either side, is least: a prompt has few
    images at each ratio, and one lucky seed is no optimum. Of equals, the middle.
    """
    loss = images.groupby("at")["loss"].mean()
    alive = (images["verdict"] == "ok").groupby(images["at"]).mean() >= SURVIVES
    smooth = loss.rolling(3, center=True, min_periods=1).mean()
    least = smooth.index[(smooth - smooth.min()) <= 1e-9]
    best = int(loss.index.get_loc(least[len(least) // 2]))
    low, high = _run(alive.to_numpy(), best)
    places = loss.index.to_numpy(dtype=float)
    ends = (None, None) if low is None else (float(places[low]), float(places[high]))
    # a prompt that was not rendered at the recommended ratio does not count against it
    return prompt, float(places[best]), *ends, bool(alive.get(ratio, True))


def _run(alive: np.ndarray, start: int) -> tuple[int, int] | tuple[None, None]:
    """Return the run of survivors around `start`, or nearest to it."""
    places = np.flatnonzero(alive)
    if not len(places):
        return None, None
    return run_around(alive, int(places[np.abs(places - start).argmin()]))


def _why(best: float, survives: bool, bests: np.ndarray, ratio: float, step: float) -> str:
    if not survives:
        return "does not survive there"
    middle = np.median(bests)
    # what lies within a step of the others cannot be told from them
    deviation = max(float(np.median(np.abs(bests - middle))), step / 2)
    if abs(best - middle) * NORMAL / deviation > STANDS_OUT:
        return f"is best at a {'lower' if best < middle else 'higher'} value"
    return ""
