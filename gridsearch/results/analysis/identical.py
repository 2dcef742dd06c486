"""Checks of a run on itself: equal images, equal weights, parents left alone, repeats."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import scipy

TrialPairs = list[tuple[int, int]]
ALIKE = ("nan", "black")  # verdicts of images that are the same whatever made them


@dataclass(frozen=True)
class Repeat:
    """One trial drawn twice: of `images` in both, `identical` have the same pixels and `verdicts` the same
    verdict; `floor` is the mean absolute difference of their defects."""

    images: int
    identical: int
    verdicts: int
    floor: float

    def changes_more_than(self, share: float, level: float) -> bool:
        """Return whether an exact binomial test at `level` refutes that no more than `share` changes.

        One change alone never does: an image may stand on the edge of two verdicts.
        """
        changed = self.images - self.verdicts
        return changed > 1 and float(scipy.stats.binom.sf(changed - 1, self.images, share)) < level


def identical(digests: Mapping[int, Mapping[str, str]]) -> TrialPairs:
    """Return the pairs of trials all of whose common images have the same pixels, ascending.

    Two sets of parameters that make the same pictures mean that one of them was not merged or not drawn.

    Args:
        digests: trial -> case -> fingerprint of its pixels. Leave out images that are `ALIKE`, and all but
            one of the trials with the same parameters.
    """
    shared = _alike((image, trial) for trial in digests for image in digests[trial].items())
    common = {(a, b): digests[a].keys() & digests[b].keys() for a, b in shared}
    return sorted((a, b) for a, b in shared if all(digests[a][c] == digests[b][c] for c in common[a, b]))


def same_weights(weights: Mapping[int, str], merges: Mapping[int, Hashable]) -> TrialPairs:
    """Return the pairs of trials with equal fingerprints of the merged weights and unequal merges, ascending.

    Args:
        weights: trial -> fingerprint.
        merges: trial -> what the recipe's values are there, anything that compares.
    """
    pairs = _alike((fingerprint, trial) for trial, fingerprint in weights.items())
    return sorted((a, b) for a, b in pairs if merges[a] != merges[b])


def _alike(marks: Iterable[tuple[Hashable, int]]) -> set[tuple[int, int]]:
    """Return the pairs of trials, the smaller one first, that share a mark."""
    trials_with = defaultdict(list)
    for mark, trial in marks:
        trials_with[mark].append(trial)
    return {pair for trials in trials_with.values() for pair in combinations(sorted(trials), 2)}


def not_the_parent(weights: Mapping[int, str], alone: Mapping[int, str], parents: Mapping[str, str]) -> list:
    """Return the trials, ascending, that should be one parent alone and do not have its fingerprint.

    Args:
        weights: trial -> fingerprint of what was merged.
        alone: trial -> the model that its recipe leaves unmixed.
        parents: model -> fingerprint of its weights alone.
    """
    return sorted(
        trial
        for trial, model in alone.items()
        if trial in weights and model in parents and weights[trial] != parents[model]
    )


def repeat(first: Mapping[str, tuple], again: Mapping[str, tuple]) -> Repeat | None:
    """Return the differences of a trial that was drawn twice; None where no image is in both.

    Args:
        first, again: case -> (fingerprint of the pixels, verdict, defect).
    """
    cases = first.keys() & again.keys()
    if not cases:
        return None
    pairs = [(first[case], again[case]) for case in sorted(cases)]
    return Repeat(
        images=len(pairs),
        identical=sum(a[0] == b[0] and a[0] is not None for a, b in pairs),
        verdicts=sum(a[1] == b[1] for a, b in pairs),
        floor=sum(abs(a[2] - b[2]) for a, b in pairs) / len(pairs),
    )
