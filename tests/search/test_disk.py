"""The estimate of the disk space that a run takes, and what is removed after it."""

import shutil
from collections import namedtuple

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.search.cases import Counts
from gridsearch.search.disk import disk_of, picture_bytes, remove_unnamed_files
from tests.helpers.small_run import experiment

COUNTS = Counts(
    trials=20, glances=0, fewest=20, cases=3, held_out=0, references=3, checks=3
)  # at 1024 x 1024
GB = 10**9


def large(toy, images=None, **render):
    one = experiment(toy, images=images or {})
    return one.model_copy(
        update={"render": one.render.model_copy(update={"width": 1024, "height": 1024, **render})}
    )


def disk(what, folder):
    return disk_of(what, folder, COUNTS)


@pytest.fixture(autouse=True)
def fifty_gigabytes(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(50 * GB))


def test_all_is_counted_for_what_it_is(toy, tmp_path):
    found = disk(large(toy), tmp_path)
    one = picture_bytes(large(toy))
    assert one == int(1024 * 1024 * 1.6)
    assert found.pictures == 60 * one
    assert (found.references, found.checks, found.traces, found.free) == (3 * one, 3 * one, 0, 50 * GB)
    assert found.total == sum(found.parts().values()) > 66 * one
    assert disk(large(toy, trace=True), tmp_path).traces > 0


def test_what_is_webp_takes_less(toy, tmp_path):
    whole = disk(large(toy), tmp_path)
    found = disk(large(toy, {"format": "webp"}), tmp_path)
    assert found.pictures == pytest.approx(whole.pictures * 0.78, rel=0.01)


def test_what_lies_there_already_needs_no_room_again(toy, tmp_path, monkeypatch):
    needed = disk(large(toy), tmp_path).total
    (tmp_path / "images").mkdir()
    with (tmp_path / "images" / "x.png").open("wb") as file:
        file.truncate(needed // 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(needed // 2 + 1))
    assert disk(large(toy), tmp_path).there == needed // 2
    with pytest.raises(BadInput, match="disk is too small: 66 images"):
        disk(large(toy), tmp_path / "elsewhere")


def test_a_picture_that_no_webp_can_hold_is_refused(toy, tmp_path):
    with pytest.raises(BadInput, match=r"at most 16,383 pixels"):
        disk(large(toy, {"format": "webp"}, width=16_384, height=64), tmp_path)
    disk(large(toy, width=16_384, height=64), tmp_path)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"format": "jpeg"}, "there is no 'jpeg'"),
        ({"fromat": "png"}, "nearest known key is 'format'"),
        ({"full": 3}, "Unknown key 'images.full'"),
        ({"most": "20 GB"}, "Unknown key 'images.most'"),
    ],
)
def test_mistakes_in_the_table_are_named(toy, table, said):
    with pytest.raises(BadInput) as refused:
        experiment(toy, images=table)
    assert said in "\n".join(refused.value.lines)


def test_only_what_this_program_wrote_and_no_row_names_goes(tmp_path):
    kept = [
        "images/a.png",
        "checks/b.webp",
        "traces/a.png",
        "traces/a.json",
        "images/notes.txt",
        "other/c.png",
    ]
    gone = ["images/.a.png.part", "images/z.png", "traces/z.json"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    rows = [{"file": "images/a.png", "film": "traces/a.png"}, {"file": "checks/b.webp", "film": None}]
    assert sorted(remove_unnamed_files(tmp_path, rows)) == sorted(gone)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(kept)
