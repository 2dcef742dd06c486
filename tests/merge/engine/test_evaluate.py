"""Steps reduced to sums: kept or not they give the same weights, and what is kept is made once."""

from dataclasses import replace

import pytest
import torch

from gridsearch.base.errors import RunFailed
from gridsearch.checkpoint.ldm.layout import LiveRows
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine import live as live_module
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.evaluate import _label, evaluate, needed_sources
from gridsearch.merge.engine.kept import MOST, Kept
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.methods import CHANGES
from gridsearch.merge.engine.shelf import Change
from gridsearch.merge.engine.sources import LoadedSource
from tests.helpers.methods import WHOLE

KEY = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
MODELS = {name: f"{name}.safetensors" for name in "abc"}
ROOM = 10**9


class Style:
    """An adapter's difference, counted as it is made."""

    def __init__(self, change):
        self._change, self.made = change, 0

    def tensor(self, key):
        raise NotImplementedError

    def pieces(self, key):
        self.made += 1
        return self._change.shape, lambda here: self._change.reshape(-1)[here]

    def change(self, key, base):
        raise NotImplementedError


@pytest.fixture
def sources():
    """Fine-tunes of one model, 1% apart, and an adapter."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(40, 30, generator=generator)
    near = {
        name: LoadedSource({KEY: (base + 0.01 * torch.randn(40, 30, generator=generator)).half()})
        for name in "abc"
    }
    return near | {"style": Style(0.01 * torch.randn(40, 30, generator=generator))}


def terms_at(ratio, *steps, adapter=False):
    placed = [{"ratio": ratio} | step for step in steps]
    adapters = {"style": "style.safetensors"} if adapter else {}
    recipe = Recipe(models=MODELS, adapters=adapters, merge=placed, components={"vae": "merged"})
    return terms_of(recipe, [KEY], {"style": [KEY]} if adapter else None)[KEY]


def live_of(sources, room):
    parts = {KEY: [LiveRows(slice(None), torch.zeros(40, 30, dtype=torch.float16))]}
    return Live(parts, sources, {KEY: torch.float16}, kept=Kept(room))


STEPS = {
    "slerp": [{"method": "slerp", "models": ["a", "b"]}],
    "model_stock": [{"method": "model_stock", "models": ["a", "b", "c"]}],
    "train_difference": [{"method": "train_difference", "models": ["a", "b", "c"]}],
    "ties": [{"method": "ties", "models": ["a", "b", "c"]}],
    "dare_ties": [{"method": "dare_ties", "models": ["a", "b", "c"]}],
    "isotropic": [{"method": "isotropic", "models": ["a", "b", "c"]}],
    "adapter": [{"method": "adapter", "models": ["a", "style"]}],
    "adapter_on_a_sum": [
        {"name": "s", "models": ["a", "b"], "ratio": 0.3},
        {"method": "adapter", "models": ["s", "style"]},
    ],
    "adapter_in_a_slerp_and_after_it": [
        {"name": "s", "method": "adapter", "models": ["a", "style"], "ratio": 0.3},
        {"name": "t", "method": "slerp", "models": ["s", "b"], "ratio": 0.4},
        {"method": "adapter", "models": ["t", "style"]},
    ],
    "ties_of_a_slerp": [
        {"name": "s", "method": "slerp", "models": ["a", "b"], "ratio": 0.3},
        {"method": "ties", "models": ["a", "s", "c"]},
    ],
    "train_difference_of_a_sum_and_another": [
        {"name": "s", "models": ["a", "b"], "ratio": 0.3},
        {"name": "t", "method": "train_difference", "models": ["c", "b", "a"], "ratio": 0.4},
        {"method": "train_difference", "models": ["s", "t", "c"]},
    ],
    "train_difference_without_its_model": [
        {"name": "t", "method": "train_difference", "models": ["a", "b", "c"], "ratio": 0.6},
        {"method": "add_difference", "models": ["c", "t", "a"]},
    ],
    "slerp_to_a_ties": [
        {"name": "t", "method": "ties", "models": ["a", "b", "c"], "ratio": 0.6},
        {"method": "slerp", "models": ["a", "t"]},
    ],
}


@pytest.mark.parametrize("name", STEPS)
def test_kept_or_not_the_live_weights_are_those_of_the_exported_file(sources, name):
    """The first merge makes what is kept, the second takes it; an export makes it anew."""
    roomy, tight = live_of(sources, ROOM), live_of(sources, 0)
    for ratio in (0.3, 0.7, 1.4):
        terms = terms_at(ratio, *STEPS[name], adapter="adapter" in name)
        exported = evaluate(terms, KEY, sources, torch.float16, new_buffer())
        for live in (roomy, tight):
            merge_live(live, {KEY: terms})
            assert torch.equal(live.parts[KEY][0].view, exported)


@pytest.mark.parametrize("name", [name for name in STEPS if name in WHOLE])
def test_the_sum_is_the_methods_own_result(sources, name):
    (step,) = STEPS[name]
    tensors = [sources[model].tensor(KEY).float() for model in step["models"]]
    recipe = Recipe(models=MODELS, merge=[step | {"ratio": 0.7}], components={"vae": "merged"})
    wanted = WHOLE[name](*tensors, **recipe.merge[0].numbers())
    merged = evaluate(terms_at(0.7, step), KEY, sources, torch.float16, new_buffer())
    half_unit = 2.0 ** (wanted.abs().clamp(min=2**-14).log2().floor() - 11)
    change = (wanted - tensors[0]).abs()
    kept_rounding = 2.0**-11 * (change + tensors[0].abs() / 256)  # of a point 256 changes away
    assert ((merged.float() - wanted).abs() <= half_unit + 1.01 * kept_rounding + 1e-7).all()


def test_a_train_difference_is_made_in_rows_and_never_kept(sources):
    views = [torch.zeros(7, 30).half(), torch.zeros(33, 30)]
    parts = [LiveRows(rows, view) for rows, view in zip((slice(0, 7), slice(7, 40)), views, strict=True)]
    live, terms = (
        replace(live_of(sources, ROOM), parts={KEY: parts}),
        terms_at(0.5, *STEPS["train_difference"]),
    )
    merge_live(live, {KEY: terms})
    a, b, c = (sources[name].tensor(KEY).double() for name in "abc")
    mask = 1.8 * (b - a).abs() / ((b - a).abs() + (b - c).abs()).clamp(min=1e-30)
    exact = (a + 0.5 * mask * (b - c)).half()
    assert (torch.cat([view.half() for view in views]) != exact).double().mean() < 2e-3
    assert not live.kept.has(KEY, _label(terms[0][0], torch.float16))


@pytest.mark.parametrize("known", [{}, {name: {KEY: 60_000.0} for name in "abc"}])
def test_a_train_difference_that_overflows_is_found(known):
    """Its largest value is not measured, as its models' bound it; here it is 72,000."""
    values = {"a": 0.0, "b": 60_000.0, "c": -60_000.0}
    wide = {name: LoadedSource({KEY: torch.full((40, 30), value).half()}) for name, value in values.items()}
    live = replace(live_of(wide, ROOM), greatest=known)
    merge_live(live, {KEY: terms_at(0.5, *STEPS["train_difference"])})
    with pytest.raises(RunFailed, match="non-finite"):
        merge_live(live, {KEY: terms_at(1.0, *STEPS["train_difference"])})


