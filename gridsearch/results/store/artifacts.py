"""The common place for the images of workers on several machines: a bucket, or a folder that all of them see.

A file's name there is its path below the results folder, such as `images/t0007_p1_1.png`. Each file is there
whole or not at all. BadInput is raised where a name would leave the place, or there is no right to do this;
RunFailed where the place does not answer.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

from gridsearch.base.errors import BadInput, GridsearchError, RunFailed
from gridsearch.base.files import from_home, write_atomic
from gridsearch.results import store

LARGEST_FILE = 256 * 2**20  # bytes: an image has less, and is held in memory
TRIES = 10  # of each request: boto waits up to 20 s between two
FETCHES = 8  # files fetched side by side: each waits for the network most of the time

_NO_RIGHT = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403")


class Missing(RunFailed):
    """There is no such file."""


def checked_name(name: str) -> str:
    """Return the name, having checked that it stays inside the place on every system."""
    parts = name.split("/")
    bad = any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts)
    if bad or re.search(r'[\x00-\x1f\x7f\\:*?"<>|]', name) or len(name.encode("utf-8", "replace")) > 900:
        raise BadInput("This is not a valid file name in a results folder.", where=name[:200])
    return name


def inside(folder: Path, name: str) -> Path:
    """Return where a file of this name lies in the folder, having followed the links on the way."""
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
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        key, place = self._key(name), f"{self.place}/{name}"
        broken = retry_if_exception_type((HTTPClientError, IncompleteReadError))  # boto reads no file again
        with _named_errors(place):
            for attempt in Retrying(retry=broken, stop=stop_after_attempt(3), reraise=True):
                with attempt, contextlib.closing(self.store.open_reader(key)) as body:
                    content = body.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise RunFailed("The file is too large for an image.", where=place)
        write_atomic(path, content)

    def _key(self, name: str) -> str:
        return self.prefix + checked_name(name)


Artifacts = _Folder | _Bucket


def open_artifacts(url: str) -> Artifacts:
    """Open `s3://bucket/prefix`, `file:///folder`, or the path of a folder.

    Boto finds a bucket's key, region and endpoint by itself: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`,
    `~/.aws` and the like.
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
    prefix = f"{checked_name(prefix)}/" if prefix else ""
    with _named_errors(url):
        client = boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": TRIES}))
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return _Bucket(Boto3ArtifactStore(bucket, client), prefix, url.rstrip("/"))


@contextlib.contextmanager
def _named_errors(place: str) -> Iterator[None]:
    """Raise boto's errors as named ones. Its own texts quote addresses, in which there may be a secret."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from optuna.artifacts.exceptions import ArtifactNotFound

    try:
        yield
    except (ArtifactNotFound, ClientError, BotoCoreError, Boto3Error, ValueError) as error:
        raise _named_error(error, place) from None


def _named_error(error: Exception, place: str) -> GridsearchError:
    # the error of an upload, or of a file that is not there, holds the request's as its context
    inner = error if hasattr(error, "response") else error.__context__
    code = getattr(inner, "response", {}).get("Error", {}).get("Code", type(error).__name__)
    if code == "NoSuchBucket":
        return BadInput("There is no such bucket.", where=place, fix="Make it, or correct its name.")
    if code in ("NoSuchKey", "404", "ArtifactNotFound"):
        return Missing("There is no such file.", where=place)
    if code in _NO_RIGHT:
        fix = "Check the key and its rights."
        return BadInput("The bucket refuses this.", where=place, why=code, fix=fix)
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
    artifacts = open_artifacts(address)

    def fetch(name: str) -> None:
        path = inside(folder, name)
        if not path.exists():
            with contextlib.suppress(Missing):
                artifacts.fetch(name, path)

    names = [file for row in rows for file in (row["file"], row.get("film")) if file]
    with ThreadPoolExecutor(FETCHES) as hands:
        list(hands.map(fetch, names))  # so that an error is raised here


def rows_with_pictures(stored: store.Stored) -> Iterator[Mapping]:
    """Yield the rows of all pictures of a run: references, trials and checks."""
    yield from stored.facts.references or []
    for trial in [*stored.trials, *stored.checks]:
        yield from store.images_of(trial)
