"""The window: the run of ratios around the best that survives, and what ends it on either side."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Edge:
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
        """Where the window ends, as nearly as is known: half way to the neighbour outside."""
        return self.inside if self.outside is None else (self.inside + self.outside) / 2


@dataclass(frozen=True)
class Window:
    """Ratios from `low.inside` to `high.inside` keep at least `share` of their images."""

    low: Edge
    high: Edge
    share: float


def find_window(survived: pd.Series, images: pd.DataFrame, best: float, share: float) -> Window | None:
    """The contiguous run of ratios around `best` that survives; None where `best` itself does not.

    Args:
        survived: share of `ok` images per ratio; the index holds the ratios, ascending.
        images: one row per image of these ratios, with columns at (the ratio), prompt_id, verdict, defect.
        best: one of the ratios.
        share: what a ratio must keep to survive.
    """
    alive = (survived >= share).to_numpy()
    ratios = survived.index.to_numpy()
    low = high = survived.index.get_loc(best)
    if not alive[low]:
        return None
    while low > 0 and alive[low - 1]:
        low -= 1
    while high < len(ratios) - 1 and alive[high + 1]:
        high += 1
    below = ratios[low - 1] if low > 0 else None
    above = ratios[high + 1] if high < len(ratios) - 1 else None
    return Window(
        low=_edge(images, best, ratios[low], below, images["at"] < best),
        high=_edge(images, best, ratios[high], above, images["at"] > best),
        share=share,
    )


def _edge(images: pd.DataFrame, best: float, inside: float, outside: float | None, side: pd.Series) -> Edge:
    failed = images["verdict"] != "ok"
    # a prompt that fails at the best ratio says nothing about either edge
    never = images.loc[failed & (images["at"] == best), "prompt_id"]
    first = _nearest(images[side & failed & ~images["prompt_id"].isin(never)], best)
    return Edge(
        inside=float(inside),
        outside=None if outside is None else float(outside),
        verdict=None if outside is None else _most_frequent(images[failed & (images["at"] == outside)]),
        prompt=None if first is None else str(first["prompt_id"]),
        prompt_at=None if first is None else float(first["at"]),
    )


def _nearest(failures: pd.DataFrame, best: float) -> pd.Series | None:
    """The failing image nearest to `best`; of several at one ratio, the worst."""
    if failures.empty:
        return None
    ordered = failures.assign(distance=(failures["at"] - best).abs().round(10))
    return ordered.sort_values(["distance", "defect"], ascending=[True, False]).iloc[0]


def _most_frequent(failures: pd.DataFrame) -> str | None:
    return None if failures.empty else str(failures["verdict"].value_counts().index[0])
