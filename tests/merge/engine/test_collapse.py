"""Chains of steps collapse to one weighted sum, whatever they are made of."""

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.checkpoint.family import UNET
from gridsearch.checkpoint.sdxl.family import BLOCKS
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.collapse import recipe_text, require_covered, sources_in, terms_of
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.sources import LoadedSource

MODELS = ("a", "b", "c")
ADAPTERS = ("x", "y")
KEYS = {
    "IN": f"{UNET}input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight",
    "M": f"{UNET}middle_block.0.in_layers.2.weight",
    "OUT": f"{UNET}out.2.weight",
    "BASE": "conditioner.embedders.1.model.ln_final.weight",
}
VAE_KEY = "first_stage_model.decoder.conv_in.weight"
TOUCHED = {"x": {KEYS["IN"], KEYS["M"]}, "y": {KEYS["BASE"]}}


def recipe(*steps, **components):
    return Recipe(
        models={name: f"{name}.safetensors" for name in MODELS},
        adapters={name: f"{name}.safetensors" for name in ADAPTERS},
        merge=steps,
        components=components,
    )


numbers = st.floats(-1, 2)
ratios = st.one_of(
    numbers,
    st.dictionaries(
        st.sampled_from(("in", "IN04", "mid", "out", "te", "attention", "IN03-M00")), numbers
    ).map(lambda blocks: {"default": 0.5} | blocks),
)


@st.composite
def linear_steps(draw):
    """A chain of linear steps of every kind, the last using at least what was made before it."""
    steps, known = [], list(MODELS)
    for i in range(draw(st.integers(1, 5))):
        one = st.sampled_from(known)
        method = draw(st.sampled_from(("weighted_sum", "add_difference", "average", "adapter")))
        step = {"name": f"s{i}", "method": method}
        first = f"s{i - 1}" if i else draw(one)  # so that no step is idle
        if method == "weighted_sum":
            step |= {"models": [first, draw(one)], "ratio": draw(ratios)}
        elif method == "add_difference":
            step |= {"models": [first, draw(one), draw(one)], "ratio": draw(ratios)}
        elif method == "adapter":
            step |= {"models": [first, draw(st.sampled_from(ADAPTERS))], "ratio": draw(ratios)}
        else:
            rest = st.sampled_from([name for name in known if name != first])
            others = draw(st.lists(rest, min_size=1, max_size=2, unique=True))
            weights = draw(st.lists(st.floats(0.1, 2), min_size=len(others) + 1, max_size=len(others) + 1))
            step |= {"models": [first, *others], "weights": weights, "normalize": draw(st.booleans())}
        steps.append(step)
        known.append(f"s{i}")
    return steps


def step_by_step(what, key, values):
    """The plain way, in float64: every step's tensor from its inputs' tensors."""
    known = dict(values)
    for step in what.merge:
        inputs = [known[name] for name in step.models]
        ratio = getattr(step, "ratio", None)
        if isinstance(ratio, dict):
            ratio = by_hand(ratio, key)
        if step.method == "weighted_sum":
            result = inputs[0] * (1 - ratio) + inputs[1] * ratio
        elif step.method == "add_difference":
            result = inputs[0] + ratio * (inputs[1] - inputs[2])
        elif step.method == "adapter":
            result = inputs[0] + ratio * inputs[1]
        else:
            total = sum(step.weights) if step.normalize else 1.0
            result = sum(w / total * x for w, x in zip(step.weights, inputs, strict=True))
        known[step.name] = result
    return known[what.merge[-1].name]


def by_hand(blocks, key):
    """Which entries mean each of the keys above, written out."""
    meant = {
        KEYS["IN"]: {"default", "in", "IN04", "attention", "IN03-M00"},
        KEYS["M"]: {"default", "mid", "IN03-M00"},
        KEYS["OUT"]: {"default", "out"},
        KEYS["BASE"]: {"default", "te"},
    }[key]
    return [value for name, value in blocks.items() if name in meant][-1]


