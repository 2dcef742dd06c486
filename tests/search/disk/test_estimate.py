"""What a run takes of the disk, about and at most."""

import re
import shutil
from collections import namedtuple

import pytest

from gridsearch.base.errors import BadInput
from gridsearch.search.disk.estimate import SLACK, disk_of, most_bytes, picture_bytes, small_bytes
from tests.helpers.small_run import experiment

TRIALS, CASES, REFERENCES, CHECKS = 20, 3, 3, 3  # at 1024 x 1024
GB = 10**9


def large(toy, images=None, **render):
    one = experiment(toy, images=images or {})
    return one.model_copy(
        update={"render": one.render.model_copy(update={"width": 1024, "height": 1024, **render})}
    )


def disk(what, folder):
    return disk_of(what, folder, TRIALS, CASES, REFERENCES, CHECKS)


@pytest.fixture(autouse=True)
def fifty_gigabytes(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(50 * GB))


def test_all_is_counted_for_what_it_is(toy, tmp_path):
    found = disk(large(toy), tmp_path)
    one = picture_bytes(large(toy))
    assert one == int(1024 * 1024 * 1.6)
    assert (found.trials, found.full, found.pictures, found.reduced) == (20, 20, 60 * one, 0)
    assert (found.references, found.checks, found.traces, found.free) == (3 * one, 3 * one, 0, 50 * GB)
    assert found.total == sum(found.parts().values()) > 66 * one
    assert disk(large(toy, trace=True), tmp_path).traces > 0


def test_what_is_reduced_and_what_is_webp_takes_less(toy, tmp_path):
    whole = disk(large(toy), tmp_path)
    found = disk(large(toy, {"full": 5}), tmp_path)
    small = small_bytes(large(toy))
    assert small == int(256 * 256 * 1.35)
    assert (found.full, found.pictures, found.reduced) == (5, whole.pictures // 4, 45 * small)
    assert disk(large(toy, {"full": 50}), tmp_path) == whole
    assert disk(large(toy, {"format": "webp"}), tmp_path).pictures == pytest.approx(
        whole.pictures * 0.78, rel=0.01
    )
    tiny = large(toy, {"full": 5}, width=64, height=64)  # nothing is to be reduced
    assert disk(tiny, tmp_path).pictures + disk(tiny, tmp_path).reduced == 60 * picture_bytes(tiny)


def test_under_a_cap_fewer_stay_in_full_and_traces_go_first(toy, tmp_path):
    whole = disk(large(toy, trace=True), tmp_path)
    beside = SLACK + most_bytes(large(toy, trace=True).render, large(toy).prompt)
    roomy = whole.total + beside
    assert disk(large(toy, {"most": roomy}, trace=True), tmp_path).full == 20
    less = disk(large(toy, {"most": roomy - whole.traces}, trace=True), tmp_path)
    assert (less.full, less.traces) == (20, 0)
    fewer = [disk(large(toy, {"most": roomy - n * 10**7}), tmp_path).full for n in range(7)]
    assert fewer == sorted(fewer, reverse=True)
    assert 1 < fewer[-1] < fewer[0]


def test_a_cap_that_leaves_no_room_is_refused_and_the_one_that_is_named_is_enough(toy, tmp_path):
    with pytest.raises(BadInput, match=r"The cap of 80\.0 MB leaves no room for this run") as refused:
        disk(large(toy, {"most": "80 MB"}), tmp_path)
    wanted = re.search('most = "(.*?)"', refused.value.fix)[1]
    found = disk(large(toy, {"most": wanted}), tmp_path)
    assert found.full >= 1
    assert found.total < found.most


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
    ("said", "wanted"),
    [("20 GB", 20 * GB), ("1.5 gb", 3 * GB // 2), ("20 GiB", 20 * 2**30), ("500MB", GB // 2), (4096, 4096)],
)
def test_sizes_are_read_as_people_write_them(toy, said, wanted):
    assert experiment(toy, images={"most": said}).images.most == wanted


@pytest.mark.parametrize("wrong", [0, -1, "", "20 apples", "9" * 4000, True, [1], float("inf"), "1e9 GB"])
def test_what_is_no_size_is_refused_in_words(toy, wrong):
    with pytest.raises(BadInput, match=r"images\.most"):
        experiment(toy, images={"most": wrong})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"format": "jpeg"}, "there is no 'jpeg'"),
        ({"full": 0}, "greater than or equal to 1"),
        ({"full": 2.5}, "valid integer"),
        ({"fulll": 3}, "nearest known key is 'full'"),
    ],
)
def test_mistakes_in_the_table_are_named(toy, table, said):
    with pytest.raises(BadInput) as refused:
        experiment(toy, images=table)
    assert said in "\n".join(refused.value.lines)
