"""A file's hash: what it is, when it is remembered, and when it must not be."""

import multiprocessing
import os
import sqlite3
import time
from pathlib import Path

import pytest

from gridsearch.checkpoint import identity
from gridsearch.checkpoint.identity import cached_sha256, sha256_of, short_hash

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
LONG_AGO = 1_600_000_000


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The cache's file, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gridsearch" / "hashes.db"


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The files that were read to be hashed."""
    found = []

    def counted(path, advance):
        found.append(path)
        return sha256_of(path, advance)

    monkeypatch.setattr(identity, "sha256_of", counted)
    return found


def written(path: Path, content: bytes, at: float = LONG_AGO) -> Path:
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


def test_the_hash_is_sha256_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    seen = []
    assert sha256_of(tmp_path / "x", seen.append) == ABC
    assert short_hash(ABC) == "ba7816bf8f"
    assert seen == [3]


def test_a_file_is_read_once_and_the_bar_still_fills(tmp_path, cache, reads):
    path = written(tmp_path / "x", b"abc")
    for _ in range(2):
        seen = []
        assert cached_sha256(path, seen.append) == ABC
        assert seen == [3]
    assert reads == [path]
    linked = tmp_path / "y"
    linked.symlink_to(path)  # the same file under another name
    assert cached_sha256(linked) == ABC
    assert reads == [path]


def test_other_content_of_the_same_size_is_noticed(tmp_path, cache, reads):
    path = written(tmp_path / "x", b"abc")
    cached_sha256(path)
    written(path, b"abd", at=LONG_AGO + 1)
    assert cached_sha256(path) == sha256_of(path) != ABC
    beside = written(tmp_path / "beside", b"abe", at=LONG_AGO + 1)  # the same size and time, another file
    beside.replace(path)
    assert cached_sha256(path) == sha256_of(path)
    assert len(reads) == 3


def test_a_file_written_over_in_place_is_another_though_its_size_and_date_are_kept(tmp_path, cache):
    path = written(tmp_path / "x", b"abc")
    assert cached_sha256(path) == ABC
    time.sleep(0.05)  # the kernel's clock for files ticks every few milliseconds
    with path.open("r+b") as file:
        file.write(b"abd")
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert cached_sha256(path) == sha256_of(path) != ABC


@pytest.mark.parametrize("age", [0, -3600])
def test_a_file_that_has_just_changed_is_not_remembered(tmp_path, cache, reads, age):
    """Its next change may carry the same time. Nor is one that a wrong clock dates in the future."""
    path = written(tmp_path / "x", b"abc", at=time.time() - age)
    assert cached_sha256(path) == cached_sha256(path) == ABC
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read_is_not_remembered(tmp_path, cache):
    path = written(tmp_path / "x", b"abc")
    cached_sha256(path, lambda _: written(path, b"abd", at=LONG_AGO + 1))
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert cached_sha256(path) == sha256_of(path)


@pytest.mark.parametrize(
    "content", [b"not a database, but longer than one's header" * 40, b"SQLite format 3"]
)
def test_a_damaged_cache_is_begun_anew(tmp_path, cache, reads, content):
    path = written(tmp_path / "x", b"abc")
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    assert [cached_sha256(path) for _ in range(2)] == [ABC] * 2
    assert len(reads) == 1


def test_a_remembered_hash_that_is_none_is_not_believed(tmp_path, cache):
    path = written(tmp_path / "x", b"abc")
    cached_sha256(path)
    with sqlite3.connect(cache) as database:
        database.execute("UPDATE files SET sha256 = 'abc'")
    database.close()
    assert cached_sha256(path) == ABC


@pytest.mark.parametrize("in_the_way", ["cache", "cache/gridsearch", "cache/gridsearch/hashes.db/x"])
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, cache, in_the_way):
    (tmp_path / in_the_way).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / in_the_way).write_text("")
    assert cached_sha256(written(tmp_path / "x", b"abc")) == ABC


def test_processes_share_the_cache(tmp_path, cache, reads):
    paths = [written(tmp_path / f"{number}", b"%d" % number) for number in range(40)]
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert pool.map(cached_sha256, paths) == [sha256_of(path) for path in paths]
    assert [cached_sha256(path) for path in paths] == [sha256_of(path) for path in paths]
    assert not reads