@settings(max_examples=100, deadline=None)
@given(linear_steps(), st.integers(0, 100))
def test_a_linear_chain_collapses_to_what_its_steps_give_one_by_one(steps, seed):
    what = recipe(*steps)
    generator = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(8, 8, generator=generator) for name in (*MODELS, *ADAPTERS)}
    sources = {name: LoadedSource(dict.fromkeys(KEYS.values(), value)) for name, value in values.items()}
    try:
        terms = terms_of(what, KEYS.values(), TOUCHED)
    except RunFailed:  # the coefficients cancelled
        reject()
    for key in KEYS.values():
        exact = {
            name: value.double() if name in MODELS or key in TOUCHED[name] else torch.zeros(8, 8).double()
            for name, value in values.items()
        }
        assert all(isinstance(source, str) for source, _ in terms[key])
        merged = evaluate(terms[key], key, sources, torch.float32, new_buffer())
        expected = step_by_step(what, key, exact)
        size = max(1.0, sum(abs(weight) for _, weight in terms[key]))
        torch.testing.assert_close(merged.double(), expected, rtol=1e-5, atol=1e-5 * size)


def weighted(ratio, **rest):
    return {"models": ["a", "b"], "ratio": ratio} | rest


def test_at_the_ends_only_one_source_is_left():
    assert terms_of(recipe(weighted(0.0)), ["k"]) == {"k": (("a", 1.0),)}
    assert terms_of(recipe(weighted(1.0)), ["k"]) == {"k": (("b", 1.0),)}
    slerp = {"models": ["a", "b"], "method": "slerp"}
    assert terms_of(recipe(slerp | {"ratio": 0.0}), ["k"]) == {"k": (("a", 1.0),)}
    assert terms_of(recipe(slerp | {"ratio": 1.0}), ["k"]) == {"k": (("b", 1.0),)}


def test_an_adapter_has_no_part_in_keys_that_it_does_not_change():
    steps = weighted(0.5, name="s"), {"method": "adapter", "models": ["s", "x"], "ratio": 0.55}
    terms = terms_of(recipe(*steps), KEYS.values(), TOUCHED)
    assert terms[KEYS["IN"]] == (("a", 0.5), ("b", 0.5), ("x", 0.55))
    assert terms[KEYS["OUT"]] == (("a", 0.5), ("b", 0.5))


def test_components_are_lent_or_merged():
    keys = [KEYS["BASE"], VAE_KEY, KEYS["M"]]
    half = (("a", 0.5), ("b", 0.5))
    assert list(terms_of(recipe(weighted(0.5)), keys).values()) == [half, (("a", 1.0),), half]
    lent = recipe(weighted(0.5), text_encoders="b", vae="merged")
    assert list(terms_of(lent, keys).values()) == [(("b", 1.0),), half, half]
    own = recipe(weighted(0.5), vae="some/vae.safetensors")
    assert terms_of(own, [VAE_KEY]) == {VAE_KEY: (("some/vae.safetensors", 1.0),)}


def test_a_later_entry_overrules_an_earlier_one_and_a_gap_is_named():
    blocks = {"unet": 0.2, "IN04.attention": 0.9, "te2": 0.4}
    terms = terms_of(recipe(weighted(blocks)), [KEYS["IN"], KEYS["M"], KEYS["BASE"]])
    assert [dict(found)["b"] for found in terms.values()] == [0.9, 0.2, 0.4]
    key = "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight"
    require_covered(recipe(weighted(blocks)), terms)
    with pytest.raises(BadInput, match="No ratio of step") as caught:
        require_covered(recipe(weighted(blocks)), [*terms, key])
    assert key in str(caught.value)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ({"default": 0.5, "vae": [0.0, 1.0]}, "'vae'.*selects no merged weight"),
        ({"default": 0.5, "M00.te": [0.0, 1.0]}, "'M00.te'.*selects no merged weight"),
        ({"IN04": [0.0, 1.0], "default": 0.5}, "'IN04'.*override it everywhere"),
    ],
)
def test_an_entry_that_changes_nothing_is_refused(blocks, said):
    with pytest.raises(BadInput, match=f"(?s){said}"):
        require_covered(recipe(weighted(blocks)), [*KEYS.values(), VAE_KEY])


def test_coefficients_that_no_weight_can_bear_are_a_failure_with_a_reason():
    steps = [weighted(1e6, name="s0")]
    steps += [{"name": f"s{i}", "models": [f"s{i - 1}", "c"], "ratio": -1e6} for i in (1, 2, 3)]
    with pytest.raises(RunFailed, match="exceed"):
        terms_of(recipe(*steps), ["k"])


