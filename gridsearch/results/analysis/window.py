"""The window: the run of ratios around the best that survives, and its edge on either side.

And the disagreement of the prompts: the answer that each of them alone would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from gridsearch.score.score import SURVIVES

# A modified z-score above this stands out (Iglewicz & Hoaglin 1993); 0.6745 makes the median absolute
# deviation of a normal distribution its standard deviation.
STANDS_OUT, NORMAL = 3.5, 0.6745
CURVE = 3  # places; fewer make no curve


@dataclass(frozen=True)
class WindowEdge:
    """One end of the window.

    Attributes:
        inside: the last ratio that survives.
        outside: its rendered neighbour that does not; None where the sweep ends before the window does.
        verdict: what most failing images at `outside` are.
        prompt: id of the prompt that fails first, walking from the best ratio to this side.
        prompt_at: the ratio at which it fails.
    """

    inside: float
    outside: float | None
    verdict: str | None
    prompt: str | None
    prompt_at: float | None

    @property
    def at(self) -> float:
        """The end of the window, as nearly as is known: half way to the neighbour outside."""
        return self.inside if self.outside is None else (self.inside + self.outside) / 2


@dataclass(frozen=True)
class Window:
    """Ratios from `low.inside` to `high.inside` keep at least `share` of their images."""

    low: WindowEdge
    high: WindowEdge
    share: float


def find_window(survived: pd.Series, images: pd.DataFrame, best: float, share: float) -> Window | None:
    """Return the contiguous run of ratios around `best` that survives; None where `best` itself does not.

    Args:
        survived: share of `ok` images per ratio; the index holds the ratios, ascending.
        images: one row per image of these ratios, with columns at (the ratio), prompt_id, verdict, defect.
        share: what a ratio must keep to survive.
    """
    alive = (survived >= share).to_numpy()
    ratios = survived.index.to_numpy()
    at = survived.index.get_loc(best)
    if not alive[at]:
        return None
    low, high = run_around(alive, at)
    below = ratios[low - 1] if low > 0 else None
    above = ratios[high + 1] if high < len(ratios) - 1 else None
    return Window(
        low=_edge(images, best, ratios[low], below, images["at"] < best),
        high=_edge(images, best, ratios[high], above, images["at"] > best),
        share=share,
    )


def run_around(alive: Sequence[bool] | np.ndarray, start: int) -> tuple[int, int]:
    """Return the first and the last place of the run of true values around `start`."""
    low = high = start
    while low > 0 and alive[low - 1]:
        low -= 1
    while high < len(alive) - 1 and alive[high + 1]:
        high += 1
    return low, high


def _edge(
    images: pd.DataFrame, best: float, inside: float, outside: float | None, side: pd.Series
) -> WindowEdge:
    failed = images["verdict"] != "ok"
    # a prompt that fails at the best ratio says nothing about either edge
    never = images.loc[failed & (images["at"] == best), "prompt_id"]
    known = images[side & failed & ~images["prompt_id"].isin(never)]
    known = known.assign(distance=(known["at"] - best).abs().round(10))
    nearest = known.sort_values(["distance", "defect"], ascending=[True, False])  # the worst at a ratio
    beyond = images.loc[failed & (images["at"] == outside), "verdict"].value_counts().index
    return WindowEdge(
        inside=float(inside),
        outside=None if outside is None else float(outside),
        verdict=str(beyond[0]) if len(beyond) else None,
        prompt=str(nearest["prompt_id"].iloc[0]) if len(nearest) else None,
        prompt_at=float(nearest["at"].iloc[0]) if len(nearest) else None,
    )


# -- the prompts


@dataclass(frozen=True)
class PromptView:
    """Answer of one prompt alone: `best` is its own best ratio, `low` to `high` its own survivors.

    `low` and `high` are None where it survives nowhere; `survives` is whether it does at the recommended
    ratio; `stands_out` why it is unlike the others, empty where it is not.
    """

    prompt: str
    best: float
    low: float | None
    high: float | None
    survives: bool
    stands_out: str


@dataclass(frozen=True)
class Disagreement:
    """Range of the prompts' own best ratios, `low` to `high`, and their standard deviation, `spread`."""

    low: float
    high: float
    spread: float
    prompts: tuple[PromptView, ...]


def disagreement(images: pd.DataFrame, ratio: float) -> Disagreement | None:
    """Return each prompt's own answer beside the recommended ratio; None for one prompt or without a curve.

    Images have the columns at (the ratio), prompt_id, verdict, loss.
    """
    if images["prompt_id"].nunique() < 2 or images["at"].nunique() < CURVE:
        return None
    views = [_view(str(prompt), rows, ratio) for prompt, rows in images.groupby("prompt_id", sort=False)]
    bests = np.array([view.best for view in views])
    step = float(np.median(np.diff(np.sort(images["at"].unique()))))
    found = [replace(view, stands_out=_why(view, bests, step)) for view in views]
    return Disagreement(
        low=float(bests.min()),
        high=float(bests.max()),
        spread=float(bests.std(ddof=1)),
        prompts=tuple(sorted(found, key=lambda view: view.best)),
    )


def _view(prompt: str, images: pd.DataFrame, ratio: float) -> PromptView:
    """Return the answer of one prompt's images, but for why it stands out.

    Its own best is where its loss, averaged with its neighbours' on either side, is least: a prompt has few
    images at each ratio, and one lucky seed is no optimum. Of equals, the middle.
    """
    loss = images.groupby("at")["loss"].mean()
    alive = (images["verdict"] == "ok").groupby(images["at"]).mean() >= SURVIVES
    smooth = loss.rolling(3, center=True, min_periods=1).mean()
    least = smooth.index[(smooth - smooth.min()) <= 1e-9]
    best = int(loss.index.get_loc(least[len(least) // 2]))
    places, survivors = loss.index.to_numpy(dtype=float), np.flatnonzero(alive)
    low = high = None
    if len(survivors):
        start = int(survivors[np.abs(survivors - best).argmin()])  # the nearest one
        low, high = (float(places[end]) for end in run_around(alive.to_numpy(), start))
    # a prompt that was not rendered at the recommended ratio does not count against it
    return PromptView(prompt, float(places[best]), low, high, bool(alive.get(ratio, True)), "")


def _why(view: PromptView, bests: np.ndarray, step: float) -> str:
    if not view.survives:
        return "does not survive there"
    middle = np.median(bests)
    # what lies within a step of the others cannot be told from them
    deviation = max(float(np.median(np.abs(bests - middle))), step / 2)
    if abs(view.best - middle) * NORMAL / deviation > STANDS_OUT:
        return f"is best at a {'lower' if view.best < middle else 'higher'} value"
    return ""
