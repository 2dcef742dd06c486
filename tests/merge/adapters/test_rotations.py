"""OFT, BOFT and VeRA as PEFT merges them, and as the formulas of OneTrainer and sd-scripts have them."""

import json
import re

import pytest
import torch
from peft.tuners.boft import layer as boft_layer
from safetensors.torch import load_file, save_file
from torch import nn

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.merge.adapters.adapter import open_adapter
from gridsearch.merge.adapters.rotations import boft, oft
from tests.merge.adapters.by_peft import by_peft, changed

ALL = slice(None)
SIDES = {"a.b": (12, 8), "c": (8, 8, 3, 3), "d": (8, 8, 1, 1)}
WHERE = {f"unet.{name}.weight": TensorRows(name, ALL, shape, shape) for name, shape in SIDES.items()}
TERMS = "num_cayley_neumann_terms"


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.a = nn.Module()
        self.a.b = nn.Linear(8, 12)
        self.c, self.d = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)


@pytest.fixture
def block_diagonal(monkeypatch):
    """What PEFT would compile an extension for; where it cannot, it does without stages."""

    class Extension:
        def forward(self, blocks):
            return [torch.stack([torch.block_diag(*stage) for stage in blocks])]

    monkeypatch.setattr(boft_layer, "_FBD_CUDA", Extension())


@pytest.mark.parametrize(
    ("kind", "targets", "options"),
    [
        ("OFTConfig", ["a.b", "d"], {"oft_block_size": 4}),
        ("OFTConfig", ["a.b"], {"oft_block_size": 4, "use_cayley_neumann": False}),
        *[("OFTConfig", ["a.b"], {"oft_block_size": 4, TERMS: n}) for n in (1, 2, 3, 4, 7)],
        ("OFTConfig", ["a.b", "d"], {"oft_block_size": 2, "block_share": True}),
        ("OFTConfig", ["a.b", "d"], {"oft_block_size": 2, "coft": True, "eps": 0.3}),
        ("BOFTConfig", ["a.b", "c", "d"], {"boft_block_size": 2}),
        ("BOFTConfig", ["a.b", "c", "d"], {"boft_block_size": 2, "boft_n_butterfly_factor": 2}),
        ("BOFTConfig", ["a.b", "d"], {"boft_block_size": 2, "boft_n_butterfly_factor": 3}),
        ("VeraConfig", ["a.b"], {"r": 3}),
    ],
)
def test_peft_merges_the_same_weights(tmp_path, block_diagonal, kind, targets, options):
    model = by_peft(tmp_path, Layers(), kind, target_modules=targets, **options)
    adapter = open_adapter("x", tmp_path / "adapter_model.safetensors", WHERE)
    assert (set(adapter.deltas), adapter.unused) == (set(targets), ())
    before, after = Layers(), model.merge_and_unload()
    for key in targets:
        base = before.get_submodule(key).weight
        change = (after.get_submodule(key).weight - base).detach()
        assert change.abs().max() > 1e-3 or options.get(TERMS) == 1
        torch.testing.assert_close(changed(adapter, key, base), change, rtol=1e-5, atol=1e-5)


def test_the_matrices_of_vera_are_shared_and_as_large_as_the_largest_layer(tmp_path):
    model = by_peft(tmp_path, Layers(), "VeraConfig", target_modules=["a.b"], r=3)
    kept = load_file(tmp_path / "adapter_model.safetensors")
    wider = {
        "base_model.vera_A": torch.cat([kept["base_model.vera_A"], torch.full((3, 5), 9.0)], dim=1),
        "base_model.vera_B": torch.cat([kept["base_model.vera_B"], torch.full((4, 3), 9.0)]),
    }
    save_file(kept | wider, tmp_path / "adapter_model.safetensors")
    adapter = open_adapter("x", tmp_path / "adapter_model.safetensors", WHERE)
    change = (model.merge_and_unload().a.b.weight - Layers().a.b.weight).detach()
    torch.testing.assert_close(adapter.tensor("a.b"), change, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "changes", "says"),
    [
        ({"target_modules": ["c"]}, {}, "OFT of unet.c, a convolution, by PEFT"),
        ({"target_modules": ["a.b"]}, {"peft_version": "0.17.1"}, "OFT of PEFT before 0.18"),
        ({"target_modules": ["a.b"]}, {"peft_version": None}, "OFT of PEFT before 0.18"),
        ({"target_modules": ["a.b"]}, {"num_cayley_neumann_terms": 10**9}, "num_cayley_neumann_terms is 10"),
        ({"target_modules": ["a.b"]}, {"coft": True, "eps": "x"}, "eps is 'x'"),
        ({"target_modules": ["a.b"]}, {"coft": None, "eps": ...}, None),
        ({"target_modules": ["a.b"]}, {"use_cayley_neumann": ...}, "adapter_config.json has no use_cayley"),
    ],
)
def test_an_oft_whose_rotations_cannot_be_known_is_refused(tmp_path, options, changes, says):
    by_peft(tmp_path, Layers(), "OFTConfig", oft_block_size=4, **options)
    config = json.loads((tmp_path / "adapter_config.json").read_text()) | changes
    known = {name: value for name, value in config.items() if value is not ...}
    (tmp_path / "adapter_config.json").write_text(json.dumps(known))
    if says is None:
        open_adapter("x", tmp_path / "adapter_model.safetensors", WHERE)
        return
    with pytest.raises(BadInput, match=re.escape(says)):
        open_adapter("x", tmp_path / "adapter_model.safetensors", WHERE)


