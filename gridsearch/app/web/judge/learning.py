"""The pairs that teach a taste: what is kept of each answer, and which pair would tell most next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from gridsearch.app.web.judge.pairs import Pair, is_small
from gridsearch.results import store
from gridsearch.results.store.judgements import Choice
from gridsearch.results.store.pairs import KeptPair, KeptPicture, keep_pair, kept_pairs
from gridsearch.results.store.paths import path_in
from gridsearch.score.taste import Taste, best_posterior, differences_of, information, learn, trait_names
from gridsearch.search.taste import judged, kept_picture, picture_traits

MOST_WEIGHED = 3000  # pairs among which the most telling one is looked for, drawn at random

ImagePlace = tuple[int, str, int]  # of an image: its trial, its prompt's id and its seed


@dataclass(frozen=True)
class Pupil:
    """A person's file of pairs, and a run's images as they are kept in it."""

    file: Path
    pictures: Mapping[ImagePlace, KeptPicture]

    def keep(self, pair: Pair, answer: Choice | None, key: str) -> None:
        """Keep an answer; None takes back the one that was kept under this key."""
        two = tuple(
            self.pictures.get((trial, pair.prompt_id, pair.seed)) for trial in (pair.first, pair.second)
        )
        if two[0] is not None and two[1] is not None:
            keep_pair(self.file, KeptPair(key, date.today().isoformat(), answer, (two[0], two[1])))

    def taste(self) -> Taste:
        """Return what is known by now."""
        return learn([judged(pair) for pair in kept_pairs(self.file).pairs])


def pupil_of(stored: store.Stored, file: Path) -> Pupil:
    """Return the file of pairs with the images of a run's trials."""
    return Pupil(file, {place: kept_picture(row, stored.facts) for place, row in _rows(stored)})


def _rows(stored: store.Stored) -> Iterator[tuple[ImagePlace, Mapping[str, Any]]]:
    for trial in stored.trials:
        for row in store.images_of(trial):
            yield (trial.number, row["prompt_id"], row["seed"]), row


class TellingPairs:
    """The pairs of a run's sound images, the most telling one first as far as a taste is known.

    `seed` decides between equals, and the sides. Images that are equal, or kept small, are not shown, nor is
    a pair that was answered in an earlier session.
    """

    def __init__(self, folder: Path, stored: store.Stored, pupil: Pupil, seed: int) -> None:
        self._pupil, self._rng = pupil, np.random.default_rng(seed)
        by_case: dict[tuple[str, int], dict[str, tuple[int, Path, str]]] = {}
        for (trial, prompt_id, number), row in _rows(stored):
            file = path_in(folder, str(row["file"]))
            if row["verdict"] == "ok" and file is not None and file.is_file() and not is_small(file):
                name = pupil.pictures[trial, prompt_id, number].name  # equal pictures have the same
                by_case.setdefault((prompt_id, number), {})[name] = trial, file, row["prompt"]
        answered = {
            frozenset(one.name for one in pair.pictures or ()) for pair in kept_pairs(pupil.file).pairs
        }
        self._open = [
            (case, drawn[one], drawn[other])
            for case, drawn in by_case.items()
            for one, other in combinations(drawn, 2)
            if frozenset((one, other)) not in answered
        ]

    def __call__(self, shown: Sequence[Pair]) -> Pair | None:
        """Return the pair to show after these; None where none is left."""
        seen = {frozenset((pair.left, pair.right)) for pair in shown}
        left = [pair for pair in self._open if frozenset((pair[1][1], pair[2][1])) not in seen]
        if not left:
            return None
        if len(left) > MOST_WEIGHED:
            left = [left[i] for i in self._rng.choice(len(left), MOST_WEIGHED, replace=False)]
        told = self._told(left) + 1e-9 * self._rng.random(len(left))
        (prompt_id, seed), *sides = left[int(told.argmax())]
        (first, a, prompt), (second, b, _) = sides[::-1] if self._rng.integers(2) else sides
        return Pair(first, second, prompt_id, prompt, seed, a, b)

    def _told(self, pairs: Sequence[tuple]) -> np.ndarray:
        """Return how much the answer to each pair would tell, in bits."""
        known = [judged(pair) for pair in kept_pairs(self._pupil.file).pairs]
        traits = {
            (trial, *case): picture_traits(self._pupil.pictures[trial, *case])
            for case, *sides in pairs
            for trial, _, _ in sides
        }
        names = sorted({*trait_names(known), *(name for found in traits.values() for name in found)})
        rows = {place: np.array([found.get(name, 0.0) for name in names]) for place, found in traits.items()}
        differences = np.array([rows[one[0], *case] - rows[other[0], *case] for case, one, other in pairs])
        return information(best_posterior(*differences_of(known, names)), differences)
