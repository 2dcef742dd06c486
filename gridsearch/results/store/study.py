"""The study of a results folder, written whole, opened, and read."""

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy.exc import SQLAlchemyError

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.base.files import near_name
from gridsearch.results.shared.connect import connect, leading
from gridsearch.results.shared.optuna_private import storage_of
from gridsearch.results.shared.optuna_tables import replace_study
from gridsearch.results.shared.retry import driver_message
from gridsearch.results.store import location
from gridsearch.results.store.facts import Facts, load_facts, objectives_of, save_facts
from gridsearch.results.store.integrity import damage_is_named, require_tables_only, require_valid
from gridsearch.results.store.judgements import JUDGEMENT, Judgement, judgements_in

CHECKS, REFERENCES = "checks", "references"  # studies beside the search's, of images that it does not ask for
MOST_RUNS = 5  # results folders, where one that holds several was named
DONE = "done"  # attribute of a study: why it needs no further trial


@dataclass(frozen=True)
class Stored:
    """The content of a results folder's study.

    Attributes:
        trials: of the search.
        checks: images that check it: the leaders on held-out prompts, the best once more.
        done: why the search needs no further trial; None while it does.
        judgements: a person's answers to pairs, by their keys (see `judgements.judgements_of`).
    """

    facts: Facts
    trials: list[FrozenTrial]
    checks: list[FrozenTrial]
    done: str | None
    judgements: dict[str, dict | None] = field(default_factory=dict)


def has_study(folder: Path) -> bool:
    """Whether a run has been started in this folder."""
    place = location.place_of(folder)
    if place.url is None:
        return (folder / location.FILE).is_file()
    with connect(place.url) as storage:
        return _is_there(storage, place.study)


def require_study(folder: Path) -> None:
    """Raise BadInput where no run has been started in this folder, or its study is no database."""
    if not has_study(folder):
        raise _no_results(folder)
    if location.place_of(folder).url is None:
        location.require_database(folder / location.FILE)


def _no_results(folder: Path) -> BadInput:
    """Return what is there instead of results, and where there are some."""
    usual, fix = Path("results") / folder.name, "Name a folder that `gridsearch run` has made."
    if has_study(usual):
        fix = f"Did you mean {usual}?"
    elif not folder.exists():
        fix = near_name(folder) or fix
    elif folder.is_dir() and (runs := [*itertools.islice(_runs_in(folder), MOST_RUNS + 1)]):
        named = ", ".join([*map(str, runs[:MOST_RUNS]), *["..."] * (len(runs) > MOST_RUNS)])
        fix = f"Name one of the runs in it: {named}."
    if not folder.exists():
        return BadInput("There is no such folder.", where=folder, fix=fix)
    what = "This folder holds no results." if folder.is_dir() else "This is a file, not a results folder."
    return BadInput(what, where=folder, fix=fix)


def _runs_in(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in sorted(folder.iterdir()) if (path / location.FILE).is_file())


