"""Small pictures are made once, and again only when the picture is another."""

import os

import pytest

from gridsearch.report import thumbs
from gridsearch.report.thumbs import thumbnails
from gridsearch.results.store.paths import KEPT
from tests.helpers.made_up import picture, save


@pytest.fixture
def run(tmp_path):
    save(picture(1, 1, 1.0), tmp_path / "images/a.png")
    return tmp_path


def small(run, name="images/a.png", side=32):
    return thumbnails([run / name], side, run)[run / name]


def test_a_small_picture_is_made_once(run, monkeypatch):
    first = small(run)
    assert (first.width, first.height) == (32, 32)
    monkeypatch.setattr(thumbs, "_made", None)  # nothing is made from here on
    assert small(run) == first


def test_another_picture_under_the_same_name_is_seen(run):
    first = small(run)
    save(picture(2, 2, 1.0), run / "images/a.png")
    assert small(run) != first
    assert small(run, side=16).width == 16


@pytest.mark.parametrize("damage", [b"", b"RIFF", b"no picture at all"])
def test_what_a_crash_left_is_made_again(run, damage):
    first = small(run)
    for kept in (run / KEPT).iterdir():
        kept.write_bytes(damage)
    assert small(run) == first
    assert thumbs._read(next((run / KEPT).iterdir())) == first


def test_half_a_small_picture_is_none(run):
    small(run)
    kept = next((run / KEPT).iterdir())
    kept.write_bytes(kept.read_bytes()[:-10])
    assert thumbs._read(kept) is None


def test_no_picture_is_none_and_others_are_shown(run):
    (run / "images/b.png").write_bytes(b"no picture")
    os.symlink(run / "nowhere", run / "images/c.png")
    names = [run / f"images/{letter}.png" for letter in "abcd"]
    found = thumbnails(names, 32, run)
    assert [found[name] is not None for name in names] == [True, False, False, False]


def test_a_folder_that_one_may_only_read_has_a_report_all_the_same(run):
    (run / KEPT).write_bytes(b"in the way")
    assert small(run).width == 32
    assert not list(run.rglob("*.part"))


def test_a_large_picture_is_decoded_once(run, monkeypatch):
    shrunk, sizes = thumbs._shrunk, []
    monkeypatch.setattr(
        thumbs, "_shrunk", lambda image, box, **how: sizes.append(image.size) or shrunk(image, box, **how)
    )
    save(picture(1, 1, 1.0, side=1024), run / "large.png")
    assert small(run, "large.png", 96).width == 96
    assert sizes == [(1024, 1024), (256, 256)]
    assert thumbs.reduced(run / "large.png", (192, 192), run).size == (192, 192)
    assert sizes[2:] == [(256, 256)]
    assert thumbs.reduced(run / "large.png", (500, 500), run).size == (500, 500)
    assert sizes[3:] == [(1024, 1024)]
