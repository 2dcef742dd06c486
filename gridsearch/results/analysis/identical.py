"""Checks on a run's own honesty, as plain functions: they need the tables of no particular room."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from scipy.stats import binom

Pairs = list[tuple[int, int]]
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
        """Whether so many verdicts changed that a share of at most `share` is refuted at `level` (exact
        binomial test). One alone never does: an image may stand on the edge of two verdicts."""
        changed = self.images - self.verdicts
        return changed > 1 and float(binom.sf(changed - 1, self.images, share)) < level


def identical(digests: Mapping[int, Mapping[str, str]]) -> Pairs:
    """The pairs of trials all of whose common images have the same pixels, ascending.

    Two sets of parameters that make the same pictures mean that one of them was not merged or not drawn.

    Args:
        digests: trial -> case -> fingerprint of its pixels. Leave out images that are `ALIKE`, and all but
            one of the trials with the same parameters.
    """
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for trial in sorted(digests):
        for case, digest in digests[trial].items():
            alike[case, digest].append(trial)
    shared = {(a, b) for trials in alike.values() for i, a in enumerate(trials) for b in trials[i + 1 :]}
    return sorted((a, b) for a, b in shared if _agree(digests[a], digests[b]))


def _agree(a: Mapping[str, str], b: Mapping[str, str]) -> bool:
    return all(a[case] == b[case] for case in a.keys() & b.keys())


def same_weights(weights: Mapping[int, str], merges: Mapping[int, Hashable]) -> Pairs:
    """The pairs of trials with equal fingerprints of the merged weights and unequal merges, ascending.

    Args:
        weights: trial -> fingerprint.
        merges: trial -> what the recipe's values are there, anything that compares.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for trial in sorted(weights):
        alike[weights[trial]].append(trial)
    return sorted(
        (a, b)
        for trials in alike.values()
        for i, a in enumerate(trials)
        for b in trials[i + 1 :]
        if merges[a] != merges[b]
    )


def not_the_parent(weights: Mapping[int, str], alone: Mapping[int, str], parents: Mapping[str, str]) -> list:
    """The trials, ascending, that should be one parent alone and do not have its fingerprint.

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
    """What drawing the same trial a second time changes; None where no image is in both.

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
