"""The fit of the second look, and its worth on sets of pictures that it was not fitted to.

    python -m benchmarks.verdicts.second_look SET          figures: each set by a fit to all the others
    python -m benchmarks.verdicts.second_look SET --fit    write the table, fitted to all but the visitors

SET is a folder of `python -m benchmarks.verdicts`, with `visitors` in it, and perhaps further sets. What was
measured of their pictures is kept there; it takes a quarter of a second each.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from math import isnan, nan
from pathlib import Path

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

from benchmarks.scores import auc
from benchmarks.verdicts.corpus import INDEX, Entry
from benchmarks.verdicts.fit import SOUND, Example, band_beside, pale, weights_of, with_references
from gridsearch.score import second_look
from gridsearch.score.gate import LEAST_GATED_SIDE, evidence
from gridsearch.score.measure import measure
from gridsearch.score.metrics import Metrics
from gridsearch.score.score import score_of
from gridsearch.score.scorers.lite0 import HEAD, STAGES

TABLE = Path(second_look.__file__).with_name(second_look.HEAD_TABLE)
KEPT_BACK = "visitors"
COMPONENTS = 500  # of the features, the principal ones; no label is asked for these
LOOSENESS = 100.0  # of the ridge penalty: scikit-learn's C
RESAMPLES = 800
FALSE_ALARMS = 0.02, 0.05
KNOWN = "known"
SIZES = [2 * channels for _, channels, *_ in STAGES] + [3 * HEAD]  # of the features of each stage
Features = NDArray[np.float32]
Table = dict[str, Features]


def main() -> None:
    """Fit, or print figures, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--fit", action="store_true")
    asked = parser.parse_args()
    names, examples, features = _read(asked.set)
    if asked.fit:
        save_file(fitted(examples, features, names != KEPT_BACK), TABLE)
        return
    for name in sorted({*names} - {KNOWN}):
        table = fitted(examples, features, names != name)
        looked = [_looked_at(examples[n], features[n], table) for n in np.flatnonzero(names == name)]
        _show(name, "no", looked)
        _show(name, "a", with_references(looked))


def _looked_at(example: Example, found: Features, table: Table) -> Example:
    logit = second_look.head_logit(found, table)
    return replace(example, metrics=replace(example.metrics, second_look=logit))


def _read(folder: Path) -> tuple[NDArray[np.str_], list[Example], Features]:
    """Return of each picture the name of its set, what was measured, and its features, a row of a table."""
    names, examples, features = [], [], []
    for index in [folder / INDEX, *sorted(folder.glob(f"*/{INDEX}"))]:
        entries, measured = json.loads(index.read_text()), _measured(index.parent)
        for fields, metrics, found in zip(entries, *measured, strict=True):
            example = Example(Entry(**fields), Metrics(**metrics))
            name = index.parent.name if index.parent != folder else KNOWN
            name = "newcomers" if example.entry.newcomer else name
            small = example.metrics.side < LEAST_GATED_SIDE or isnan(example.metrics.shapes)
            if not small and (name != KNOWN or not pale(example)):
                names.append(name)
                examples.append(example)
                features.append(found)
    return np.array(names), examples, np.array(features)


def _measured(folder: Path) -> tuple[list[dict], Features]:
    """Return the metrics and the features of a folder's pictures, measured where it does not keep them."""
    kept = folder / "second_look.npz"
    if not kept.exists():
        rows = list(_looked(folder))
        np.savez(kept, metrics=json.dumps([row for row, _ in rows]), features=np.array([f for _, f in rows]))
    with np.load(kept) as found:
        return json.loads(str(found["metrics"])), found["features"]


def _looked(folder: Path) -> Iterator[tuple[dict, Features]]:
    for number in range(len(json.loads((folder / INDEX).read_text()))):
        rgb = np.asarray(Image.open(folder / f"{number:05}.png").convert("RGB"))
        yield asdict(measure(rgb)), second_look.look_features(rgb)