def test_a_non_linear_step_inside_a_chain_is_a_source_of_its_own():
    steps = (
        weighted(0.25, name="s"),
        {"name": "t", "method": "slerp", "models": ["s", "c"], "ratio": 0.5},
        {"name": "u", "models": ["t", "a"], "ratio": 0.1},
    )
    ((node, weight), rest) = terms_of(recipe(*steps), [KEYS["M"]])[KEYS["M"]]
    assert (node.method, weight, rest) == ("slerp", 0.9, ("a", 0.1))
    assert node.inputs == ((("a", 0.75), ("b", 0.25)), (("c", 1.0),))
    assert sources_in(((node, weight), rest)) == {"a", "b", "c"}


def test_weights_that_cancel_are_a_failure_with_a_reason():
    average = {"method": "average", "models": ["a", "b"], "weights": [1.0, -1.0]}
    with pytest.raises(RunFailed, match="add up to zero"):
        terms_of(recipe(average), ["k"])
    free = average | {"weights": [0.0, 0.0], "normalize": False}
    with pytest.raises(RunFailed, match="every model a coefficient of zero"):
        terms_of(recipe(free), ["k"])


def test_a_merge_is_said_in_one_line():
    def said(*steps):
        what = recipe(*steps)
        return recipe_text(what, terms_of(what, [*KEYS.values(), VAE_KEY]))

    assert said(weighted(0.25)) == "0.75 a + 0.25 b"
    blocks = weighted({"default": 0.5, "IN04": 0.25})
    assert said(blocks) == "merged = weighted_sum(a, b; ratio default=0.5 IN04=0.25)"
    assert said({"method": "geometric_median", "models": MODELS}) == "merged = geometric_median(a, b, c)"


def test_the_twenty_blocks_of_the_real_layout():
    from gridsearch.checkpoint.ldm.keys import block_of
    from gridsearch.checkpoint.ldm.shapes import file_shapes
    from gridsearch.checkpoint.sdxl.family import SDXL

    found = {}
    for key in file_shapes(SDXL.configs):
        found.setdefault(block_of(key, SDXL), []).append(key)
    assert {block for block in found if block} == set(BLOCKS)
    assert all(key.startswith("first_stage_model.") for key in found[None])


# -- pick

MANY = [f"{UNET}output_blocks.{i}.{j}.weight" for i in range(9) for j in range(400)]


def picked(**step):
    """The model that each of many tensors is taken from."""
    terms = terms_of(recipe({"method": "pick", "models": ["a", "b"]} | step, vae="a"), MANY)
    assert all(len(of) == 1 and of[0][1] == 1 for of in terms.values())  # whole, and so copied bit for bit
    return {key: of[0][0] for key, of in terms.items()}


def share(chosen):
    return sum(name == "b" for name in chosen.values()) / len(chosen)


def test_pick_takes_each_tensor_from_the_second_model_by_its_chance():
    assert set(picked(ratio=0.0).values()) == {"a"}
    assert set(picked(ratio=1.0).values()) == {"b"}
    for ratio in (0.1, 0.5, 0.9):
        assert abs(share(picked(ratio=ratio)) - ratio) < 4 * (ratio * (1 - ratio) / len(MANY)) ** 0.5


def test_a_greater_ratio_of_pick_takes_more_and_gives_none_back():
    taken = [{key for key, name in picked(ratio=ratio).items() if name == "b"} for ratio in (0.2, 0.3, 0.8)]
    assert taken[0] < taken[1] < taken[2]


def test_seeds_of_pick_are_independent():
    one, other = picked(ratio=0.5), picked(ratio=0.5, seed=1)
    alike = sum(one[key] == other[key] for key in MANY) / len(MANY)
    assert abs(alike - 0.5) < 4 * (0.25 / len(MANY)) ** 0.5
    assert one == picked(ratio=0.5, seed=0)


def test_pick_has_ratios_per_block():
    chosen = picked(ratio={"default": 0.0, "OUT01": 1.0, "OUT02": 0.5})
    of_block = {i: [chosen[key] for key in MANY if f"output_blocks.{i}." in key] for i in range(9)}
    assert set(of_block[0] + of_block[8]) == {"a"}
    assert set(of_block[1]) == {"b"}
    assert 150 < of_block[2].count("b") < 250


def test_pick_of_steps_takes_whole_steps():
    mixed = {"name": "s", "models": ["a", "b"], "ratio": 0.25}
    last = {"name": "t", "method": "pick", "models": ["s", "c"], "ratio": 0.5}
    terms = terms_of(recipe(mixed, last, vae="a"), MANY)
    assert set(terms.values()) == {(("a", 0.75), ("b", 0.25)), (("c", 1.0),)}
