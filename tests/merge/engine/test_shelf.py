"""Tensors that nothing searched changes: the same bits kept or not, and on disk where memory has no room."""

import os
import shutil
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save

from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge import weights as weights_module
from gridsearch.merge.engine import shelf as module
from gridsearch.merge.engine.collapse import Node, sources_fused, terms_of, varying
from gridsearch.merge.engine.evaluate import evaluate, needed_sources
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.shelf import Shelf, has_room, open_shelf, shelves
from gridsearch.merge.engine.sources import LoadedSource
from gridsearch.merge.export.forecast import sums_at_once

KEY = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
SHAPE, ELEMENTS = (48, 64), 48 * 64
MODELS = [f"m{i}" for i in range(8)]
READ = Counter()


class Counted(LoadedSource):
    def __init__(self, name, tensor):
        super().__init__({KEY: tensor})
        object.__setattr__(self, "name", name)

    def tensor(self, key):
        READ[self.name] += 1
        return super().tensor(key)


def noise(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


SOURCES = {name: Counted(name, (noise(0) + 0.05 * noise(i + 1)).half()) for i, name in enumerate(MODELS)}
RATIO = {"low": 0.0, "high": 1.0}
# The last step is searched: after a sum of many, a function, and changes upon changes.
LAST = {"name": "merged", "models": ["y", "m7"], "ratio": RATIO}
CHAINS = {
    "linear": [
        {"name": "x", "models": MODELS[:2], "ratio": 0.3},
        {"name": "y", "method": "average", "models": ["x", *MODELS[2:7]]},
        LAST,
    ],
    "function": [
        {"name": "x", "models": MODELS[:2], "ratio": 0.3},
        {"name": "y", "method": "clamp", "models": ["x", "m1", "m2"]},
        LAST,
    ],
    "changes": [
        {"name": "x", "method": "ties", "models": MODELS[:4], "ratio": 0.8},
        {"name": "y", "method": "dare_ties", "models": ["x", "m4", "m5"], "ratio": 0.5},
        LAST,
    ],
}


def recipe_of(steps):
    return Recipe(
        models={name: f"{name}.safetensors" for name in MODELS}, merge=steps, components={"vae": "merged"}
    )


def terms_at(steps, ratio, name="ratio"):
    recipe = recipe_of(steps)
    return terms_of(recipe.at({name: ratio}), [KEY], varies=varying(recipe))[KEY]


def merged(live, terms):
    READ.clear()
    merge_live(live, {KEY: terms})
    return live.parts[KEY][0].view.clone(), set(READ)


def live_of(room=0, shelf=None):
    parts = {KEY: [LiveRows(slice(None), torch.zeros(SHAPE, dtype=torch.float16))]}
    return Live(parts, SOURCES, {KEY: torch.float16}, kept=Kept(room, shelf))


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_the_second_trial_reads_nothing_of_the_first_two_steps_and_has_the_bits_of_an_export(
    name, place, tmp_path
):
    steps, shelf = CHAINS[name], Shelf(tmp_path / "shelf", 10**6) if place == "disk" else None
    live = live_of(10**6 if shelf is None else 0, shelf)
    for trial, ratio in enumerate((0.3, 0.5, 0.85)):
        terms = terms_at(steps, ratio)
        found, read = merged(live, terms)
        nothing_searched = terms_of(recipe_of(steps).at({"ratio": ratio}), [KEY])[KEY]
        assert terms == nothing_searched
        exported = evaluate(nothing_searched, KEY, SOURCES, torch.float16, new_buffer())
        assert torch.equal(found, exported)
        assert torch.equal(found, merged(live_of(), terms)[0])
        others = {"m7"} if trial else set(MODELS)
        assert read <= others
        if trial:
            assert needed_sources(terms, KEY, (), live.kept, torch.float16) == {"m7"}
    if shelf:
        assert len(list(shelf.folder.iterdir())) == 1


def test_a_sum_of_many_is_the_sum_in_float64_to_the_last_bit_of_float32():
    steps = CHAINS["linear"]
    found = evaluate(terms_at(steps, 0.3), KEY, SOURCES, torch.float32, new_buffer())
    halves = [SOURCES[name].tensor(KEY).double() for name in MODELS]
    x = 0.7 * halves[0] + 0.3 * halves[1]
    wanted = 0.7 * (x + sum(halves[2:7])) / 6 + 0.3 * halves[7]
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=0)
    (node, _), _ = terms_at(steps, 0.3)
    assert isinstance(node, Node)
    assert sources_fused(terms_at(steps, 0.3)) == 2


