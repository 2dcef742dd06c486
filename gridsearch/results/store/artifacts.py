"""The common place for the images of workers on several machines: a bucket, or a folder that all of them see.

A file's name there is its path below the results folder, such as `images/t0007_p1_1.png`.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gridsearch.base.errors import BadInput, GridsearchError, RunFailed
from gridsearch.base.files import flush_folder, from_home, write_atomic
from gridsearch.results import store

LARGEST_FILE = 256 * 2**20  # bytes: an image has less, and is held in memory
TRIES = 10  # of each request: boto waits up to 20 s between two
FETCHES = 8  # files fetched side by side: each waits for the network most of the time

_NO_RIGHT = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403")
_NOT_THERE = ("NoSuchKey", "404")


class Missing(RunFailed):
    """There is no such file."""


class Artifacts(Protocol):
    """Files by name. Each is there whole or not at all.

    Raises, in every method:
        BadInput: the name would leave the place, or there is no right to do this.
        RunFailed: the place does not answer.
    """

    def put(self, name: str, path: Path) -> None:
        """Store this file under the name, in the place of any other."""

    def fetch(self, name: str, path: Path) -> None:
        """Write the file here. Raises `Missing` where there is none."""

    def remove(self, name: str) -> None:
        """Delete the file, where there is one."""

    def names(self) -> set[str]:
        """Return all names, but for those that lead out of the place: their files are not a run's."""


def open_artifacts(url: str) -> Artifacts:
    """Open `s3://bucket/prefix`, `file:///folder`, or the path of a folder.

    Boto finds a bucket's key, region and endpoint by itself: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`,
    `~/.aws` and the like.

    Raises:
        BadInput: there is no such place, or no right to use it.
        RunFailed: it does not answer.
    """
    if url.startswith("s3://"):
        return _open_bucket(url)
    if url.startswith("file://"):
        return _Folder(Path(url2pathname(urlsplit(url).path)))
    if "://" in url:
        raise BadInput(
            "Images cannot be kept there.",
            where=url.partition("://")[0] + "://",
            fix="Use s3://bucket/prefix, or the path of a folder.",
        )
    return _Folder(from_home(url))


def fetch_missing(
    folder: Path,
    names: Iterable[str],
    artifacts: Artifacts,
    advance: Callable[[], None] = lambda: None,
) -> list[str]:
    """Fetch the files that a results folder lacks, for a report on a machine that did not draw them.

    Args:
        advance: called after each name, whether it was fetched, there already, or nowhere.

    Returns:
        The names that are nowhere.
    """

    def fetch(name: str) -> str | None:
        path = inside(folder, name)
        if path.exists():
            return None
        try:
            artifacts.fetch(name, path)
        except Missing:
            return name
        return None

    nowhere = []
    with ThreadPoolExecutor(FETCHES) as hands:
        for lacking in hands.map(fetch, names):
            advance()
            nowhere += [lacking] if lacking else []
    return nowhere


def checked_name(name: str) -> str:
    """Return the name, having checked that it stays inside the place.

    Raises:
        BadInput: it does not, on one system or another.
    """
    parts = name.split("/")
    bad = any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts)
    if bad or re.search(r'[\x00-\x1f\x7f\\:*?"<>|]', name) or len(name.encode("utf-8", "replace")) > 900:
        raise BadInput("This is not a valid file name in a results folder.", where=name[:200])
    return name


def inside(folder: Path, name: str) -> Path:
    """Return where a file of this name lies in the folder, links followed.

    Raises:
        BadInput: outside of it.
    """
    path = folder / PurePosixPath(checked_name(name))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput("A link leads out of the folder.", where=path)
    return path


@dataclass(frozen=True)
class _Folder:
    """A folder that all machines see. Optuna's own store writes in place: a reader would see half a file."""

    folder: Path

    def put(self, name: str, path: Path) -> None:
        write_atomic(inside(self.folder, name), path.read_bytes())

    def fetch(self, name: str, path: Path) -> None:
        try:
            write_atomic(path, inside(self.folder, name).read_bytes())
        except FileNotFoundError:
            raise Missing("There is no such file.", where=self.folder / name) from None

    def remove(self, name: str) -> None:
        path = inside(self.folder, name)
        if path.exists():
            path.unlink(missing_ok=True)
            flush_folder(path.parent)

    def names(self) -> set[str]:
        found = (Path(root, file) for root, _, files in os.walk(self.folder) for file in files)
        paths = (path.relative_to(self.folder) for path in found if not path.name.startswith("."))
        return _valid(path.as_posix() for path in paths)


