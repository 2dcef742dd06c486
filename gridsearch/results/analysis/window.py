"""The window: the run of ratios around the best that survives, and its edge on either side.

And the disagreement of the prompts: the answer that each of them alone would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy

from gridsearch.results.analysis.tally import Tally, tally
from gridsearch.score.score import SURVIVES

# A modified z-score above this stands out (Iglewicz & Hoaglin 1993); 0.6745 makes the median absolute
# deviation of a normal distribution its standard deviation.
STANDS_OUT, NORMAL = 3.5, 0.6745
EDGE_LEVEL = 0.95  # of an edge's interval
MISJUDGED = 0.05  # of the verdicts on styles that the gate knows (docs/scoring-measured.md)
CURVE = 3  # places; fewer make no curve


@dataclass(frozen=True)
class WindowEdge:
    """One end of the window.

    Attributes:
        inside: the last ratio that survives.
        outside: its rendered neighbour that does not; None where the sweep ends before the window does.
        verdict: what most failing images at `outside` are.
        prompt: id of the prompt of the first failed image, walking from the best ratio to this side.
        prompt_at: the ratio of that image.
        least, most: between them surely lies where half of *all* prompts cease to be sound; the last ratios
            rendered where nothing tells.
    """

    inside: float
    outside: float | None
    verdict: str | None
    prompt: str | None
    prompt_at: float | None
    least: float
    most: float

    @property
    def at(self) -> float:
        """The end of the window, as nearly as is known: half way to the neighbour outside."""
        return self.inside if self.outside is None else (self.inside + self.outside) / 2


@dataclass(frozen=True)
class Window:
    """Ratios from `low.inside` to `high.inside` keep at least `share` of their images.

    `sure` is whether one of them surely keeps as many of all prompts' images.
    """

    low: WindowEdge
    high: WindowEdge
    share: float
    sure: bool


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
    inside, outside = surely(images, share)
    own = range(low, high + 1)
    start = min((i for i in own if inside[i]), key=lambda i: abs(i - at), default=at)
    first, last = run_around(inside, start) if inside[start] else (start, start)
    from_ = max(np.flatnonzero(outside[:first]), default=0)
    to = min(last + 1 + np.flatnonzero(outside[last + 1 :]), default=len(ratios) - 1)
    spans = (ratios[from_], ratios[first]), (ratios[last], ratios[to])
    return Window(
        low=_edge(images, best, ratios[low], below, images["at"] < best, spans[0]),
        high=_edge(images, best, ratios[high], above, images["at"] > best, spans[1]),
        share=share,
        sure=bool(inside[start]),
    )


def other_windows(survived: pd.Series, images: pd.DataFrame, best: float, share: float) -> tuple[Window, ...]:
    """Return the windows around which `best` does not lie, ascending; only those that are sure.

    Few prompts survive by chance at a ratio or two in many places. Arguments are those of `find_window`.
    """
    alive = (survived >= share).to_numpy()
    inside, _ = surely(images, share)
    low, high = run_around(alive, survived.index.get_loc(best))
    known, found = set(range(low, high + 1)), []
    for start in np.flatnonzero(inside & alive).tolist():
        if start not in known:
            low, high = run_around(alive, start)
            known |= set(range(low, high + 1))
            found.append(find_window(survived, images, survived.index[start], share))
    return tuple(window for window in found if window)


def surely(images: pd.DataFrame, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each ratio, ascending, surely keeps more than `share` of all prompts' images, or less.

    By the exact binomial test of the number of sound images, at half of 1 - EDGE_LEVEL for each side. So an
    edge's interval is that of a median by order statistics; assumed is only that a prompt which is sound at
    a ratio is so from there inwards.
    """
    found = tally(images, images["verdict"] == "ok")
    total = found.counts.sum(axis=0)
    drawn = total / _alike(found)
    kept = found.sums.sum(axis=0) / total * drawn
    tail = (1 - EDGE_LEVEL) / 2
    more = scipy.special.betainc(np.maximum(kept, 0.5), drawn - kept + 1, share) <= tail
    less = scipy.special.betainc(np.maximum(drawn - kept, 0.5), kept + 1, 1 - share) <= tail
    return more & (kept > 0), less & (kept < drawn)