def test_weights_on_a_device_that_does_not_merge_are_merged_beside_it(sources, monkeypatch):
    terms = terms_at(0.3, *STEPS["slerp_to_a_ties"])
    usual, beside = live_of(sources, ROOM), live_of(sources, ROOM)
    merge_live(usual, {KEY: terms})
    monkeypatch.setattr(live_module, "merged_in", lambda view, device: torch.empty_like(view, device=device))
    view = beside.parts[KEY][0].view
    merge_live(beside, {KEY: terms})
    assert beside.parts[KEY][0].view is view
    assert torch.equal(view, usual.parts[KEY][0].view)


def test_what_is_kept_is_made_once(sources, monkeypatch):
    made, ties = [], CHANGES["ties"]
    monkeypatch.setitem(CHANGES, "ties", lambda *tensors, **own: made.append(1) or ties(*tensors, **own))
    live = live_of(sources, ROOM)
    for ratio in (0.2, 0.5, 0.8):
        merge_live(live, {KEY: terms_at(ratio, *STEPS["ties"])})
        merge_live(live, {KEY: terms_at(ratio, *STEPS["adapter"], adapter=True)})
        merge_live(live, {KEY: terms_at(ratio, *STEPS["adapter_on_a_sum"], adapter=True)})
    assert len(made) == 1
    assert sources["style"].made == 1


def test_another_number_than_the_ratio_makes_another_change(sources):
    live = live_of(sources, ROOM)
    for k in (0.2, 0.9, 0.2):
        terms = terms_at(0.5, STEPS["ties"][0] | {"k": k})
        merge_live(live, {KEY: terms})
        assert torch.equal(
            live.parts[KEY][0].view, evaluate(terms, KEY, sources, torch.float16, new_buffer())
        )


def test_models_are_asked_for_as_long_as_their_change_is_not_kept(sources):
    live, names = live_of(sources, ROOM), {"style"}
    for step, all_of_them in (("ties", {"a", "b", "c"}), ("adapter", {"a"})):
        terms = terms_at(0.5, *STEPS[step], adapter=step == "adapter")
        assert needed_sources(terms, KEY, names, live.kept, torch.float16) == all_of_them
        merge_live(live, {KEY: terms})
        assert needed_sources(terms, KEY, names, live.kept, torch.float16) == {"a"}


