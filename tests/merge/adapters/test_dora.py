"""DoRA: by hand, along either axis, and of the weight that a chain of steps has made by then."""

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.adapters.adapter import open_adapter
from gridsearch.merge.adapters.dependent import INPUT, OUTPUT, dora
from gridsearch.merge.engine.collapse import Node, terms_of
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.sources import LoadedSource
from tests.helpers.parameters import CONV, IN_PROJ, LINEAR, PARAMETERS

BASE = torch.tensor([[3.0, 3.0], [0.0, 2.0]])


@pytest.fixture
def adapter(tmp_path):
    def make(name="x", **tensors):
        stems = {"ab": "lora_unet_a_b", "c": "lora_unet_c", "v": "lora_te2_text_model_v_proj"}
        named = {}
        for stem, parts in tensors.items():
            named |= {f"{stems[stem]}.{part}": torch.as_tensor(value) for part, value in parts.items()}
        save_file(named, tmp_path / f"{name}.safetensors")
        return open_adapter(name, tmp_path / f"{name}.safetensors", PARAMETERS)

    return make


def lora(up, down, **more):
    return {"lora_up.weight": torch.tensor(up), "lora_down.weight": torch.tensor(down)} | more


RIGHT = lora([[2.0], [0.0]], [[0.0, 1.0]], alpha=0.5)  # BASE + change = ((3, 4), (0, 2))


@pytest.mark.parametrize(
    ("magnitudes", "merged"),
    [
        ([[10.0], [1.0]], [[6, 8], [0, 1]]),  # rows of length 5 and 2
        ([[6.0, 20**0.5 / 2]], [[6, 2], [0, 1]]),  # columns of length 3 and root 20
        ([[5.0], [2.0]], [[3, 4], [0, 2]]),  # their own lengths: the LoRA alone
    ],
)
def test_the_magnitudes_are_those_of_rows_or_of_columns_by_their_shape(adapter, magnitudes, merged):
    opened = adapter(ab=RIGHT | {"dora_scale": magnitudes})
    assert (opened.kinds, opened.matched, opened.unused) == ({"DoRA": 1}, 1, ())
    assert opened.dependent == {LINEAR}
    torch.testing.assert_close(BASE + opened.change(LINEAR, BASE), torch.tensor(merged).float())