def _alike(sound: Tally) -> float:
    """Return by how much images of one prompt are alike: so many count as one (the design effect, Kish 1965).

    From the scatter of the prompts' shares about each ratio's, over what independent images would have.
    """
    counts, drawn = sound.counts, sound.counts > 0
    most = float(counts.max())
    shares = sound.sums / np.maximum(counts, 1)
    prompts = drawn.sum(axis=0)
    mean = shares.sum(axis=0) / prompts
    scatter = np.where(drawn, (shares - mean) ** 2, 0.0).sum(axis=0)
    seen = scatter * prompts / np.maximum(prompts - 1, 1)
    expected = (mean * (1 - mean) * prompts**2 / counts.sum(axis=0)).sum()
    return float(np.clip(seen.sum() / expected, 1.0, most)) if expected > 0 else most


def share_interval(shares: np.ndarray, level: float) -> tuple[float, float]:
    """Return the interval of the share of which these are the prompts' own (Clopper & Pearson 1934).

    It holds as well where up to MISJUDGED of all verdicts are wrong (Rogan & Gladen 1978).
    """
    count, kept, tail = len(shares), float(shares.sum()), (1 - level) / 2
    low = float(scipy.special.betaincinv(kept, count - kept + 1, tail)) if kept > 0 else 0.0
    high = float(scipy.special.betaincinv(kept + 1, count - kept, 1 - tail)) if kept < count else 1.0
    righted = [(end - MISJUDGED) / (1 - 2 * MISJUDGED) for end in (low, high)]
    return max(min(low, righted[0]), 0.0), min(max(high, righted[1]), 1.0)


def run_around(alive: Sequence[bool] | np.ndarray, start: int) -> tuple[int, int]:
    """Return the first and the last place of the run of true values around `start`."""
    low = high = start
    while low > 0 and alive[low - 1]:
        low -= 1
    while high < len(alive) - 1 and alive[high + 1]:
        high += 1
    return low, high


def _edge(
    images: pd.DataFrame,
    best: float,
    inside: float,
    outside: float | None,
    side: pd.Series,
    span: tuple[float, float],
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
        least=float(span[0]),
        most=float(span[1]),
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
    images at each ratio, and one lucky seed is no optimum. Of equals, the middle. Where it survives at any
    ratio, only those count: the last one has a neighbour on one side only, and may be broken itself.
    """
    places, place = np.unique(images["at"].to_numpy(dtype=float), return_inverse=True)
    drawn, healthy = np.bincount(place), (images["verdict"] == "ok").to_numpy()
    alive = np.bincount(place, healthy) / drawn >= SURVIVES
    losses = np.pad(np.bincount(place, images["loss"].to_numpy(dtype=float)) / drawn, 1)
    neighbours = np.pad(np.ones(len(places)), 1)
    smooth = (losses[:-2] + losses[1:-1] + losses[2:]) / (neighbours[:-2] + 1 + neighbours[2:])
    counts = alive if alive.any() else np.ones_like(alive)
    least = np.flatnonzero(counts & (smooth - smooth[counts].min() <= 1e-9))
    best, survivors = int(least[len(least) // 2]), np.flatnonzero(alive)
    low = high = None
    if len(survivors):
        start = int(survivors[np.abs(survivors - best).argmin()])  # the nearest one
        low, high = (float(places[end]) for end in run_around(alive, start))
    # a prompt that was not rendered at the recommended ratio does not count against it
    return PromptView(prompt, float(places[best]), low, high, bool(alive[places == ratio].all()), "")


def _why(view: PromptView, bests: np.ndarray, step: float) -> str:
    if not view.survives:
        return "does not survive there"
    middle = np.median(bests)
    # what lies within a step of the others cannot be told from them
    deviation = max(float(np.median(np.abs(bests - middle))), step / 2)
    if abs(view.best - middle) * NORMAL / deviation > STANDS_OUT:
        return f"is best at a {'lower' if view.best < middle else 'higher'} value"
    return ""
