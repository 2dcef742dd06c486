"""A person's answers to blind pairs of all runs, in one file of theirs: what a taste is learned from.

A line of JSON is a pair: the answer, and of both pictures what was measured. It has no prompt, no path, no
model and no picture; a picture's name is the digest of its pixels. Lines are only ever added. An answer that
is taken back is a line of its own.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import Field, TypeAdapter

from gridsearch.base.errors import RunFailed
from gridsearch.base.files import data_folder, read_capped
from gridsearch.results.store.judgements import Choice

MOST_BYTES = 100_000_000  # about 50,000 pairs
NEWEST = 1000  # pairs that count: a taste changes, and more would take long to learn from
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=20_000)]


@dataclass(frozen=True)
class KeptPicture:
    """A picture as it is kept: its digest, its metrics, and where it has any, its features, packed.

    `backbone` is a key that tells what made the features.
    """

    name: _Text
    metrics: Mapping[_Text, _Number | None]
    features: _Text | None = None
    backbone: _Text = ""


@dataclass(frozen=True)
class KeptPair:
    """An answer to a blind pair; `id` is unique, and `answer` None takes back an earlier line of this id."""

    id: _Text
    day: _Text
    answer: Choice | None
    pictures: tuple[KeptPicture, KeptPicture] | None = None


_LINE = TypeAdapter(KeptPair)


@dataclass(frozen=True)
class KeptPairs:
    """The pairs in a file, oldest first, and how many of its lines could not be read."""

    pairs: tuple[KeptPair, ...]
    unreadable: int = 0


def usual_pairs_file() -> Path:
    """Return the file that all runs of this user share."""
    return data_folder() / "pairs.jsonl"


def keep_pair(file: Path, pair: KeptPair) -> None:
    """Add a line, which is on the disk when this returns.

    Raises:
        RunFailed: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:  # appending, so that two programs do not mix lines
            opened.write(json.dumps(asdict(pair), allow_nan=False) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        raise RunFailed("The answer could not be kept.", where=file, why=error.strerror) from error


def kept_pairs(file: Path) -> KeptPairs:
    """Return the newest pairs in a file, without those taken back; none where there is no such file.

    A line that cannot be read, as a full disk may leave one, is counted and left out.

    Raises:
        BadInput: the file cannot be read, or is far too large.
    """
    if not file.exists():
        return KeptPairs(())
    found: dict[str, KeptPair] = {}
    unreadable = 0
    for line in read_capped(file, MOST_BYTES, "file of judged pairs").splitlines():
        try:
            pair = _LINE.validate_json(line)
        except pydantic.ValidationError:
            unreadable += bool(line.strip())
            continue
        found.pop(pair.id, None)
        if pair.answer is not None and pair.pictures is not None:
            found[pair.id] = pair
    return KeptPairs(tuple(found.values())[-NEWEST:], unreadable)
