"""Merging over live weights: the right rows, the file's rounding, and only what has changed."""

import pytest
import torch

from gridsearch.base.errors import RunFailed
from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.merge.engine import live as live_module
from gridsearch.merge.engine.collapse import Node
from gridsearch.merge.engine.live import Live, merge_live, stale_keys
from gridsearch.merge.engine.sources import LoadedSource

WHOLE = slice(None)


def live_of(sources, dtype=torch.float32, live_dtype=torch.float32, **options):
    """Live weights for every key of the sources, which are dicts of tensors."""
    keys = next(iter(sources.values()))
    pieces = {
        key: [LiveRows(WHOLE, torch.zeros(tensor.shape, dtype=live_dtype))] for key, tensor in keys.items()
    }
    return Live(
        pieces,
        {name: LoadedSource(held) for name, held in sources.items()},
        dict.fromkeys(keys, dtype),
        **options,
    )


def value(live, key="w"):
    return live.parts[key][0].view


def test_a_live_model_gets_the_rows_and_the_rounding_of_the_file():
    a, b = torch.tensor([[1.0], [2.0]]).half(), torch.tensor([[1.001], [4.0]]).half()
    top, bottom = torch.zeros(1, 1), torch.zeros(1, 1)
    pieces = {"w": [LiveRows(slice(0, 1), top), LiveRows(slice(1, 2), bottom)]}
    live = Live(pieces, {"a": LoadedSource({"w": a}), "b": LoadedSource({"w": b})}, {"w": torch.float16})
    merge_live(live, {"w": (("a", 0.5), ("b", 0.5))})
    assert top.item() == ((1.0 + b[0].double()) / 2).half().float().item()
    assert bottom.item() == 3.0


def test_only_what_has_changed_is_computed():
    read = []

    class Counted(LoadedSource):
        def tensor(self, key):
            read.append(key)
            return super().tensor(key)

    weights = {"u": torch.ones(2), "w": torch.ones(2)}
    live = live_of({"a": weights, "b": weights})
    live = Live(live.parts, {name: Counted(weights) for name in "ab"}, live.dtypes)
    half = (("a", 0.5), ("b", 0.5))
    merge_live(live, {"u": half, "w": half})
    assert sorted(read) == ["u", "u", "w", "w"]
    read.clear()
    merge_live(live, {"u": half, "w": (("a", 0.4), ("b", 0.6))})
    assert read == ["w", "w"]
    assert stale_keys(live, {"u": half, "w": (("a", 0.4), ("b", 0.6))}) == []


def test_many_threads_write_what_one_does(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    sources = {
        name: {str(i): torch.randn(50, 40, generator=generator).half() for i in range(60)} for name in "abc"
    }
    terms = {
        str(i): (("a", 0.5), ("b", i / 60), ("c", -0.25)) if i % 2 else (("a", 1 - i / 60), ("b", i / 60))
        for i in range(60)
    }
    alone, together = (live_of(sources, torch.float16, torch.float16) for _ in range(2))
    merge_live(alone, terms)
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        monkeypatch.setattr(live_module, "TINY_MERGE", 0)
        merge_live(together, terms)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(threads)
    for key in terms:
        assert torch.equal(value(alone, key), value(together, key))


def test_a_thread_takes_keys_of_so_many_elements_or_one_larger_key():
    sizes = {"a": 9, "b": 4, "c": 3, "d": 3, "e": 1}
    groups = list(live_module._groups(list(sizes), sizes, 7))
    assert groups == [["a"], ["b", "c"], ["d", "e"]]


def test_a_nan_in_a_parent_of_weight_zero_stays_out_and_one_that_is_merged_is_named():
    live = live_of({"a": {"w": torch.ones(1)}, "b": {"w": torch.tensor([float("nan")])}})
    merge_live(live, {"w": (("a", 1.0),)})
    assert value(live).item() == 1
    with pytest.raises(RunFailed, match="non-finite") as caught:
        merge_live(live, {"w": (("a", 0.5), ("b", 0.5))})
    assert "w" in caught.value.lines[1]
    merge_live(live, {"w": (("a", 1.0),)})  # what a failure left behind is not taken for the merge
    assert value(live).item() == 1


def test_what_the_file_cannot_hold_is_found_though_the_sources_are_known_to_be_finite():
    big = {"w": torch.tensor([60_000.0]).half()}
    live = live_of({"a": big, "b": big}, torch.float16, greatest={name: {"w": 60_000.0} for name in "ab"})
    merge_live(live, {"w": (("a", 0.5), ("b", 0.5))})
    assert value(live).item() == 60_000
    with pytest.raises(RunFailed, match="non-finite"):
        merge_live(live, {"w": (("a", 1.0), ("b", 0.5))})


def test_a_non_linear_merge_does_not_depend_on_how_many_threads_there_are(monkeypatch):
    """Norms and dot products do, in their last bits, where an operation is shared among threads."""
    generator = torch.Generator().manual_seed(0)
    sources = {name: {"w": torch.randn(1000, 1000, generator=generator).half()} for name in "ab"}
    node = Node("slerp", ((("a", 1.0),), (("b", 1.0),)), (("ratio", 0.3),))
    merged, threads = [], torch.get_num_threads()
    try:
        for count, tiny in ((1, 0), (2, 0), (4, 10**9)):
            torch.set_num_threads(count)
            monkeypatch.setattr(live_module, "TINY_MERGE", tiny)
            live = live_of(sources, torch.float16, torch.float16)
            merge_live(live, {"w": ((node, 1.0),)})
            merged.append(value(live))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(merged[0], merged[1])
    assert torch.equal(merged[0], merged[2])