def write_study(
    folder: Path,
    facts: Facts,
    trials: Iterable[FrozenTrial] = (),
    checks: Iterable[FrozenTrial] = (),
    done: str | None = None,
) -> None:
    """Put a whole new study in a folder, in the place of any that is there, whose judgements it keeps.

    It is written under another name and renamed, so that a kill leaves either the old one or the new one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = location.place_of(folder)
    with location.replacement_lock(folder):
        judgements = {}
        if has_study(folder):
            with open_study(folder) as study:
                judgements = judgements_in(study.user_attrs)
        content = Stored(facts, [*trials], [*checks], done, judgements)
        if place.url is None:
            file = folder / location.FILE
            beside = file.with_name(f".{file.name}.part")
            for leftover in folder.glob(f"{beside.name}*"):
                leftover.unlink()
            with location.database(beside) as storage:
                _create(storage, place.study, content)
            location.fold_log(file)
            os.replace(beside, file)
            return
        with connect(place.url) as storage:
            new, old = _family(f"{place.study} (being written)"), _family(place.study)
            for name in new:  # left behind by a kill
                if _is_there(storage, name):
                    optuna.delete_study(study_name=name, storage=storage)
            _create(storage, new[0], content)
            for one, other in zip(new, old, strict=True):
                if _is_there(storage, one):
                    replace_study(storage, one, other)


def _family(study: str) -> tuple[str, ...]:
    """Return the names of a study and of those beside it."""
    return study, f"{study}-{CHECKS}", f"{study}-{REFERENCES}"


def _is_there(storage: BaseStorage, name: str) -> bool:
    with contextlib.suppress(KeyError):
        storage.get_study_id_from_name(name)
        return True
    return False


def _create(storage: BaseStorage, name: str, content: Stored) -> None:
    directions = [StudyDirection.MINIMIZE] * len(objectives_of(content.facts))
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    save_facts(study, content.facts)
    for key, value in {DONE: content.done, **content.judgements}.items():
        study.set_user_attr(key, value)
    study.add_trials(content.trials)
    checks_of(study).add_trials(content.checks)


@contextlib.contextmanager
def open_study(
    folder: Path, shared: bool = False, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[optuna.Study]:
    """Open the study of a results folder, to be searched further; BadInput where it holds none.

    Args:
        shared: whether several processes write to it at once.
        on_wait: told when the database does not answer, and when it is back.
    """
    require_study(folder)
    place = location.place_of(folder)
    file = folder / location.FILE
    with connect(place.url, on_wait=on_wait) if place.url else location.database(file, shared) as storage:
        # Optuna would otherwise choose TPE and a median pruner without a word; the search sets its sampler.
        yield optuna.load_study(
            study_name=place.study,
            storage=storage,
            sampler=RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )


@contextlib.contextmanager
def led(folder: Path, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[Callable[[], bool]]:
    """Lead a folder's study. One in a database has a lock of its own; else the folder's lock will do.

    Yields:
        a function that says whether no other run leads it: a database that was restarted has freed the lock.

    Raises:
        Busy: another run leads it.
    """
    place = location.place_of(folder)
    if place.url is None:
        yield lambda: True
        return
    with leading(place.url, place.study, on_wait=on_wait) as lock:
        yield lock.is_held


def save_judgement(folder: Path, place: int, session: int, judgement: Judgement | None) -> None:
    """Write a judgement at its place in a session, on the disk when this returns; None takes it back.

    Optuna deletes no attribute, so one that is taken back is null from then on.
    """
    key = f"{JUDGEMENT}{session:08x} {place:04}"
    try:
        with location.replacement_lock(folder), open_study(folder) as study:
            study.set_user_attr(key, judgement and asdict(judgement))
    except (OSError, SQLAlchemyError, StorageInternalError) as error:
        why = driver_message(error)
        raise RunFailed("The judgement could not be kept.", where=folder, why=why) from error


def checks_of(study: optuna.Study) -> optuna.Study:
    """Open the study of the images that check the search: no sampler learns from a study of its own."""
    return _beside(study, CHECKS)


def references_of(study: optuna.Study) -> optuna.Study:
    """Open the study of the parents' own renders, which workers draw before the search."""
    return _beside(study, REFERENCES)


def _beside(study: optuna.Study, what: str) -> optuna.Study:
    return optuna.create_study(
        study_name=f"{study.study_name}-{what}",
        storage=storage_of(study),
        sampler=RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
        direction="minimize",
        load_if_exists=True,
    )


def _checks_in(study: optuna.Study) -> list[FrozenTrial]:
    """Return the checks that there are. Unlike `checks_of`, which would make their study, it only reads."""
    name, storage = f"{study.study_name}-{CHECKS}", storage_of(study)
    if not _is_there(storage, name):
        return []
    return optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)


def read_study(folder: Path) -> Stored:
    """Read and check the study of a results folder.

    Raises:
        BadInput: the folder holds no study, or one that this program has not written.
    """
    require_study(folder)
    if location.place_of(folder).url is None:
        location.require_own_log(folder / location.FILE)
        require_tables_only(folder / location.FILE)
    with damage_is_named(folder), open_study(folder) as study:
        found = stored(study)
        require_valid(asdict(found.facts), found.trials, found.checks, found.judgements)
        return found


def stored(study: optuna.Study) -> Stored:
    """Return the content of an open study."""
    return Stored(
        load_facts(study),
        study.get_trials(deepcopy=False),
        _checks_in(study),
        study.user_attrs.get(DONE),
        judgements_in(study.user_attrs),
    )