@dataclass(frozen=True)
class _Bucket:
    """A bucket of S3 or of what speaks like it, through Optuna's store. What is put appears whole.

    Boto tries again by itself where that can help. Optuna's `Backoff` would do so after a refusal too.
    """

    store: Any  # optuna.artifacts.Boto3ArtifactStore
    prefix: str  # "" or with a slash at its end
    place: str

    def put(self, name: str, path: Path) -> None:
        with _named_errors(self.place), path.open("rb") as file:
            self.store.write(self._key(name), file)

    def fetch(self, name: str, path: Path) -> None:
        key = self._key(name)
        with _named_errors(f"{self.place}/{name}"):
            content = self._read(key)
        if len(content) > LARGEST_FILE:
            raise RunFailed("The file is too large for an image.", where=f"{self.place}/{name}")
        write_atomic(path, content)

    def _read(self, key: str, tries: int = 3) -> bytes:
        """Boto does not begin again where a connection breaks within a file."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        try:
            with contextlib.closing(self.store.open_reader(key)) as body:
                return body.read(LARGEST_FILE + 1)
        except (HTTPClientError, IncompleteReadError):
            if tries == 1:
                raise
            return self._read(key, tries - 1)

    def remove(self, name: str) -> None:
        key = self._key(name)
        with _named_errors(self.place):
            self.store.remove(key)

    def names(self) -> set[str]:
        pages = self.store.client.get_paginator("list_objects_v2")
        with _named_errors(self.place):
            found = pages.paginate(Bucket=self.store.bucket, Prefix=self.prefix)
            keys = [item["Key"] for page in found for item in page.get("Contents", ())]
        return _valid(key.removeprefix(self.prefix) for key in keys)

    def check(self) -> None:
        with _named_errors(self.place):
            self.store.client.list_objects_v2(Bucket=self.store.bucket, Prefix=self.prefix, MaxKeys=1)

    def _key(self, name: str) -> str:
        return self.prefix + checked_name(name)


def _open_bucket(url: str) -> _Bucket:
    parts = urlsplit(url)
    bucket = parts.netloc
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket) or parts.query or parts.fragment:
        raise BadInput(
            "This is not the address of a bucket.",
            where="s3://",
            why="It has a name and a prefix, and nothing else: no key, no secret.",
            fix="Write s3://bucket/prefix, and give the key as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
        )
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise BadInput(
            "The package that speaks to S3 is not installed.",
            where=url,
            why="boto3 is missing.",
            fix="Run `pip install 'gridsearch[s3]'`.",
        ) from None
    from optuna.artifacts import Boto3ArtifactStore

    prefix = parts.path.strip("/")
    with _named_errors(url):
        client = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": TRIES}))
    found = _Bucket(
        Boto3ArtifactStore(bucket, client), f"{checked_name(prefix)}/" if prefix else "", url.rstrip("/")
    )
    found.check()
    return found


def _valid(names: Iterable[str]) -> set[str]:
    found = set()
    for name in names:
        with contextlib.suppress(BadInput):
            found.add(checked_name(name))
    return found


@contextlib.contextmanager
def _named_errors(place: str) -> Iterator[None]:
    """Raise boto's errors as named ones. Its own texts quote addresses, in which there may be a secret."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from optuna.artifacts.exceptions import ArtifactNotFound

    try:
        yield
    except ArtifactNotFound:
        raise Missing("There is no such file.", where=place) from None
    except (ClientError, BotoCoreError, Boto3Error, ValueError) as error:
        raise _named_error(error, place) from None


def _named_error(error: Exception, place: str) -> GridsearchError:
    # an upload's error holds the request's, as its context
    inner = error if hasattr(error, "response") else error.__context__
    code = getattr(inner, "response", {}).get("Error", {}).get("Code", type(error).__name__)
    if code == "NoSuchBucket":
        return BadInput("There is no such bucket.", where=place, fix="Make it, or correct its name.")
    if code in _NOT_THERE:
        return Missing("There is no such file.", where=place)
    if code in _NO_RIGHT:
        return BadInput(
            "The bucket refuses this.", where=place, why=code, fix="Check the key and its rights."
        )
    if code in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"):
        return BadInput(
            "There is no key for the bucket.",
            where=place,
            why=code,
            fix="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or make ~/.aws/credentials.",
        )
    return RunFailed("The bucket does not answer.", where=place, why=code, fix="Check AWS_ENDPOINT_URL.")


def gather(folder: Path, rows: Iterable[Mapping]) -> None:
    """Fetch the pictures and films of these rows that the folder lacks, where images lie elsewhere as well.

    A file that is nowhere is left out: a report shows that it is missing.
    """
    address = store.place_of(folder).artifacts
    if address is None:
        return
    names = [file for row in rows for file in (row["file"], row.get("film")) if file]
    fetch_missing(folder, names, open_artifacts(address))


def rows_with_pictures(stored: store.Stored) -> Iterator[Mapping]:
    """Yield the rows of all pictures of a run: references, trials and checks."""
    yield from stored.facts.references or []
    for trial in [*stored.trials, *stored.checks]:
        yield from store.images_of(trial)
