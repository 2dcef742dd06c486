"""The fit of the gate's table, as `gridsearch.score.gate` reads it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from benchmarks.verdicts.breaking import WRECKED
from benchmarks.verdicts.corpus import Entry
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.gate import TRAIT_SCALES, Gate, Judge, Trait, Tree, Way, bent, distances, value_of
from gridsearch.score.metrics import Metrics

# Trait -> scale and offset. Metrics that say nothing of a picture's soundness (its side) are left out.
EVEN = (
    "entropy",
    "detail",
    "brightness",
    "darkest",
    "brightest",
    "flat",
    "shapes",
    "colour_shapes",
    "roughness",
    "coherence",
    "middle_tones",
    "edge_colour",
    "evenness_4",
    "evenness_8",
    "sparseness_4",
)
SHARES = (
    "clipped",
    "white",
    "black",
    "clipped_picture",
    "clipped_detail",
    "clipped_colour",
    "primaries",
    "ragged",
    "steep",
)
DETAILS = (
    "detail_2",
    "detail_4",
    "detail_8",
    "detail_32",
    "quiet_2",
    "quiet_4",
    "quiet_8",
    "colour_4",
    "colour_quiet_4",
    "colour_quiet_8",
)
RATIOS = (
    "detail_2/contrast",
    "detail_4/contrast",
    "detail_8/contrast",
    "detail_32/contrast",
    "detail_2/detail_4",
    "detail_4/detail_8",
    "detail_8/detail_32",
    "quiet_4/detail_4",
    "quiet_8/detail_8",
    "colour_4/detail_4",
    "colour_quiet_4/colour_4",
    "colour_quiet_8/quiet_8",
    "colourfulness/contrast",
    "saturation/brightness",
)  # style is in how much there is, damage in how it is shared out
LEVELS = ("noise", "contrast", "colourfulness", "saturation")
TRAITS = {
    "blur": ("log", 0.05),
    "loudness": ("log", 20.0),
    "edge_length": ("log", 0.01),
    "autocorrelation": ("near 1", 0.01),
    **dict.fromkeys(LEVELS, ("log", 0.5)),
    **dict.fromkeys(EVEN, ("even", 0.0)),
    **dict.fromkeys(SHARES, ("root", 0.0)),
    **dict.fromkeys(DETAILS, ("log", 0.1)),
    **dict.fromkeys(RATIOS, ("log", 0.0)),
}
MISSING = {
    "blur": 9.0,
    "noise": 0.0,
    "autocorrelation": 1.0,
    "edge_length": 0.0,
    "edge_colour": 0.0,
    "coherence": 1.0,
}  # where undefined: no edges, nothing flat, one tone
SOUND = "ok"
BURNS = 2.0  # the weight of a burnt picture: few are drawn, for many styles are as hard and garish
FAINT, LIT = 18.0, 100.0  # levels of contrast, and of the lightest parts' luma
STRICTNESS = 0.03  # of the ridge penalty: scikit-learn's C
BOOSTING: dict[str, Any] = {
    "max_iter": 300,
    "learning_rate": 0.08,
    "max_leaf_nodes": 6,
    "min_samples_leaf": 30,
    "l2_regularization": 1.0,
    "max_features": 0.3,
    "early_stopping": False,
    "random_state": 0,
}


@dataclass(frozen=True)
class Example:
    """A measured picture of the set; `reference` is that of another sound one, where one is at hand."""

    entry: Entry
    metrics: Metrics
    reference: Metrics | None = None

    @property
    def way(self) -> str:
        """The way in which it broke; of a damage that is no longer drawn, only that it did."""
        kind = self.entry.kind
        return WRECKED.get(kind, ("broken",))[0].replace("blank", "ghost") if kind else SOUND


def pale(example: Example) -> bool:
    """Return whether a sound picture looks like a ghost, which the gate is not to learn to pass."""
    return example.way == SOUND and example.metrics.contrast < FAINT and example.metrics.brightest > LIT


def with_references(examples: Sequence[Example]) -> list[Example]:
    """The pictures again, each beside a sound one: of its style, itself before it broke, or any.

    Another model draws another picture of the same prompt, at times in another style. Newcomers are
    beside newcomers alone.
    """
    rng = np.random.default_rng(0)
    sound = [e for e in examples if e.way == SOUND]
    found = []
    for example in examples:
        name = example.entry.name.split("|")[0]
        near = [s for s in sound if s.entry.newcomer == example.entry.newcomer and s.entry.name != name]
        alike = [s for s in near if s.entry.style == example.entry.style]
        itself = [s for s in sound if s.entry.name == name and example.way != SOUND]
        kind = rng.random()
        pool = itself if kind < 0.3 and itself else near if kind > 0.7 or not alike else alike
        found.append(replace(example, reference=pool[rng.integers(len(pool))].metrics))
    return found


def band_beside(example: Example) -> Band:
    """Return the band that its reference sets."""
    return POPULATION if example.reference is None else band_of([example.reference], example.reference)


def traits_of(sound: Sequence[Metrics]) -> dict[str, Trait]:
    """The middle and the spread of each trait over sound pictures; the spread is that of their middle 80%."""
    found = {}
    for name, (scale, offset) in TRAITS.items():
        missing = MISSING.get(name, 0.0)
        values = [missing if isnan(x := value_of(m, name)) else x for m in sound]
        low, middle, high = np.quantile([TRAIT_SCALES[scale][0](x, offset) for x in values], (0.1, 0.5, 0.9))
        spread = max((high - low) / 2.56, 0.02)  # 2.56 sigma hold the middle 80% of a Gaussian
        found[name] = Trait(scale, offset, round(float(middle), 4), round(float(spread), 4), missing)
    return found


def fitted(examples: Sequence[Example], *, named: bool = True) -> Gate:
    """Fit both judges, that without and that with references.

    Args:
        named: whether the ways to break are fitted too.
    """
    traits = traits_of([e.metrics for e in examples if e.way == SOUND])
    alone, referred = (
        _judge([e for e in examples if (e.reference is not None) == has], traits, named)
        for has in (False, True)
    )
    return Gate(traits, alone, referred)


def _judge(examples: Sequence[Example], traits: dict[str, Trait], named: bool) -> Judge:
    rows = np.array([distances(traits, example.metrics, example.reference) for example in examples])
    labels = np.array([example.way for example in examples])
    broken = labels != SOUND
    boosted = HistGradientBoostingClassifier(**BOOSTING)
    boosted.fit(rows, broken, sample_weight=weights_of([e.entry.style for e in examples], labels))
    start = float(boosted._baseline_prediction.item())
    trees = [start, *(_tree(stage[0].nodes, 0) for stage in boosted._predictors)]
    return Judge(_ways(rows[broken], labels[broken]) if named else {}, trees)


def _ways(rows: np.ndarray, labels: np.ndarray) -> dict[str, Way]:
    bends = np.array([[bend for far in row for bend in bent(far)] for row in rows])
    named = LogisticRegression(C=STRICTNESS, max_iter=2000).fit(bends, labels)
    return {
        name: Way(float(start), [float(weight) for weight in weights])
        for name, start, weights in zip(named.classes_, named.intercept_, named.coef_, strict=True)
    }


def weights_of(styles: Sequence[str], ways: np.ndarray) -> np.ndarray:
    """As much for the sound ones as for the broken ones, and for a style by the root of its pictures."""
    weights = np.where(ways == "burnt", BURNS, 1.0)
    for group in (ways != SOUND, ways == SOUND):
        counts = Counter(style for style, one in zip(styles, group, strict=True) if one)
        weights[group] *= [counts[style] ** -0.5 for style, one in zip(styles, group, strict=True) if one]
        weights[group] /= weights[group].mean() * group.mean()
    return weights


def _tree(nodes: np.ndarray, index: int) -> Tree:
    node = nodes[index]
    if node["is_leaf"]:
        return float(node["value"])
    branches = (_tree(nodes, int(node[side])) for side in ("left", "right"))
    return [int(node["feature_idx"]), float(node["num_threshold"]), *branches]


def write_gate(gate: Gate, path: Path) -> None:
    """Write the table, its numbers rounded to three digits."""
    table = _rounded(asdict(gate))
    path.write_text(json.dumps(table, separators=(",", ":")).replace('},"', '},\n"') + "\n", encoding="utf-8")


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
