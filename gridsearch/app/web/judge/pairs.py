"""The choice of the pairs to show: two tied leaders, the same prompt and seed, each pair of images once."""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import open_picture
from gridsearch.render.pictures import reduced_from
from gridsearch.results.analysis.answer import Answer
from gridsearch.results.analysis.trials import distinct_trials, is_partial, split_slices
from gridsearch.results.results import Results
from gridsearch.results.store.paths import path_in

MAX_TRIALS = 5  # of a session: twenty pairs show each of the ten couples of five twice


@dataclass(frozen=True)
class Pair:
    """Two images of one case, as they stand on the page."""

    first: int  # the trial on the left
    second: int
    prompt_id: str
    prompt: str
    seed: int
    left: Path
    right: Path


def choose_trials(results: Results, answer: Answer, named: Sequence[int] = ()) -> tuple[tuple[int, ...], str]:
    """Return the tied leaders; the best and its neighbours where nothing ties; or the named trials.

    A note for the person comes with them, which may be empty.

    Raises:
        BadInput: there are not two trials to compare.
    """
    whole = distinct_trials(results)
    if not whole.empty:  # those that may win, best first
        whole = whole[~is_partial(whole)].sort_values(["survived", "defect"], ascending=[False, True])
    if named:
        return _require_eligible(results, whole, named), ""
    if answer.best is None:
        raise BadInput("No trial of this run is complete yet.", where=results.folder, fix="Run it first.")
    best = answer.best.trial
    lucky = answer.unmasked and answer.unmasked.trial  # told apart by other prompts
    tied = [trial for trial in whole["trial"] if trial in answer.tied and trial != lucky]
    if tied:
        many = f"{len(tied) + 1} trials tie; the best and the next {MAX_TRIALS - 1} by rank are shown."
        return (best, *tied)[:MAX_TRIALS], many if len(tied) >= MAX_TRIALS else ""
    beside = _neighbours(results, answer, best, whole)
    if not beside:
        what, fix = "There is only one trial to compare.", "Run more trials first."
        raise BadInput(what, where=results.folder, fix=fix)
    note = "No other trial ties with the best, so its neighbours are shown."
    return (best, *beside), f"{note} Your answers are reported, but do not change the recommendation."


def _require_eligible(results: Results, whole: pd.DataFrame, named: Sequence[int]) -> tuple[int, ...]:
    trials = tuple(dict.fromkeys(named))
    there = sorted(whole["trial"]) if len(whole) else []
    if wrong := [trial for trial in trials if trial not in there]:
        why = "it is not complete, or another trial has the same values"
        fix = f"Choose from {', '.join(map(str, there))}." if there else "Run it first."
        raise BadInput(f"Trial {wrong[0]} cannot be shown.", where=results.folder, why=why, fix=fix)
    if len(trials) < 2:
        raise BadInput("A pair needs two trials.", where="--trials", fix="Give --trials twice or more.")
    return trials


def _neighbours(results: Results, answer: Answer, best: int, whole: pd.DataFrame) -> tuple[int, ...]:
    """Return the trials next to the best: along its curve, or by distance where there is none."""
    if answer.neighbours:
        return tuple(near.trial for near in answer.neighbours[:2])
    for _, rows in split_slices(results, whole):
        places = rows["trial"].tolist()
        if best in places:
            at = places.index(best)
            return tuple(places[i] for i in (at - 1, at + 1) if 0 <= i < len(places))
    return ()


def choose_pairs(results: Results, trials: Sequence[int], wanted: int, seed: int) -> tuple[Pair, ...]:
    """Return up to `wanted` pairs: the least judged couple of trials first, and its least shown case.

    Earlier sessions count too. Equal images are never shown. `seed` decides between equals, and the sides.
    """
    rng = np.random.default_rng(seed)
    open_cases = _open_cases(results, trials)
    couples: Counter[tuple] = Counter()
    shown: Counter[tuple] = Counter()  # couple, prompt_id, seed
    prompts: Counter[object] = Counter()  # prompt_id, alone and of a couple
    for row in results.judgements.itertuples():
        couple = tuple(sorted((row.first, row.second)))
        couples[couple] += 1
        shown[couple, row.prompt_id, row.seed] += 1
    pairs: list[Pair] = []
    while len(pairs) < wanted and (left := [couple for couple in open_cases if open_cases[couple]]):
        couple = _least(left, lambda couple: couples[couple], rng)
        case = _least(
            list(open_cases[couple]),
            lambda case, couple=couple: (shown[couple, *case], prompts[couple, case[0]], prompts[case[0]]),
            rng,
        )
        prompt, *drawn = open_cases[couple].pop(case)
        if _same(*drawn):
            continue
        couples[couple] += 1
        prompts[couple, case[0]] += 1
        prompts[case[0]] += 1
        sides = [(trial, file) for trial, (file, _) in zip(couple, drawn, strict=True)]
        (first, left), (second, right) = sides[::-1] if rng.integers(2) else sides
        pairs.append(Pair(first, second, case[0], prompt, case[1], left, right))
    return tuple(pairs)


def _least(items: list, key, rng: np.random.Generator):
    """Return an item with the least key, at random."""
    least = min(map(key, items))
    among = [item for item in items if key(item) == least]
    return among[rng.integers(len(among))]


def _open_cases(results: Results, trials: Collection[int]) -> dict[tuple, dict[tuple, tuple]]:
    """Return couple of trials -> case -> its prompt, and both trials' file and digest of the image."""
    images = results.images[results.images["trial"].isin(trials)]
    files: dict[tuple[str, int], dict[int, tuple[Path, object]]] = {}
    prompts = {}
    for row in images.to_dict("records"):
        file = path_in(results.folder, str(row["file"]))
        if file is not None and file.is_file() and not is_small(file):
            case = (row["prompt_id"], int(row["seed"]))
            prompts[case] = str(row["prompt"])
            files.setdefault(case, {})[int(row["trial"])] = (file, row.get("digest"))
    found: dict[tuple, dict[tuple, tuple]] = {couple: {} for couple in combinations(sorted(trials), 2)}
    for case, drawn in files.items():
        for first, second in combinations(sorted(drawn), 2):
            found[first, second][case] = (prompts[case], drawn[first], drawn[second])
    return found


def is_small(file: Path) -> bool:
    """Tell whether the file is smaller than the image was rendered, which a person would see at once."""
    with suppress(BadInput):  # whatever is wrong with it is reported when it is shown
        return reduced_from(file) is not None
    return False


def _same(a: tuple[Path, object], b: tuple[Path, object]) -> bool:
    """Tell whether two images are equal, pixel for pixel. An earlier version stored no digests."""
    if isinstance(a[1], str) and isinstance(b[1], str):
        return a[1] == b[1]
    if a[0] == b[0]:
        return True
    with open_picture(a[0]) as one, open_picture(b[0]) as other:
        return one.size == other.size and one.convert("RGB").tobytes() == other.convert("RGB").tobytes()
