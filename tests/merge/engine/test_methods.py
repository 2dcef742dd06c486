"""The table of methods and the functions on tensors belong together, and say the same where both know it."""

import pytest
import torch
from sd_mecha.extensions import merge_methods

from gridsearch.experiment.methods import LINEAR, METHODS
from tests.helpers.methods import WHOLE


def step_of(method: str):
    kind = METHODS[method]
    settings = {"method": method, "models": ["a", "b", "c"], "ratio": 0.5, "threshold": 0.1}
    known = {key: value for key, value in settings.items() if key in kind.model_fields}
    try:
        return kind.model_validate(known)
    except ValueError:  # it takes two
        return kind.model_validate(known | {"models": ["a", "b"]})


def test_every_method_is_a_sum_or_has_its_function():
    assert set(WHOLE) == METHODS.keys() - LINEAR.keys()


@pytest.mark.parametrize("method", METHODS)
def test_a_ratio_that_leaves_a_model_alone_does_so_in_the_formula(method):
    step, generator = step_of(method), torch.Generator().manual_seed(0)
    tensors = [torch.randn(4, 4, generator=generator) for _ in step.models]
    for ratio, kept in step.alone_at.items():
        if step.is_linear():
            merged = sum(x * y for x, y in zip(tensors, step.coefficients(ratio), strict=True))
        else:
            merged = WHOLE[method](*tensors, **step.numbers() | {"ratio": ratio})
        torch.testing.assert_close(merged, tensors[kept], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [method for method, kind in METHODS.items() if kind.mecha])
def test_sd_mecha_has_each_method_under_the_name_that_is_written_down(method):
    assert merge_methods.resolve(METHODS[method].mecha)
