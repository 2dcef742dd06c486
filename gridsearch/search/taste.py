"""A person's taste in a run: learned from their pairs, kept with the study, and its images scored by it.

It is learned when a run begins or goes on, when it ends, and when its images are scored again. Between those
it stays as it is, so that all trials are compared by one taste.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.tables import Scoring
from gridsearch.results import store
from gridsearch.results.columns import FEATURES
from gridsearch.results.store.pairs import KeptPair, KeptPicture, kept_pairs, usual_pairs_file
from gridsearch.score.metrics import METRICS
from gridsearch.score.taste import JudgedPair, Traits, learn, taste_text
from gridsearch.search.cases import order_of
from gridsearch.search.rescored import with_rows
from gridsearch.search.trial.tasting import row_traits, tasted, tasting_of, with_worths

BACKBONE = "backbone"  # of the facts' drawing: the key of what made the features


def pairs_file(scoring: Scoring) -> Path:
    """Return the file of the pairs that a taste is learned from."""
    asked = scoring.taste.file if scoring.taste else None
    return asked or usual_pairs_file()


def learned(scoring: Scoring) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the taste as facts keep it, None where none is asked for, and notes on it."""
    if scoring.taste is None:
        return None, []
    kept = kept_pairs(pairs_file(scoring))
    taste = learn([judged(pair) for pair in kept.pairs])
    notes = [taste_text(taste)]
    if kept.unreadable:
        notes.append(f"{kept.unreadable} lines of {pairs_file(scoring)} cannot be read and are left out.")
    return asdict(taste), notes


def judged(pair: KeptPair) -> JudgedPair:
    """Return a kept pair as a taste learns from it."""
    assert pair.pictures is not None
    assert pair.answer is not None
    first, second = pair.pictures
    return JudgedPair(picture_traits(first), picture_traits(second), pair.answer, (first.name, second.name))


def picture_traits(kept: KeptPicture) -> Traits:
    return row_traits({**kept.metrics, FEATURES: kept.features}, kept.backbone)


def kept_picture(row: Mapping, facts: store.Facts) -> KeptPicture:
    """Return what is kept of an image that was judged."""
    metrics = {name: value for name in METRICS if (value := row.get(name)) is not None}
    key = facts.drawing.get(BACKBONE) or ""
    features = row.get(FEATURES) if key else None
    # an earlier version kept no digests; equal metrics are an equal picture
    name = row.get("digest") or hashlib.sha256(repr(sorted(metrics.items())).encode()).hexdigest()[:16]
    return KeptPicture(name, metrics, features, key if features else "")


# -- a run's images


def renew_taste(folder: Path) -> list[str]:
    """Score a run's images by the taste as it is known now, if the run asks for one; returns notes.

    Nothing is measured again. The caller holds the folder's lock.
    """
    stored = store.read_study(folder)
    scoring = Experiment.model_validate(stored.facts.experiment).score
    taste, notes = learned(scoring)
    if taste != stored.facts.taste:
        store.write_study(folder, *scored_by(stored, taste), stored.done)
    return notes


def scored_by(
    stored: store.Stored, taste: dict[str, Any] | None
) -> tuple[store.Facts, list[FrozenTrial], list[FrozenTrial]]:
    """Return a study's facts, trials and checks by another taste."""
    facts = stored.facts
    experiment = Experiment.model_validate(facts.experiment)
    tasting = tasting_of(experiment.score, taste, facts.drawing.get(BACKBONE) or "")
    if tasting is not None:
        models = experiment.reference_models()
        own = [row for row in facts.references or () if row["model"] in models]
        tasting = with_worths(tasting, own)
    scored = partial(tasted, tasting=tasting)
    trials, checks = with_rows(stored, scored, order_of(facts), experiment.search.kind.goals)
    references = None if facts.references is None else [scored(row) for row in facts.references]
    return replace(facts, references=references, taste=taste), trials, checks
