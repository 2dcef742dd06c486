"""Simulated persons judge the toy's pictures: how well their taste is guessed, and which ratio is found.

    python -m benchmarks.taste [RESULTS]

RESULTS is a finished run with its pictures, by default results/toy; it is copied, and nothing is drawn. The
cases are split by a hash of their names: a person judges pairs of one half, and the taste is tested on pairs
of the other. A tenth of the answers is wrong. Persons look at pixels, and not at the program's metrics.
"""

import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import TasteTable
from gridsearch.render.cases import case_of
from gridsearch.results import store
from gridsearch.results.analysis.analyse import analyse
from gridsearch.results.results import results_of
from gridsearch.score.measure import read_image
from gridsearch.score.taste import (
    JudgedPair,
    Taste,
    Traits,
    best_posterior,
    differences_of,
    information,
    learn,
)
from gridsearch.search.rescore import rescore
from gridsearch.search.taste import kept_picture, picture_traits, scored_by

PAIRS, SEEDS, WRONG = (20, 50, 100), 5, 0.1
ALIVE = 0.75  # the share of sound pictures from which a ratio belongs to the everyday merge
OFFERED = 300  # pairs among which the most telling one is looked for


@dataclass(frozen=True)
class Picture:
    """A sound picture of the run."""

    name: str
    case: str
    traits: Traits
    worth: Mapping[str, float]  # to each person, in deviations of the sound pictures


def saturation_and_contrast(rgb: np.ndarray) -> float:
    return float(np.log((np.ptp(rgb, axis=2).mean() + 10) * (rgb.mean(axis=2).std() + 1)))


def a_certain_contrast(rgb: np.ndarray) -> float:
    return float(-abs(np.log((rgb.mean(axis=2).std() + 1) / 40)))


def warmth(rgb: np.ndarray) -> float:
    return float((rgb[..., 0] - rgb[..., 2]).mean())


PERSONS: dict[str, Callable[[np.ndarray], float]] = {
    "vivid": saturation_and_contrast,
    "soft": a_certain_contrast,
    "warm": warmth,
}


def is_taught(case: str) -> bool:
    return hashlib.sha256(case.encode()).digest()[0] % 2 == 0


def pictures_of(folder: Path, stored: store.Stored) -> tuple[list[Picture], dict[tuple[int, str], dict]]:
    """Return the sound pictures, and each picture's worth to every person by its trial and case."""
    rows = [(trial.number, row) for trial in stored.trials for row in store.images_of(trial)]
    seen = [read_image(folder / row["file"]).astype(float) for _, row in rows]
    sound = np.array([row["verdict"] == "ok" for _, row in rows])
    worths = {}
    for name, likes in PERSONS.items():
        raw = np.array([likes(rgb) for rgb in seen])
        raw = (raw - raw[sound].mean()) / raw[sound].std()
        worths[name] = np.where(sound, raw, raw[sound].min())  # a broken picture is as bad as the worst
    by_place = {
        (trial, case_of(row)): {name: float(worths[name][i]) for name in PERSONS}
        for i, (trial, row) in enumerate(rows)
    }
    found = [
        Picture(
            str(row["digest"]),
            case_of(row),
            picture_traits(kept_picture(row, stored.facts)),
            by_place[trial, case_of(row)],
        )
        for trial, row in rows
        if row["verdict"] == "ok"
    ]
    return found, by_place


def pairs_of(pictures: Sequence[Picture], taught: bool) -> list[tuple[Picture, Picture]]:
    mine = [picture for picture in pictures if is_taught(picture.case) == taught]
    return [(a, b) for a, b in combinations(mine, 2) if a.case == b.case and a.name != b.name]


def judged(pair: tuple[Picture, Picture], person: str, rng: np.random.Generator) -> JudgedPair:
    """Return a pair as the person answers it, wrongly at times."""
    prefers_first = (pair[0].worth[person] > pair[1].worth[person]) != (rng.random() < WRONG)
    names = pair[0].name, pair[1].name
    return JudgedPair(pair[0].traits, pair[1].traits, "first" if prefers_first else "second", names)


def answers(
    pairs: Sequence[tuple[Picture, Picture]], person: str, telling: bool, seed: int
) -> Iterator[list[JudgedPair]]:
    """Yield the answers after each number of pairs, chosen at random or the most telling one first."""
    rng = np.random.default_rng(seed)
    left, made = [pairs[i] for i in rng.permutation(len(pairs))], list[JudgedPair]()
    names = sorted({name for a, _ in pairs for name in a.traits})
    while len(made) < max(PAIRS) and left:
        at = 0
        if telling:
            offered = left[:OFFERED]
            shown = [JudgedPair(a.traits, b.traits, "equal", (a.name, b.name)) for a, b in offered]
            known = best_posterior(*differences_of(made, names))
            at = int(information(known, differences_of(shown, names)[0]).argmax())
        made.append(judged(left.pop(at), person, rng))
        rng.shuffle(left)
        if len(made) in PAIRS:
            yield [*made]