def fitted(examples: Sequence[Example], features: Features, rows: NDArray[np.bool_]) -> Table:
    """Return the table of the second look, as `gridsearch.score.second_look` reads it, fitted to these rows.

    Each stage weighs as much as another, however many channels it has.
    """
    chosen = [example for example, one in zip(examples, rows, strict=True) if one]
    ways = np.array([example.way for example in chosen])
    scale = np.concatenate([np.full(size, (size * len(SIZES)) ** -0.5) for size in SIZES])
    own = features[rows].astype(np.float64)
    middle, spread = own.mean(axis=0), own.std(axis=0) + _least_spreads(own)
    far = np.clip((own - middle) / spread, -second_look.MOST_AWAY, second_look.MOST_AWAY) * scale
    mean = far.mean(axis=0)
    axes = _principal(far - mean)
    line = LogisticRegression(C=LOOSENESS, max_iter=300)
    line.fit((far - mean) @ axes, ways != SOUND, weights_of([e.entry.style for e in chosen], ways))
    weights = axes @ line.coef_[0]
    found = {
        "middle": middle,
        "spread": spread,
        "weights": weights * scale,
        "intercept": line.intercept_ - mean @ weights,
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def _least_spreads(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is added to the spreads of each stage, for channels that hardly ever change."""
    stages = np.split(features, np.cumsum(SIZES)[:-1], axis=1)
    return np.concatenate([np.full(stage.shape[1], 1e-3 * stage.std() + 1e-6) for stage in stages])


def _principal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the principal axes (features, COMPONENTS) of centred rows."""
    last = len(rows) - 1
    squares, found = scipy.linalg.eigh(rows @ rows.T, subset_by_index=(last - COMPONENTS + 1, last))
    return rows.T @ (found / np.sqrt(squares))


def _show(name: str, reference: str, looked: Sequence[Example]) -> None:
    """Print misses, false alarms and AUC, without the second look and with it."""
    broken = np.array([e.way != SOUND for e in looked])
    blind = [replace(e, metrics=replace(e.metrics, second_look=nan)) for e in looked]
    logits = []
    for title, own in (("the gate", blind), ("and the second look", looked)):
        scores = [score_of(e.metrics, band_beside(e)) for e in own]
        failed, defects = np.array([s.verdict != "ok" for s in scores]), np.array([s.defect for s in scores])
        found = [evidence(e.metrics, e.reference) for e in own]
        logits.append(np.array([one.beyond for one in found if one]))
        missed, false = (~failed[broken]).sum(), failed[~broken].sum()
        at = [_missed_at(share, logits[-1], broken) for share in FALSE_ALARMS]
        print(
            f"| {name} | {reference} | {title} | {missed} of {broken.sum()} | {false} of {(~broken).sum()} | "
            f"{at[0]:.0%} | {at[1]:.0%} | {_area(logits[-1], broken):.3f} | {_area(defects, broken):.3f} |"
        )
    print(f"AUC of the logit above the gate's by {_gain(*logits, broken)} in 95% of {RESAMPLES} resamples")


def _missed_at(share: float, logits: NDArray[np.float64], broken: NDArray[np.bool_]) -> float:
    return float((logits[broken] <= np.quantile(logits[~broken], 1 - share)).mean())


def _area(values: NDArray[np.float64], broken: NDArray[np.bool_]) -> float:
    return auc(values[~broken].tolist(), values[broken].tolist())


def _gain(before: NDArray[np.float64], after: NDArray[np.float64], broken: NDArray[np.bool_]) -> str:
    rng = np.random.default_rng(0)
    draws = (rng.choice(len(broken), len(broken)) for _ in range(RESAMPLES))
    gains = [_area(after[draw], broken[draw]) - _area(before[draw], broken[draw]) for draw in draws]
    low, high = np.quantile(gains, (0.025, 0.975))
    return f"{low:.3f} to {high:.3f}"


if __name__ == "__main__":
    main()