def test_a_long_chain_of_sums_holds_few_tensors_at_once():
    chain = [{"name": "s1", "models": MODELS[:2], "ratio": 0.5}]
    chain += [{"name": f"s{i}", "models": [f"s{i - 1}", MODELS[i % 8]], "ratio": 0.3} for i in range(2, 60)]
    terms = terms_of(recipe_of(chain), [KEY])[KEY]
    assert sources_fused(terms) <= 5
    assert sums_at_once(terms) == 1
    average = [*chain, {"name": "t", "method": "average", "models": ["s20", "s30", "s59"]}]
    assert sums_at_once(terms_of(recipe_of(average), [KEY])[KEY]) == 3


def test_what_a_searched_number_changes_is_not_put_on_disk(tmp_path):
    steps = [
        {"name": "x", "method": "average", "models": MODELS[:6], "weights": [RATIO, *[1.0] * 5]},
        {"name": "merged", "models": ["x", "m7"], "ratio": 0.5},
    ]
    live = live_of(0, Shelf(tmp_path / "shelf", 10**6))
    for weight in (0.2, 0.6):
        _, read = merged(live, terms_at(steps, weight, "x.weights.m0"))
        assert read == {*MODELS[:6], "m7"}
    assert not (tmp_path / "shelf").exists()


def test_no_more_than_its_room_is_taken_and_what_is_broken_is_made_again(tmp_path):
    terms = terms_at(CHAINS["linear"], 0.3)
    shelf = Shelf(tmp_path / "small", 4 * ELEMENTS - 1)
    merged(live_of(0, shelf), terms)
    assert not shelf.folder.exists()
    whole = Shelf(tmp_path / "shelf", 4 * ELEMENTS)
    found, _ = merged(live_of(0, whole), terms)
    (file,) = whole.folder.iterdir()
    data = file.read_bytes()
    changed = bytearray(data)
    changed[-100] ^= 1
    unnamed = save({"tensor": torch.zeros(SHAPE)})  # without metadata
    for broken in (data[:-10], bytes(changed), unnamed, b""):
        file.unlink()
        file.write_bytes(broken)
        again, read = merged(live_of(0, Shelf(whole.folder, 10**6)), terms)
        assert torch.equal(again, found)
        assert "m0" in read
    _, read = merged(live_of(0, Shelf(whole.folder, 0)), terms)  # another worker's, or a killed run's
    assert read == {"m7"}


def test_a_shelf_is_of_its_sources_code_and_device_and_the_oldest_make_room(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    one, same, other, on_gpu = (
        open_shelf({"a": digits}, device, 10).folder
        for digits, device in (("00", "cpu"), ("00", "cpu"), ("11", "cpu"), ("00", "cuda"))
    )
    assert one == same
    assert len({one, other, on_gpu}) == 3
    assert one.parent == shelves()
    with monkeypatch.context() as patch:
        patch.setattr(module, "numba_version", lambda: "none")
        assert open_shelf({"a": "00"}, "cpu", 10).folder != one
    monkeypatch.setattr(module, "_code", lambda: "other code")
    assert open_shelf({"a": "00"}, "cpu", 10).folder != one
    shutil.rmtree(shelves())
    for age, name in enumerate(("new", "older", "oldest", "unused")):
        (shelves() / name).mkdir(parents=True)
        (shelves() / name / "x.safetensors").write_bytes(bytes(100))
        then = time.time() - 1000 * age - (module.UNUSED_FOR if name == "unused" else 0)
        os.utime(shelves() / name, (then, then))
    assert has_room(300)  # of (1000 + 400) / 2, 400 are taken
    assert not has_room(301)
    found = open_shelf({"a": "00"}, "cpu", 440)  # beside 100, of (1000 + 100) / 2
    assert {path.name for path in shelves().iterdir()} == {found.folder.name, "new"}
    assert open_shelf({"a": "00"}, "cpu", 501) is None
    assert open_shelf({"a": "00"}, "cpu", 0) is None


def test_the_plan_counts_what_is_kept(monkeypatch):
    counts = {
        name: weights_module._kept_steps(recipe_of(steps), varying(recipe_of(steps)))
        for name, steps in CHAINS.items()
    }
    assert counts == {"linear": (0, 1), "function": (0, 1), "changes": (0, 1)}
    trained = [{"method": "train_difference", "models": MODELS[:3], "ratio": 0.5}]
    assert weights_module._kept_steps(recipe_of(trained), varying(recipe_of(trained))) == (0, 0)
    two = [*CHAINS["changes"][:1], {"name": "merged", "models": ["x", "m7"], "ratio": RATIO}]
    recipe = recipe_of(two)
    assert weights_module._kept_steps(recipe, varying(recipe)) == (1, 0)  # x = a model and a change