def accuracy(taste: Taste, pairs: Sequence[tuple[Picture, Picture]], person: str) -> float:
    """Return the share of pairs of other cases whose better picture the taste names."""
    right = [
        (taste.worth(a.traits) - taste.worth(b.traits)) * (a.worth[person] - b.worth[person]) > 0
        for a, b in pairs
    ]
    return float(np.mean(right))


def sound_share(rows: Sequence[Mapping]) -> float:
    return float(np.mean([row["verdict"] == "ok" for row in rows]))


def healthy(stored: store.Stored) -> store.Stored:
    """Return the everyday merge: ratios that mostly survive, and the cases in which all of them are sound."""
    rows = {trial.number: store.images_of(trial) for trial in stored.trials}
    alive = {number: found for number, found in rows.items() if sound_share(found) > ALIVE}
    sound = [{case_of(row) for row in found if row["verdict"] == "ok"} for found in alive.values()]
    cases = set.intersection(*sound)
    trials = [
        store.copied(
            trial,
            user_attrs=store.with_images(trial, [r for r in alive[trial.number] if case_of(r) in cases]),
        )
        for trial in stored.trials
        if trial.number in alive
    ]
    facts = replace(stored.facts, order=[case for case in stored.facts.order if case in cases])
    return store.Stored(facts, trials, [], stored.done)


def ratio_found(stored: store.Stored, folder: Path, taste: Taste | None) -> int:
    """Return the trial that the program recommends by a taste."""
    facts, trials, checks = scored_by(stored, asdict(taste) if taste else None)
    answer = analyse(results_of(store.Stored(facts, trials, checks, stored.done), folder), resamples=200)
    assert answer.best is not None
    return answer.best.trial


def worths(
    stored: store.Stored, by_place: Mapping[tuple[int, str], Mapping[str, float]], person: str
) -> dict[int, float]:
    """Return what each trial is worth to a person: the mean over its pictures of untaught cases."""
    return {
        trial.number: float(
            np.mean(
                [
                    by_place[trial.number, case_of(row)][person]
                    for row in store.images_of(trial)
                    if not is_taught(case_of(row))
                ]
            )
        )
        for trial in stored.trials
    }


def lines(folder: Path) -> Iterator[str]:
    stored = store.read_study(folder)
    pictures, by_place = pictures_of(folder, stored)
    taught, tested = pairs_of(pictures, True), pairs_of(pictures, False)
    everyday = healthy(stored)
    count = sum(len(store.images_of(trial)) for trial in everyday.trials)
    yield f"{len(pictures)} sound pictures; {len(taught)} pairs to teach with, {len(tested)} to test with"
    yield f"the everyday merge: {len(everyday.trials)} ratios with {count} pictures, all of them sound"
    yield "person  pairs   number  right   own knows  regret, and without taste (deviations)"
    usual = ratio_found(everyday, folder, None)
    for person in PERSONS:
        worth = worths(everyday, by_place, person)
        for telling in (False, True):
            found: dict[int, list[list[float]]] = {}
            for seed in range(SEEDS):
                for made in answers(taught, person, telling, seed):
                    taste = learn(made)
                    own = taste.right / max(taste.tested, 1), float(taste.knows)
                    trial = ratio_found(everyday, folder, taste) if taste.knows else usual
                    figures = [accuracy(taste, tested, person), *own, max(worth.values()) - worth[trial]]
                    found.setdefault(len(made), []).append(figures)
            for number, several in found.items():
                right, guessed, knows, regret = np.mean(several, axis=0)
                pairs = "telling" if telling else "random"
                yield (
                    f"{person:<7} {pairs:<8}{number:6}  {right:5.0%} {guessed:5.0%} "
                    f"{knows:5.0%}  {regret:6.2f}  {max(worth.values()) - worth[usual]:.2f}"
                )
    yield "all ratios, of which most break: regret with 100 random pairs, and without taste"
    usual = ratio_found(stored, folder, None)
    for person in PERSONS:
        worth = worths(stored, by_place, person)
        *_, made = answers(taught, person, False, 0)
        trial = ratio_found(stored, folder, learn(made))
        best = max(worth.values())
        yield f"{person:<7} {best - worth[trial]:6.2f}  {best - worth[usual]:.2f}"


def main() -> None:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "results/toy")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(run, Path(place) / "run"))
        scoring = Experiment.model_validate(store.read_study(folder).facts.experiment).score
        nobody = TasteTable(file=Path(place) / "pairs.jsonl")
        rescore(folder, lambda _: lambda: None, scoring.model_copy(update={"taste": nobody}))
        for line in lines(folder):
            print(line, flush=True)


if __name__ == "__main__":
    main()
