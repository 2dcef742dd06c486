"""Verdicts by style and by damage, on the half of the set that the gate was not fitted to.

    python -m benchmarks.verdicts SET --art FOLDER     draw and break the set (half an hour), and measure it
    python -m benchmarks.verdicts SET --measure        measure the same pictures again, after a metric changed
    python -m benchmarks.verdicts SET --fit            fit the gate to the one half; write its table
    python -m benchmarks.verdicts SET --left-out       refit without each style and each damage
    python -m benchmarks.verdicts SET                  the figures of the table

SET is a folder that keeps the pictures and their metrics. One of art is described in
`benchmarks.verdicts.art`; without it the set has drawn pictures and the photographs of packages alone.
"""

import argparse
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from math import nan
from pathlib import Path

import numpy as np

from benchmarks.scores import auc
from benchmarks.verdicts.corpus import Entry, kept_pictures
from benchmarks.verdicts.fit import SOUND, Example, fitted, write_gate
from gridsearch.score import gate as gates
from gridsearch.score.band import POPULATION, Band, band_of
from gridsearch.score.measure import measure
from gridsearch.score.metrics import METRICS, Metrics
from gridsearch.score.score import Score, score_of

TABLE = Path(gates.__file__).with_name(gates.TABLE)
FOLDS, PASSED = 4, 0.98  # the share of the sound pictures that the gate lets pass
Judged = list[tuple[Example, Score]]


def main() -> None:
    """Measure, fit, or print figures, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--art", type=Path)
    for flag in ("--measure", "--fit", "--left-out"):
        parser.add_argument(flag, action="store_true")
    asked = parser.parse_args()
    measured = asked.set / "measured.json"
    if asked.measure or not measured.exists():
        found = [[asdict(e), asdict(measure(p))] for e, p in kept_pictures(asked.set, asked.art)]
        measured.write_text(json.dumps(found))
    examples = _read(measured)
    examples += with_references(examples)
    ours = [e for e in examples if not e.entry.held_out]
    if asked.fit:
        write_gate(_with_limits(fitted(ours), ours), TABLE)
        gates.gate.cache_clear()
    held = [e for e in examples if e.entry.held_out]
    for title, has in (("without a reference", False), ("with a reference", True)):
        chosen = [e for e in held if (e.reference is not None) == has]
        judged = [(e, score_of(e.metrics, _band(e))) for e in chosen]
        _show(f"held-out half, {title}, by style", judged, lambda e: e.entry.style)
        _show(f"held-out half, {title}, by damage", judged, lambda e: e.entry.kind)
    if asked.left_out:
        plain = [e for e in examples if e.reference is None]
        _left_out("style", plain, lambda e: e.entry.style)
        _left_out("damage", plain, lambda e: e.entry.kind)


def _read(path: Path) -> list[Example]:
    rows = json.loads(path.read_text())
    return [Example(Entry(**entry), Metrics(**(dict.fromkeys(METRICS, nan) | m))) for entry, m in rows]


def with_references(examples: Sequence[Example]) -> list[Example]:
    """The pictures again, each beside a sound one of its half: of its style, itself before it broke, or any.

    Another model draws another picture of the same prompt, at times in another style.
    """
    rng = np.random.default_rng(0)
    sound = [e for e in examples if e.way == SOUND]
    found = []
    for example in examples:
        name = example.entry.name.split("|")[0]
        half = [s for s in sound if s.entry.held_out == example.entry.held_out and s.entry.name != name]
        alike = [s for s in half if s.entry.style == example.entry.style]
        itself = [s for s in sound if s.entry.name == name and example.way != SOUND]
        kind = rng.random()
        pool = itself if kind < 0.3 and itself else half if kind > 0.7 or not alike else alike
        found.append(replace(example, reference=pool[rng.integers(len(pool))].metrics))
    return found


def _band(example: Example) -> Band:
    return POPULATION if example.reference is None else band_of([example.reference], example.reference)


def _with_limits(gate: gates.Gate, examples: Sequence[Example]) -> gates.Gate:
    """Set the limits where 2% of the sound pictures lie beyond, each judged by a fit without its fold.

    A fold is of names, so that no picture is judged by what was made of itself.
    """
    logits: dict[bool, list[float]] = {False: [], True: []}
    fold_of = [zlib.crc32(e.entry.name.split("|")[0].encode()) // 2 % FOLDS for e in examples]
    for fold in range(FOLDS):
        others = fitted([e for e, own in zip(examples, fold_of, strict=True) if own != fold])
        for example, own in zip(examples, fold_of, strict=True):
            if own == fold and example.way == SOUND:
                logits[example.reference is not None].append(_logit(others, example))
    without, beside = (max(0.0, float(np.quantile(logits[has], PASSED))) for has in (False, True))
    return replace(
        gate, alone=replace(gate.alone, limit=without), referred=replace(gate.referred, limit=beside)
    )


def _logit(gate: gates.Gate, example: Example) -> float:
    """The logit of the judge that is fitted to such examples, alone."""
    reference = example.reference
    inputs = gates.distances(gate.traits, example.metrics, reference)
    return gates.beyond_limit(gate.referred if reference else gate.alone, inputs)


def _left_out(what: str, examples: Sequence[Example], group_of: Callable[[Example], str]) -> None:
    """Refit without each group, and judge the group's pictures of the held-out half by that."""
    judged: list[tuple[Example, float]] = []
    ours = [e for e in examples if not e.entry.held_out]
    for group in sorted({group_of(e) for e in examples} - {""}):
        gate = fitted([e for e in ours if group_of(e) != group])
        judged += [(e, _logit(gate, e)) for e in examples if e.entry.held_out and group_of(e) == group]
    false = [logit > 0 for e, logit in judged if e.way == SOUND]
    missed = [(group_of(e), logit <= 0) for e, logit in judged if e.way != SOUND]
    print(f"\nfitted without the {what}: {sum(false)} of {len(false)} sound ones called broken, ", end="")
    print(f"{sum(miss for _, miss in missed)} of {len(missed)} broken ones missed")
    for group in sorted({group for group, _ in missed}):
        own = [miss for other, miss in missed if other == group]
        if sum(own):
            print(f"    {group}: {sum(own)} of {len(own)} missed")


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
