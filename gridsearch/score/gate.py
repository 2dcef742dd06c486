"""The learned gate: how strongly the looks of a picture speak for its being broken, and in which way.

Boosted trees (Friedman 2001) on a picture's distances from sound ones, trait by trait, give the logit of
being broken; so a mild fault in several traits counts as a severe one in a single trait does. A logistic
regression on the same distances names the way. Where there are references, so do trees on distances from
them too, and what the reference shares is no fault. The table beside this file is fitted to pictures of many
styles, sound and broken, by `python -m benchmarks.verdicts`. It holds

- `traits`: of each metric that counts, and of ratios of two, "a/b", the fields of `Trait`;
- `alone` and `referred`: the judges of a picture without and with a reference, as the fields of `Judge`. A
  tree is a number, or [input, edge, tree where the input is at most the edge, tree where it is above]. The
  inputs are the distances in the order of the traits; of `referred`, those from the reference follow.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp, isnan, log, sqrt
from typing import Any

from gridsearch.score.metrics import Metrics

TABLE = "gate.json"
MOST_SPREADS = 6.0  # spreads; what lies farther counts as so far
LEAST_LEVELS = 0.1  # added to both sides of a ratio
LEAST_SHAPES = 0.28  # share of contrast; sound pictures of all styles have more
SECOND_LOOK, SUREST = 0.7, 8.0  # the weight of the second look beside the gate, and the most either says
# Ways to break of which a second look acquits nothing: photographs of any exposure show the same things.
OF_TONES = ("burnt", "ghost")
LEAST_GATED_SIDE = 160.0  # pixels of a working copy: details of smaller pictures are not those of these
TRAIT_SCALES: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = {
    "log": (lambda x, offset: log(max(x, 0.0) + offset), lambda y, offset: exp(y) - offset),
    "near 1": (lambda x, offset: -log(1 + offset - x), lambda y, offset: 1 + offset - exp(-y)),
    "root": (lambda x, _: sqrt(max(x, 0.0)), lambda y, _: y * y),
    "even": (lambda x, _: x, lambda y, _: y),
}  # and back
Tree = float | Sequence[Any]  # see above


@dataclass(frozen=True)
class Trait:
    """The range of a metric in sound pictures, on the scale on which distances count."""

    scale: str  # of TRAIT_SCALES
    offset: float
    middle: float
    spread: float
    missing: float  # the metric's value where it is undefined

    def distance(self, value: float) -> float:
        """Return the signed distance from sound pictures, in spreads."""
        known = self.missing if isnan(value) else value
        far = (TRAIT_SCALES[self.scale][0](known, self.offset) - self.middle) / self.spread
        return max(-MOST_SPREADS, min(MOST_SPREADS, far))

    @property
    def typical(self) -> float:
        """The middle of sound pictures, in the metric's unit."""
        found = TRAIT_SCALES[self.scale][1](self.middle, self.offset)
        return found if self.scale == "even" else max(found, 0.0)  # the table's numbers are rounded


def bent(distance: float) -> tuple[float, float, float]:
    """Return a distance, and what of it lies beyond one spread above and below."""
    return distance, max(distance - 1, 0.0), max(-distance - 1, 0.0)


@dataclass(frozen=True)
class Way:
    """The weights of one way to break: of bent distances, those from references last."""

    intercept: float
    weights: Sequence[float]


@dataclass(frozen=True)
class Judge:
    """The ways to break, and the trees whose sum is the logit of being broken."""

    ways: Mapping[str, Way]
    trees: Sequence[Tree]


@dataclass(frozen=True)
class Gate:
    """The table: traits, and the judges without and with references."""

    traits: Mapping[str, Trait]
    alone: Judge
    referred: Judge


@dataclass(frozen=True)
class Suspicion:
    """The evidence that a picture is broken."""

    beyond: float  # the logit of being broken: above 0 that is likelier than being sound
    way: str  # the likeliest way to break
    distances: Mapping[str, float]  # trait -> from sound pictures, or from the reference; in spreads
    second: float = 0.0  # what of the logit is from the second look

    @property
    def beyond_clipping(self) -> float:
        """The same, where being burnt counts for no more than 0.

        A burnt picture still shows what it is of, and how far it is clipped does not tell it from others.
        """
        return min(self.beyond, 0.0) if self.way == "burnt" else self.beyond