def test_a_full_room_gives_the_place_of_what_was_not_used_for_longest():
    kept = Kept(16)

    def held():
        return Change(torch.zeros(4, dtype=torch.float16), 1.0, 0.0)

    for label in ("x", "y"):
        kept.find("key", label, held)
    kept.find("key", "x", held)
    kept.find("key", "z", held)
    assert [kept.has("key", label) for label in "xyz"] == [True, False, True]
    kept.find("other key", "w", held)
    assert not kept.has("other key", "w")  # those of other keys are needed as well
    assert kept.find("other key", "number", lambda: 3) == kept.find("other key", "number", lambda: 4) == 3


@pytest.mark.parametrize("largest", [0.0, 1e-45, 1e-20, 1.0, 60_000.0, 1e30])
def test_an_adapters_change_of_any_size_is_kept_with_its_bits(sources, largest):
    change = torch.linspace(-1, 1, 1200).view(40, 30) * largest
    terms = terms_at(0.5, *STEPS["adapter_on_a_sum"], adapter=True)
    merged = evaluate(terms, KEY, sources | {"style": Style(change)}, torch.float16, new_buffer())
    a, b = (sources[name].tensor(KEY).double() for name in "ab")
    wanted = 0.7 * a + 0.3 * b + 0.5 * change.double()
    sizes = wanted.abs() + 0.5 * change.abs()
    fits = wanted.abs() < 65_000
    assert ((merged.double() - wanted).abs() <= 2**-11 * sizes + 2**-24)[fits].all()


@pytest.mark.parametrize("step", ["adapter", "adapter_on_a_sum"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_change_that_is_not_finite_is_named(sources, step, value):
    terms = terms_at(0.5, *STEPS[step], adapter=True)
    broken = sources | {"style": Style(torch.full((40, 30), value))}
    with pytest.raises(RunFailed, match="non-finite"):
        evaluate(terms, KEY, broken, torch.float16, new_buffer())


def test_in_a_full_room_what_had_to_go_is_made_again_though_it_was_not_expected(sources):
    """Two changes of one key, and room for one: making the one throws out the other, which was counted on."""
    live = live_of(sources, sources["a"].tensor(KEY).nbytes)
    steps = [
        {"name": "t", "method": "ties", "models": ["a", "b", "c"], "ratio": 0.4},
        {"name": "u", "method": "dare_ties", "models": ["a", "b", "c"], "ratio": 0.6},
        {"models": ["t", "u"]},
    ]
    for ratio in (0.3, 0.5, 0.7):
        terms = terms_at(ratio, *steps)
        merge_live(live, {KEY: terms})
        exported = evaluate(terms, KEY, sources, torch.float16, new_buffer())
        assert torch.equal(live.parts[KEY][0].view, exported)


@pytest.mark.parametrize("method", ["ties", "slerp"])
def test_a_chain_reads_its_models_once_a_step(sources, method):
    reads, depth = [], 8

    class Counted(LoadedSource):
        def tensor(self, key):
            reads.append(key)
            return super().tensor(key)

    counted = {name: Counted(sources[name].tensors) for name in "abc"}
    others = ["b", "c"] if method == "ties" else ["b"]
    steps = [
        {"name": f"s{i}", "method": method, "models": [f"s{i - 1}" if i else "a", *others], "ratio": 0.5}
        for i in range(depth)
    ]
    evaluate(terms_at(0.5, *steps), KEY, counted, torch.float16, new_buffer())
    assert len(reads) == 1 + depth * len(others)


def test_numbers_of_inputs_that_change_in_every_trial_do_not_pile_up(sources):
    live, trials = live_of(sources, 0), MOST + 20
    steps = [{"name": "s", "models": ["a", "b"]}, {"method": "slerp", "models": ["s", "c"], "ratio": 0.5}]
    seen = [terms_at((i + 1) / 200, *steps) for i in range(trials)]
    for terms in seen:
        merge_live(live, {KEY: terms})
    kept = [live.kept.has(KEY, node.inputs) for ((node, _),) in seen]
    assert kept == [False] * 20 + [True] * MOST


def test_memory_of_what_was_kept_is_used_again():
    kept, size = Kept(2**20), 2**18
    first, other = (kept.empty([size], torch.float16, torch.device("cpu")) for _ in range(2))
    row, place = first[:3], first.data_ptr()
    assert other.data_ptr() - place >= 2 * size
    del first
    third = kept.empty([size], torch.float16, torch.device("cpu"))
    assert abs(third.data_ptr() - place) >= 2 * size  # a part of the first is still in use
    del row
    assert kept.empty([size], torch.float16, torch.device("cpu")).data_ptr() == place
