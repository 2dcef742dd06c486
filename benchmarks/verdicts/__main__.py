"""Verdicts by style and by damage, on pictures and damages of kinds that the gate was not fitted to.

    python -m benchmarks.verdicts SET --art FOLDER     draw and break the set (an hour or two), and measure it
    python -m benchmarks.verdicts SET --measure        measure the same pictures again, after a metric changed
    python -m benchmarks.verdicts SET --fit            fit the gate, write its table, measure styles left out
    python -m benchmarks.verdicts SET                  the figures of the newcomers
    python -m benchmarks.verdicts SET --visitors --art FOLDER    draw, break and measure the visitors alone
    python -m benchmarks.verdicts SET --visitors       their figures
    python -m benchmarks.verdicts SET --gathered --art FOLDER    write the gathered ones, for the second look

SET is a folder that keeps the pictures and their metrics. One of art is described in
`benchmarks.verdicts.art`, `benchmarks.verdicts.packages` and `benchmarks.verdicts.gathered`; without it the
set has drawn pictures and the photographs of packages alone.
"""

import argparse
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path

import numpy as np

from benchmarks.scores import auc
from benchmarks.verdicts.corpus import Entry, kept_pictures
from benchmarks.verdicts.fit import SOUND, Example, band_beside, fitted, pale, with_references, write_gate
from benchmarks.verdicts.gathered import write_gathered
from gridsearch.score import gate as gates
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRICS, Metrics
from gridsearch.score.score import Score, score_of

TABLE = Path(gates.__file__).with_name(gates.TABLE)
FOLDS = 3
Judged = list[tuple[Example, Score]]


def main() -> None:
    """Measure, fit, or print figures, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--art", type=Path)
    for flag in ("--measure", "--fit", "--visitors", "--gathered"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    if asked.gathered:
        write_gathered(asked.set / "gathered", asked.art)
        return
    folder = asked.set / "visitors" if asked.visitors else asked.set
    measured = folder / "measured.json"
    if asked.measure or not measured.exists():
        kept = kept_pictures(folder, asked.art, visiting=asked.visitors)
        measured.write_text(json.dumps([[asdict(e), asdict(measure(p))] for e, p in kept]))
    examples = [e for e in _read(measured) if _unknown(e.entry) or not pale(e)]
    examples += with_references(examples)
    if asked.fit and not asked.visitors:
        known = [e for e in examples if not _unknown(e.entry)]
        show_left_out(known)
        write_gate(fitted(known), TABLE)
        gates.gate.cache_clear()
    for title, has in (("without a reference", False), ("with a reference", True)):
        chosen = [e for e in examples if _unknown(e.entry) and (e.reference is not None) == has]
        judged = [(e, score_of(e.metrics, band_beside(e))) for e in chosen]
        who = "visitors" if asked.visitors else "newcomers"
        _show(f"{who}, {title}, by style", judged, lambda e: e.entry.style)
        _show(f"{who}, {title}, by damage", judged, lambda e: e.entry.kind)


def _read(path: Path) -> list[Example]:
    rows = json.loads(path.read_text())
    return [Example(Entry(**entry), Metrics(**(dict.fromkeys(METRICS, nan) | m))) for entry, m in rows]


def _unknown(entry: Entry) -> bool:
    """Return whether the gate was not fitted to it."""
    return entry.newcomer or entry.visitor


def show_left_out(examples: Sequence[Example]) -> None:
    """Print how styles are judged by fits without them, which features and settings are chosen by."""
    fold_of = [zlib.crc32(e.entry.style.encode()) // 7 % FOLDS for e in examples]
    logits = np.zeros(len(examples))
    for fold in range(FOLDS):
        others = fitted([e for e, own in zip(examples, fold_of, strict=True) if own != fold], named=False)
        for number, (example, own) in enumerate(zip(examples, fold_of, strict=True)):
            if own == fold:
                logits[number] = _logit(others, example)
    broken = np.array([e.way != SOUND for e in examples])
    for has in (False, True):
        of = np.array([(e.reference is not None) == has for e in examples])
        missed, false = (logits[of & broken] <= 0).mean(), (logits[of & ~broken] > 0).mean()
        area = auc(logits[of & ~broken].tolist(), logits[of & broken].tolist())
        known = "with" if has else "no"
        print(f"styles left out, {known} reference: {missed:.1%} missed, {false:.1%} false, AUC {area:.3f}")


def _logit(gate: gates.Gate, example: Example) -> float:
    """The logit of the judge that is fitted to such examples, alone."""
    reference = example.reference
    inputs = gates.distances(gate.traits, example.metrics, reference)
    return gates.broken_logit(gate.referred if reference else gate.alone, inputs)


def _show(title: str, judged: Judged, group_of: Callable[[Example], str]) -> None:
    """Misses, false alarms and AUC, by group and in all."""
    groups: dict[str, Judged] = defaultdict(list)
    for example, score in judged:
        groups[group_of(example)].append((example, score))
    sound = [s.defect for e, s in judged if e.way == SOUND]
    print(f"\n{title}\n| | misses | false alarms | AUC |\n|---|---|---|---|")
    for name, own in [*sorted(groups.items()), ("all", judged)]:
        good = [s for e, s in own if e.way == SOUND]
        bad = [s for e, s in own if e.way != SOUND]
        missed, false = sum(s.verdict == "ok" for s in bad), sum(s.verdict != "ok" for s in good)
        area = auc([s.defect for s in good] or sound, [s.defect for s in bad]) if bad else nan
        print(f"| {name or 'sound'} | {missed} of {len(bad)} | {false} of {len(good)} | {area:.3f} |")


if __name__ == "__main__":
    main()