@cache
def gate() -> Gate:
    """Return the gate of the table beside this file."""
    table = json.loads(files(__package__).joinpath(TABLE).read_text(encoding="utf-8"))
    alone, referred = (
        Judge({name: Way(**way) for name, way in part["ways"].items()}, part["trees"])
        for part in (table["alone"], table["referred"])
    )
    traits = {name: Trait(**trait) for name, trait in table["traits"].items()}
    return Gate(traits, alone, referred)


def evidence(metrics: Metrics, reference: Metrics | None, table: Gate | None = None) -> Suspicion | None:
    """Return what speaks for a picture being broken; None if it is too small or was not measured so."""
    if not metrics.side >= LEAST_GATED_SIDE or isnan(metrics.shapes):
        return None
    table = table or gate()
    own = distances(table.traits, metrics, None)
    alone = broken_logit(table.alone, own)
    if reference is None or isnan(reference.shapes):
        return _evidence(alone, table, _way(table.alone, own), own, metrics, None)
    both = distances(table.traits, metrics, reference)
    shared = max(broken_logit(table.alone, distances(table.traits, reference, None)), 0.0)
    mean = (alone - shared + broken_logit(table.referred, both)) / 2
    return _evidence(mean, table, _way(table.referred, both), both[len(own) :], metrics, reference)


def _evidence(
    beyond: float,
    table: Gate,
    way: str,
    apart: Sequence[float],
    metrics: Metrics,
    reference: Metrics | None,
) -> Suspicion:
    way = "shards" if way == "burnt" and metrics.shapes < LEAST_SHAPES else way  # that is more than burnt
    seen = dict(zip(table.traits, apart, strict=True))
    if isnan(metrics.second_look):
        return Suspicion(beyond, way, seen)
    shared = reference.second_look if reference and not isnan(reference.second_look) else 0.0
    second = SECOND_LOOK * (_sure(metrics.second_look) - max(_sure(shared), 0.0))
    if way in OF_TONES and beyond > 0:
        second = max(second, 0.0)
    return Suspicion(_sure(beyond) + second, way, seen, second)


def _sure(logit: float) -> float:
    return max(-SUREST, min(SUREST, logit))


def distances(traits: Mapping[str, Trait], metrics: Metrics, reference: Metrics | None) -> list[float]:
    """Return the distance of each trait from sound pictures, then from the reference, if there is one."""
    own = [trait.distance(value_of(metrics, name)) for name, trait in traits.items()]
    if reference is None:
        return own
    others = (trait.distance(value_of(reference, name)) for name, trait in traits.items())
    return own + [far - other for far, other in zip(own, others, strict=True)]


def value_of(metrics: Metrics, name: str) -> float:
    """Return a metric, or the ratio of two, by a trait's name."""
    upper, *lower = (float(getattr(metrics, one)) for one in name.split("/"))
    return (upper + LEAST_LEVELS) / (lower[0] + LEAST_LEVELS) if lower else upper


def broken_logit(judge: Judge, inputs: Sequence[float]) -> float:
    """Return a judge's logit of being broken, of distances."""
    return sum(_leaf(tree, inputs) for tree in judge.trees)


def _way(judge: Judge, inputs: Sequence[float]) -> str:
    bends = [bend for far in inputs for bend in bent(far)]
    logits = {
        name: way.intercept + sum(weight * bend for weight, bend in zip(way.weights, bends, strict=True))
        for name, way in judge.ways.items()
    }
    return max(logits, key=lambda name: logits[name])


def _leaf(tree: Tree, inputs: Sequence[float]) -> float:
    while isinstance(tree, Sequence):
        index, edge, low, high = tree
        tree = low if inputs[int(index)] <= edge else high
    return tree
