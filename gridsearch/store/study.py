"""The study of a results folder, written whole, opened, and read."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from gridsearch.store.facts import Facts, load_facts, objectives_of, save_facts
from gridsearch.store.folder import FILE, database, fold_log, has_study, in_place, require_study

STUDY = "gridsearch"
CHECKS = "gridsearch-checks"
DONE = "done"  # of a study: why it needs no further trial
JUDGEMENT = "judgement "  # of a study, and its session and place: what a person said (see `judgements`)


def write_study(
    folder: Path,
    facts: Facts,
    trials: Iterable[FrozenTrial] = (),
    checks: Iterable[FrozenTrial] = (),
    done: str | None = None,
) -> None:
    """Put a whole new study in a folder, in the place of any that is there, whose judgements it keeps.

    It is made beside its place and renamed, so that a kill leaves either the old one or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with in_place(folder):
        _write_study(folder, facts, trials, checks, done)


def _write_study(
    folder: Path,
    facts: Facts,
    trials: Iterable[FrozenTrial],
    checks: Iterable[FrozenTrial],
    done: str | None,
) -> None:
    beside = folder / f".{FILE}.part"
    for leftover in folder.glob(f"{beside.name}*"):
        leftover.unlink()
    judgements = _judgements(folder)
    with database(beside) as storage:
        directions = ["minimize"] * len(objectives_of(facts))
        study = optuna.create_study(study_name=STUDY, storage=storage, directions=directions)
        save_facts(study, facts)
        study.set_user_attr(DONE, done)
        for key, judgement in judgements.items():
            study.set_user_attr(key, judgement)
        study.add_trials(trials)
        checks_of(study).add_trials(checks)
    fold_log(folder / FILE)
    os.replace(beside, folder / FILE)


def _judgements(folder: Path) -> dict[str, dict | None]:
    if not has_study(folder):
        return {}
    with open_study(folder) as study:
        return judgements_in(study.user_attrs)


def judgements_in(attrs: Mapping[str, Any]) -> dict[str, dict | None]:
    """The attributes of a study that are judgements; None is one that was taken back."""
    return {key: value for key, value in attrs.items() if key.startswith(JUDGEMENT)}


@contextlib.contextmanager
def open_study(folder: Path) -> Iterator[optuna.Study]:
    """The study of a results folder, to be searched further.

    Raises:
        BadInput: the folder holds no study.
    """
    require_study(folder)
    with database(folder / FILE) as storage:
        # Optuna would otherwise choose TPE and a median pruner without a word; the search sets its sampler.
        yield optuna.load_study(
            study_name=STUDY,
            storage=storage,
            sampler=RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )


def checks_of(study: optuna.Study) -> optuna.Study:
    """What is drawn to check the search: it lies beside it, so that no sampler learns from it."""
    return optuna.create_study(
        study_name=CHECKS, storage=study._storage, direction="minimize", load_if_exists=True
    )


def _checks_in(study: optuna.Study) -> list[FrozenTrial]:
    """Those that there are: to read a study adds nothing to it."""
    try:
        checks = study._storage.get_study_id_from_name(CHECKS)
    except KeyError:
        return []
    return study._storage.get_all_trials(checks, deepcopy=False)


@dataclass(frozen=True)
class Stored:
    """What a results folder holds.

    Attributes:
        trials: of the search.
        checks: images that check it: the leaders on held-out prompts, the best once more.
        done: why the search needs no further trial; None while it does.
        judgements: what a person said of pairs, by their keys (see `judgements.judgements_of`).
    """

    facts: Facts
    trials: list[FrozenTrial]
    checks: list[FrozenTrial]
    done: str | None
    judgements: dict[str, dict | None] = field(default_factory=dict)


def read_study(folder: Path) -> Stored:
    """What a results folder holds now.

    Raises:
        BadInput: the folder holds no study.
    """
    with open_study(folder) as study:
        return stored(study)


def stored(study: optuna.Study) -> Stored:
    """What an open study holds now."""
    return Stored(
        load_facts(study),
        study.get_trials(deepcopy=False),
        _checks_in(study),
        study.user_attrs.get(DONE),
        judgements_in(study.user_attrs),
    )
