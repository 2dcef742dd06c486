"""The ratios by which a merge was made: of merges whose ratios are known."""

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.merge.engine.linear import blend
from gridsearch.merge.pool.explain import ALL, Explained, explain
from tests.helpers.program import gridsearch
from tests.helpers.small_run import Quiet
from tests.merge.pool.made import KEYS, tuned, weights

RATIOS = dict(zip(KEYS, [0.0, 0.17, 0.5, 0.731, 1.0, 0.25], strict=True))


def merged(models, factors, dtype=torch.float16):
    """The weighted sum by the merges' own kernel; the factors are those of all parts, or of each."""
    return {
        key: blend(
            [model[key] for model in models], factors if isinstance(factors, list) else factors[part], dtype
        )
        for part, key in KEYS.items()
    }


@pytest.fixture
def explained(tmp_path):
    """Explain a merge by models, all given as tensors."""

    def run(merge, **models) -> Explained:
        for name, tensors in {"merge": merge, **models}.items():
            save_file(tensors, tmp_path / f"{name}.safetensors")
        opened = {name: open_model(tmp_path / f"{name}.safetensors") for name in models}
        return explain(open_model(tmp_path / "merge.safetensors"), opened, Quiet())

    return run


A = weights(0)
B, C = tuned(A, 1), tuned(A, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_ratio_per_block_comes_back(explained, dtype):
    found = explained(merged([A, B], {part: [1 - r, r] for part, r in RATIOS.items()}, dtype), a=A, b=B)
    parts = {part.name: part for part in found.parts}
    for part, ratio in RATIOS.items():
        error = 1e-2 if dtype == torch.bfloat16 else 1e-3
        assert parts[part].weights == pytest.approx((1 - ratio, ratio), abs=error), part
        assert parts[part].errors[1] < error
        assert parts[part].explained
    assert not parts[ALL].explained  # one ratio does not say it
    if dtype == torch.float16:
        assert "IN04 = 0.5" in found.as_step()


@pytest.mark.parametrize("factors", [[1.0, 0.7, -0.7], [0.2, 0.3, 0.4], [0.0, 0.0, 1.0]])
def test_added_differences_and_sums_that_are_not_one_come_back(explained, factors):
    found = explained(merged([A, B, C], factors), a=A, b=B, c=C)
    for part in found.parts:
        assert part.weights == pytest.approx(factors, abs=1e-3), part
        assert part.sum == pytest.approx(sum(factors), abs=1e-3)
        assert part.explained
        assert part.why == ""


def test_the_residual_is_the_share_that_no_sum_reaches(explained):
    mix = merged([A, B, C], [0.2, 0.4, 0.4], torch.float32)
    found = explained(mix, a=A, b=B).parts[0]
    a, b, m = (
        torch.cat([t.float().flatten() for k, t in x.items() if "first" not in k]) for x in (A, B, mix)
    )
    basis = torch.stack([a, b - a], 1).double()
    rest = (m - a).double() - basis @ torch.linalg.lstsq(basis, (m - a).double()[:, None]).solution[:, 0]
    nearest = min((m - a).norm(), (m - b).norm())
    assert found.left == pytest.approx(float(rest.norm() / nearest), rel=1e-4)
    assert not found.explained
    assert found.why == "not explained by these models"


def test_what_models_do_not_tell_is_left_open(explained):
    b = {**B, KEYS["M00"]: A[KEYS["M00"]]}
    parts = {part.name: part for part in explained(merged([A, b], [0.6, 0.4]), a=A, b=b).parts}
    assert parts["M00"].weights == (None, None)
    assert parts["M00"].why == "the models are equal here"
    assert parts["M00"].sum == pytest.approx(1, abs=1e-4)
    assert parts["IN04"].weights == pytest.approx((0.6, 0.4), abs=1e-3)

    line = merged([A, B], [0.5, 0.5], torch.float32)  # between the others: many sums are the same merge
    a, b = ({key: value.float() for key, value in one.items()} for one in (A, B))
    part = explained(merged([a, b], [0.6, 0.4], torch.float32), a=a, b=b, c=line).parts[0]
    assert part.weights == (None, None, None)
    assert part.why == "a and b and c cannot be told apart here"
    assert part.explained

    part = explained(merged([A, B], [0.6, 0.4]), a=A, b=B, c=A).parts[0]  # a and c are one
    assert part.weights == (None, pytest.approx(0.4, abs=1e-3), None)


def test_differences_as_small_as_rounding_are_told(explained):
    b = tuned(A, 1, spread=3e-4)
    assert "no more than rounding" in explained(merged([A, b], [0.6, 0.4]), a=A, b=b).parts[0].why


def test_weights_that_are_missing_of_another_shape_or_broken_are_left_out(explained):
    b = {**B, KEYS["M00"]: B[KEYS["M00"]].clone(), KEYS["OUT08"]: B[KEYS["OUT08"]][:8].contiguous()}
    b[KEYS["M00"]][0, 0] = torch.nan
    del b[KEYS["vae"]]
    found = explained(merged([A, B], [0.6, 0.4]), a=A, b=b)
    assert {part.name for part in found.parts} == {"all", "unet", "te1", "time", "IN04"}
    assert all(part.weights == pytest.approx((0.6, 0.4), abs=1e-3) for part in found.parts)
    said = " ".join(found.notes)
    assert f"b lacks 1 weights, {KEYS['vae']} first" in said
    assert f"b has in another shape than a 1 weights, {KEYS['OUT08']}" in said
    assert f"hold a NaN or an infinity, {KEYS['M00']} first" in said
    with pytest.raises(BadInput, match="no weight in common"):
        explained({"x": torch.ones(2)}, a=A, b=B)


@pytest.mark.night
def test_a_merge_that_was_written_here_is_explained(toy, tmp_path):
    (tmp_path / "x.toml").write_text(
        f"""name = "x"
[models]
a = "{toy.resolve()}/base.safetensors"
b = "{toy.resolve()}/burnt.safetensors"
[[merge]]
models = ["a", "b"]
ratio = {{ default = 0.2, IN04 = 0.65, OUT03-OUT05 = 0.9 }}
[[prompt]]
text = "a circle"
seeds = [1]
"""
    )
    done = gridsearch("merge", "x.toml", "-o", "m.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    models = {name: open_model(toy / f"{name}.safetensors") for name in ("base", "burnt")}
    parts = {p.name: p for p in explain(open_model(tmp_path / "m.safetensors"), models, Quiet()).parts}
    for name in ("time", "IN01", "IN04", "M00", "OUT03", "OUT05", "OUT08"):
        expected = 0.65 if name == "IN04" else 0.9 if name in ("OUT03", "OUT05") else 0.2
        assert parts[name].weights[1] == pytest.approx(expected, abs=1e-3), name