def test_peft_trains_another_convolution_than_it_merges(tmp_path):
    """Why that is refused: its forward pass rotates patches, and adds up those that overlap."""
    model = by_peft(tmp_path, Layers(), "OFTConfig", target_modules=["c"], oft_block_size=4)
    x = torch.ones(1, 8, 5, 5)
    trained = model.base_model.model.c(x)
    assert (model.merge_and_unload().c(x) - trained).abs().max() > 0.1


# -- OneTrainer and sd-scripts, which are no packages: their formulas in float64


def neumann(values, size):
    """OneTrainer's rotations: I + 2 Q + 2 Q^2 + 2 Q^3 + Q^4."""
    found = []
    for row in values.double():
        skew = torch.zeros(size, size).double()
        above = iter(row)
        for i in range(size):
            for j in range(i + 1, size):
                skew[i, j] = next(above)
                skew[j, i] = -skew[i, j]
        power = torch.linalg.matrix_power
        found.append(power(skew, 0) + 2 * skew + 2 * power(skew, 2) + 2 * power(skew, 3) + power(skew, 4))
    return torch.block_diag(*found)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("key", list(SIDES))
def test_onetrainer_rotates_the_inputs_of_layers_and_the_kernels_of_convolutions(tmp_path, key, scaled):
    base = Layers().get_submodule(key).weight.detach()
    inputs = base[0].numel()
    values = torch.randn(inputs // 4, 6, generator=torch.Generator().manual_seed(2)) / 5
    stem = f"lora_unet_{key.replace('.', '_')}.oft_R"
    flag = {f"{stem}.scaled_oft": torch.tensor(1)} if scaled else {}
    save_file({f"{stem}.weight": values} | flag, tmp_path / "x.safetensors")
    adapter = open_adapter("x", tmp_path / "x.safetensors", WHERE)
    assert (adapter.kinds, adapter.unused) == ({"OFT": 1}, ())
    rotation = neumann(values / 6**0.5 if scaled else values, 4)
    x = torch.randn(3, inputs).double()  # of a layer its input is rotated, of a convolution its weight
    flat = base.flatten(1).double()
    expected = x @ (flat @ rotation).T if base.ndim == 4 else (x @ rotation) @ flat.T
    merged = (base + adapter.change(key, base)).flatten(1).double()
    torch.testing.assert_close(x @ merged.T, expected, rtol=1e-5, atol=1e-5)


def test_sd_scripts_oft_has_its_own_prefix_and_a_constraint_of_alpha_times_the_outputs(tmp_path):
    blocks = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(3))
    tensors = {"oft_unet_a_b.oft_blocks": blocks, "oft_unet_a_b.alpha": torch.tensor(0.05)}
    save_file(tensors, tmp_path / "x.safetensors")
    adapter = open_adapter("x", tmp_path / "x.safetensors", WHERE)
    skew = blocks.double() - blocks.double().mT
    skew = skew * (0.05 * 12 / skew.norm())
    one = torch.eye(6).double()
    rotation = torch.block_diag(*[(one + q) @ (one - q).inverse() for q in skew])
    base = Layers().a.b.weight.detach()
    merged = base + adapter.change("a.b", base)
    torch.testing.assert_close(merged.double(), rotation.T @ base.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("alpha", [float("inf"), 1e300])
@pytest.mark.parametrize("shape", [(2, 6, 6), (1, 2, 6, 6)])
def test_an_alpha_without_bounds_constrains_nothing(tmp_path, shape, alpha):
    blocks = {"oft_unet_a_b.oft_blocks": torch.randn(shape, generator=torch.Generator().manual_seed(3))}
    base, changes = Layers().a.b.weight.detach(), []
    for more in ({}, {"oft_unet_a_b.alpha": torch.tensor(alpha, dtype=torch.float64)}):
        save_file(blocks | more, tmp_path / "x.safetensors")
        changes.append(open_adapter("x", tmp_path / "x.safetensors", WHERE).change("a.b", base))
    assert changes[0].norm() > 0.1
    torch.testing.assert_close(changes[1], changes[0], rtol=0, atol=0)


# -- properties


@pytest.mark.parametrize("value", [1.0, 1e3, 1e20])
def test_numbers_of_any_size_make_a_rotation(value):
    base = torch.eye(4)
    merged = base + oft(base, torch.full((1, 4, 4), value).triu(1))
    torch.testing.assert_close(merged @ merged.T, base, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("formula", "shape"), [(oft, (4, 4, 4)), (boft, (2, 4, 4, 4))])
def test_a_rotation_of_the_outputs_leaves_every_length_and_no_matrix_of_zeros_does_anything(formula, shape):
    generator = torch.Generator().manual_seed(0)
    base, blocks = torch.randn(16, 5, generator=generator), torch.randn(shape, generator=generator)
    merged = base + formula(base, blocks)
    torch.testing.assert_close(merged.norm(dim=0), base.norm(dim=0))
    assert not torch.allclose(merged, base, atol=0.1)
    assert not formula(base, torch.zeros(shape)).any()
