"""Where a folder's study lies: in the folder itself, or in a database that several machines share."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import write_atomic
from gridsearch.results.shared import STORAGE_VARIABLE
from gridsearch.results.shared.url import redacted, same_database, without_password

FILE = "study.db"
POINTER = "storage.json"  # in the folder of a study that lies elsewhere; never a password in it
STUDY = "gridsearch"  # its name in a database of its own


@dataclass(frozen=True)
class StudyPlace:
    """The place of a study, and of its images.

    Attributes:
        url: of its database; None for the folder's own SQLite file.
        study: its name there.
        artifacts: where its images are besides the folder; None where they are not.
    """

    url: str | None = None
    study: str = STUDY
    artifacts: str | None = None


def place_of(folder: Path) -> StudyPlace:
    """Return where the study of a results folder lies.

    A folder names a database and never opens one: a stranger's could have this machine's passwords sent to
    theirs. The address that is used, with its password, is the one that the user gives.

    Raises:
        BadInput: the folder's note is damaged, or names a database that the user has not given.
    """
    noted = _noted(folder)
    if noted.url is None:
        return noted
    return replace(noted, url=_given(folder, noted.url, os.environ.get(STORAGE_VARIABLE)))


def _given(folder: Path, noted: str, given: str | None) -> str:
    """Return the given address, where it is of the database that the folder names."""
    if not given:
        raise BadInput(
            "The study of this folder is in a database; give its URL.",
            where=folder / POINTER,
            why=f"The folder names {redacted(noted)}.",
            fix=f"If you trust that database, give its address: --storage URL for `run` and `worker`, "
            f"{STORAGE_VARIABLE}=URL before any command.",
        )
    if not same_database(noted, given):
        raise BadInput(
            "The study of this folder lies in another database than the one that you gave.",
            where=folder / POINTER,
            why=f"The folder names {redacted(noted)}, and --storage or {STORAGE_VARIABLE} {redacted(given)}.",
            fix="Give the address of the folder's database, or choose another folder.",
        )
    return given


def _noted(folder: Path) -> StudyPlace:
    file = folder / POINTER
    if not file.is_file():
        return StudyPlace()
    try:
        noted = json.loads(file.read_bytes())
        return StudyPlace(str(noted["storage"]), str(noted["study"]), noted.get("artifacts"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(
            "storage.json is damaged.",
            where=file,
            why=str(error),
            fix="Delete that file, then run `gridsearch run` again with --storage: it writes a new one.",
        ) from None


def note_place(folder: Path, place: StudyPlace) -> None:
    """Note in a folder where its study lies. Where its images lie is kept where that is not given again.

    Raises:
        BadInput: the folder has a study already that lies elsewhere.
    """
    noted = _noted(folder)
    if noted.url is not None:
        _given(folder, noted.url, place.url)
        if noted.study != place.study:
            raise BadInput(
                "This folder belongs to another study.",
                where=folder / POINTER,
                why=f"It names the study {noted.study!r}.",
                fix="Choose another folder with --out.",
            )
        if place.artifacts in (None, noted.artifacts):
            return  # the workers of a run begin all at once, and would write it beside one another
    if place.url is None:
        return
    if (folder / FILE).is_file():
        raise BadInput(
            "This folder holds a study of its own.",
            where=folder / FILE,
            why=f"The run was to be kept in {redacted(place.url)}.",
            fix=f"To go on with it, leave --storage out and {STORAGE_VARIABLE} unset; or choose another "
            "folder with --out.",
        )
    note = {"storage": without_password(place.url), "study": place.study, "artifacts": place.artifacts}
    write_atomic(folder / POINTER, json.dumps(note, indent=2) + "\n")
