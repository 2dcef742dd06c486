"""GLoRA and (IA)^3 by hand, and a file in which some changes depend on the weight and others do not."""

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.merge.adapters.adapter import open_adapter
from tests.helpers.parameters import CONV, LINEAR, PARAMETERS

BASE = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
KERNELS = torch.arange(8.0).reshape(2, 2, 1, 2)
GLORA = {"a1": [[1.0], [0.0]], "a2": [[0.0, 10.0]], "b1": [[1.0], [2.0]], "b2": [[3.0, 4.0]]}
OLD = {"a1": GLORA["a2"], "a2": GLORA["a1"], "b1": GLORA["b2"], "b2": GLORA["b1"]}


@pytest.fixture
def opened(tmp_path):
    def make(**parts):
        tensors = {f"lora_unet_{stem}": torch.tensor(value) for stem, value in parts.items()}
        save_file(tensors, tmp_path / "x.safetensors")
        return open_adapter("x", tmp_path / "x.safetensors", PARAMETERS)

    return make


@pytest.mark.parametrize("alpha", [None, 0.5])
@pytest.mark.parametrize("factors", [GLORA, OLD])
def test_glora_is_w_a_plus_b_in_either_order_of_its_factors(opened, factors, alpha):
    """A moves the first input to the second, ten times; B is ((3, 4), (6, 8))."""
    parts = {f"a_b.{part}.weight": value for part, value in factors.items()}
    adapter = opened(**parts, **({"a_b.alpha": alpha} if alpha else {}))
    assert (adapter.kinds, adapter.matched, adapter.unused) == ({"GLoRA": 1}, 1, ())
    change = torch.tensor([[3.0, 4.0 + 10.0], [6.0, 8.0 + 30.0]]) * (alpha or 1)
    assert adapter.change(LINEAR, BASE).tolist() == change.tolist()


@pytest.mark.parametrize(
    ("on_input", "change"), [(0, [[1.0, 2.0], [-1.5, -2.0]]), (1, [[1.0, -1.0], [3.0, -2.0]])]
)
def test_ia3_of_lycoris_multiplies_outputs_or_inputs_around_zero(opened, on_input, change):
    adapter = opened(**{"a_b.weight": [1.0, -0.5], "a_b.on_input": on_input})
    assert (adapter.kinds, adapter.unused) == ({"(IA)^3": 1}, ())
    assert adapter.change(LINEAR, BASE).tolist() == change


def test_ia3_of_a_convolution_has_its_factors_in_the_second_place(opened):
    for on_input, factors in ((0, torch.tensor([1.0, -0.5])[:, None, None, None]), (1, [[[1.0]], [[-0.5]]])):
        adapter = opened(**{"c.weight": [[[[1.0]], [[-0.5]]]], "c.on_input": on_input})
        assert torch.equal(adapter.change(CONV, KERNELS), KERNELS * torch.as_tensor(factors))


def test_a_file_may_hold_both(opened):
    adapter = opened(
        **{"a_b.weight": [1.0, 0.0], "a_b.on_input": 0, "c.diff": torch.ones(2, 2, 1, 2).tolist()},
        **{"a_b.diff_b": [5.0, 6.0]},
    )
    assert (adapter.kinds, adapter.matched) == ({"(IA)^3": 1, "full": 2}, 2)
    assert adapter.dependent == {LINEAR}
    assert adapter.tensor(CONV).tolist() == torch.ones(2, 2, 1, 2).tolist()
    with pytest.raises(ValueError, match="depends on the weight"):
        adapter.tensor(LINEAR)
