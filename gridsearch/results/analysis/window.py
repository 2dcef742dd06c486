"""The window: the run of ratios around the best that survives, and its edge on either side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


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
        best: one of the ratios.
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
    first = _nearest(images[side & failed & ~images["prompt_id"].isin(never)], best)
    return WindowEdge(
        inside=float(inside),
        outside=None if outside is None else float(outside),
        verdict=None if outside is None else _most_frequent(images[failed & (images["at"] == outside)]),
        prompt=None if first is None else str(first["prompt_id"]),
        prompt_at=None if first is None else float(first["at"]),
    )


def _nearest(failures: pd.DataFrame, best: float) -> pd.Series | None:
    """Return the failing image nearest to `best`; of several at one ratio, the worst."""
    if failures.empty:
        return None
    ordered = failures.assign(distance=(failures["at"] - best).abs().round(10))
    return ordered.sort_values(["distance", "defect"], ascending=[True, False]).iloc[0]


def _most_frequent(failures: pd.DataFrame) -> str | None:
    return None if failures.empty else str(failures["verdict"].value_counts().index[0])
