"""Where a folder's study lies: in the folder itself, or in a database that several machines share."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.results.shared.known_hosts import remember, require_known
from gridsearch.results.shared.url import ENVIRONMENT, redacted, with_password, without_password

FILE = "study.db"
POINTER = "storage.json"  # in the folder of a study that lies elsewhere; never a password in it
VARIABLE = ENVIRONMENT
STUDY = "gridsearch"  # its name in a database of its own


@dataclass(frozen=True)
class Place:
    """A study in a database.

    Attributes:
        url: None for the folder's own SQLite file.
        study: its name there.
        artifacts: where its images are besides the folder; None where they are not.
    """

    url: str | None = None
    study: str = STUDY
    artifacts: str | None = None


def place_of(folder: Path) -> Place:
    """Where the study of a results folder lies.

    The password of a database is not in the folder: it comes with the same address from `GRIDSEARCH_STORAGE`,
    or from where the database's own client looks for it.

    Raises:
        BadInput: the folder's note of it is damaged, or names a place that was never named on this machine.
    """
    noted = _noted(folder)
    if noted.url is None:
        return noted
    named = with_password(noted.url, os.environ)
    if named is None:
        require_known(noted.url, folder / POINTER)
        return noted
    remember(named)
    return Place(named, noted.study, noted.artifacts)


def _noted(folder: Path) -> Place:
    file = folder / POINTER
    if not file.is_file():
        return Place()
    try:
        said = json.loads(file.read_bytes())
        return Place(str(said["storage"]), str(said["study"]), said.get("artifacts"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            "The note of where the study lies is damaged.",
            where=file,
            why=str(error),
            fix="Run `gridsearch run` again with --storage and --out; it writes the note anew.",
        ) from None


def settle(folder: Path, place: Place) -> None:
    """Note in a folder where its study lies. Where its images lie is kept where that is not said again.

    Raises:
        BadInput: the folder has a study already that lies elsewhere.
    """
    if place.url is None:
        _require_own(folder)
        return
    if (folder / FILE).is_file():
        raise BadInput(
            "This folder holds a study of its own.",
            where=folder / FILE,
            why=f"the run was to be kept in {redacted(place.url)}.",
            fix="Leave --storage out to go on with it, or choose another folder with --out.",
        )
    remember(place.url)
    said = {"storage": without_password(place.url), "study": place.study, "artifacts": place.artifacts}
    if (folder / POINTER).is_file():
        there = _noted(folder)
        said["artifacts"] = place.artifacts or there.artifacts
        if (without_password(there.url), there.study) != (said["storage"], said["study"]):
            raise BadInput(
                "This folder belongs to another study.",
                where=folder / POINTER,
                why=f"it says {redacted(there.url)}, study {there.study!r}.",
                fix="Choose another folder with --out.",
            )
        if said["artifacts"] == there.artifacts:
            return  # the workers of a run begin all at once, and would write it beside one another
    write_atomic(folder / POINTER, json.dumps(said, indent=2) + "\n")


def _require_own(folder: Path) -> None:
    if (folder / POINTER).is_file():
        raise BadInput(
            "The study of this folder lies in a database.",
            where=folder / POINTER,
            fix=f"Give its address again with --storage, or in {VARIABLE}.",
        )
