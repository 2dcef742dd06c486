"""The place of the sources and the room for changes, in gigabytes counted by hand."""

import pytest

from gridsearch.merge.engine.sources import residence

GB = 10**9


@pytest.mark.parametrize(
    ("sources", "device", "memory", "gpu", "expected"),
    [
        (14, "cpu", 30, 0, ("mapped", True, 10)),  # of 24 GB the sources leave 10
        (21, "cpu", 20, 0, ("mapped", False, 8)),  # of 16 GB half
        (14, "cuda", 100, 30, ("gpu", True, 10)),
        (14, "cuda", 30, 10, ("pinned", True, 8)),  # 18.2 GB of 24
        (14, "cuda", 20, 10, ("mapped", True, 8)),  # 18.2 GB of 16 are too much, 14 are not
    ],
)
def test_a_fifth_is_left_to_others_and_changes_get_the_rest(sources, device, memory, gpu, expected):
    found = residence(sources * GB, 5 * GB, device, memory * GB, gpu * GB)
    assert (found.where, found.fits, found.room) == (*expected[:2], expected[2] * GB)
    assert found.kept == 5 * GB