@pytest.mark.parametrize("ending", ["", ".weight", ".style.weight"])
def test_the_magnitudes_of_diffusers_and_peft_are_those_of_rows(tmp_path, ending):
    tensors = {
        "unet.a.b.lora_A.weight": torch.tensor([[0.0, 1.0]]),
        "unet.a.b.lora_B.weight": torch.tensor([[1.0], [0.0]]),
        f"unet.a.b.lora_magnitude_vector{ending}": torch.tensor([10.0, 1.0]),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    opened = open_adapter("x", tmp_path / "x.safetensors", PARAMETERS)
    assert (opened.kinds, opened.unused) == ({"DoRA": 1}, ())
    torch.testing.assert_close(BASE + opened.change(LINEAR, BASE), torch.tensor([[6.0, 8.0], [0.0, 1.0]]))


def test_a_row_of_zeros_stays_one():
    change = dora(torch.zeros(2, 2), torch.zeros(2, 2), torch.ones(2), OUTPUT)
    assert change.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("axis", [OUTPUT, INPUT])
def test_a_convolution_along_either_axis_is_the_papers_formula(axis):
    generator = torch.Generator().manual_seed(0)
    base, change = torch.randn(2, 4, 3, 3, 3, generator=generator)
    magnitude = torch.rand(base.shape[axis], generator=generator)
    expected = base.double() + change.double()
    for i in range(base.shape[axis]):
        part = expected.select(axis, i)
        part.mul_(magnitude[i].double() / part.square().sum().sqrt())
    torch.testing.assert_close(
        (base + dora(base, change, magnitude, axis)).double(), expected, rtol=1e-6, atol=1e-6
    )


def test_one_row_group_may_be_a_dora_beside_others_that_are_not(adapter):
    """v of q, k and v: its change is that of its own rows."""
    opened = adapter(v=lora([[0.0], [0.0]], [[0.0, 0.0]], dora_scale=[[10.0], [4.0]]))
    base = torch.tensor([[1.0, 1.0]] * 4 + [[3.0, 4.0], [0.0, 2.0]])
    change = opened.change(IN_PROJ, base)
    torch.testing.assert_close(change, torch.tensor([[0.0, 0.0]] * 4 + [[3.0, 4.0], [0.0, 2.0]]))


def plain_dora(base, parts, strength):
    up, down = parts["lora_up.weight"].double(), parts["lora_down.weight"].double()
    moved = base + parts.get("alpha", 1.0) / down.shape[0] * (up @ down)
    merged = moved / moved.norm(dim=1, keepdim=True) * torch.tensor(parts["dora_scale"]).double()
    return base + strength * (merged - base)


@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.9])
def test_the_base_is_what_the_steps_before_have_made_of_the_weight(adapter, ratio):
    """Mixed, then one DoRA, then another on top of it, then mixed again: step by step in float64."""
    first, second = RIGHT | {"dora_scale": [[10.0], [1.0]]}, RIGHT | {"dora_scale": [[0.5], [7.0]]}
    adapters = {"one": adapter("one", ab=first), "two": adapter("two", ab=second)}
    recipe = Recipe(
        models={"a": "a.safetensors", "b": "b.safetensors"},
        adapters={name: f"{name}.safetensors" for name in adapters},
        merge=[
            {"name": "mixed", "models": ["a", "b"], "ratio": ratio},
            {"name": "s1", "method": "adapter", "models": ["mixed", "one"], "ratio": 0.5},
            {"name": "s2", "method": "adapter", "models": ["s1", "two"], "ratio": 1.5},
            {"models": ["s2", "b"], "ratio": 0.2},
        ],
    )
    a, b = BASE, torch.tensor([[1.0, -2.0], [5.0, 0.5]])
    sources = {"a": LoadedSource({LINEAR: a, CONV: a}), "b": LoadedSource({LINEAR: b, CONV: b}), **adapters}
    terms = terms_of(
        recipe,
        [LINEAR, CONV],
        {name: one.deltas for name, one in adapters.items()},
        {name: one.dependent for name, one in adapters.items()},
    )
    mixed = a.double() * (1 - ratio) + b.double() * ratio
    made = plain_dora(plain_dora(mixed, first, 0.5), second, 1.5) * 0.8 + b.double() * 0.2
    merged = evaluate(terms[LINEAR], LINEAR, sources, torch.float32, new_buffer())
    torch.testing.assert_close(merged.double(), made, rtol=1e-6, atol=1e-6)
    assert sum(isinstance(source, Node) for source, _ in terms[LINEAR]) == 2
    assert all(isinstance(source, str) for source, _ in terms[CONV])  # where neither has a say


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        (RIGHT | {"dora_scale": [1.0, 1.0, 1.0]}, "(?s)does not fit.*neither those of the outputs nor"),
        ({"dora_scale": [[1.0], [1.0]]}, "incomplete or ambiguous"),
        ({"diff": [[1.0, 1.0]] * 2, "dora_scale": [[1.0], [1.0]]}, "incomplete or ambiguous"),
        (RIGHT | {"dora_scale": [[1.0], [1.0]], "lora_magnitude_vector": [1.0, 1.0]}, "incomplete or ambig"),
        (RIGHT | {"lora_magnitude_vector": [1.0, 1.0, 1.0]}, "(?s)does not fit.*not as many as the outputs"),
    ],
)
def test_magnitudes_that_belong_to_nothing_are_refused(adapter, parts, says):
    with pytest.raises(BadInput, match=says):
        adapter(ab=parts)


def test_magnitudes_that_are_not_finite_are_found_before_the_first_trial_and_in_a_single_merge(adapter):
    opened = adapter(ab=RIGHT | {"dora_scale": [[1.0], [float("nan")]]})
    for read in (opened.require_finite, lambda key: opened.change(key, BASE)):
        with pytest.raises(BadInput, match=r"(?s)non-finite weights in unet\.a\.b.*dora_scale"):
            read(LINEAR)
