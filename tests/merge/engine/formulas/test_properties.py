"""Properties that every method has, on tensors of all the shapes that a checkpoint holds."""

import pytest
import torch

from gridsearch.experiment.methods import METHODS
from tests.helpers.experiments import STEPS
from tests.helpers.methods import WHOLE
from tests.helpers.tensors import tensors

SHAPES = ((), (1,), (17,), (1, 6), (6, 5), (8, 4, 1, 1), (6, 4, 3, 3))
COLUMNS = ("cosine_a", "cosine_b")  # they compare columns, of which a scalar has none
FIRST_AT_0 = [method for method in WHOLE if METHODS[method].alone_at.get(0) == 0]


def shapes(method: str) -> tuple[tuple[int, ...], ...]:
    return SHAPES[1:] if method in COLUMNS else SHAPES


def count(method: str) -> int:
    return len(STEPS[method]["models"])


def merged(method: str, models: list[torch.Tensor], **numbers: float) -> torch.Tensor:
    step = METHODS[method].model_validate(STEPS[method] | {"method": method})
    return WHOLE[method](*models, **step.numbers() | numbers)


@pytest.mark.parametrize("method", WHOLE)
def test_models_that_are_all_the_same_stay_so(method):
    for shape in shapes(method):
        (model,) = tensors(shape, 1)
        torch.testing.assert_close(merged(method, [model] * count(method)), model, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", WHOLE)
def test_zeros_make_nothing_that_is_no_number(method):
    for shape in shapes(method):
        models, zeros = tensors(shape, count(method)), torch.zeros(shape)
        assert not merged(method, [zeros] * len(models)).any()
        for here in range(len(models)):
            one_zero = [zeros if i == here else one for i, one in enumerate(models)]
            others_zero = [one if i == here else zeros for i, one in enumerate(models)]
            assert merged(method, one_zero).isfinite().all()
            assert merged(method, others_zero).isfinite().all()


@pytest.mark.parametrize("method", WHOLE)
def test_a_merge_is_a_new_float32_tensor_of_the_shape(method):
    for shape in shapes(method):
        models = tensors(shape, count(method))
        before = [one.clone() for one in models]
        result = merged(method, models)
        assert (result.dtype, result.shape) == (torch.float32, torch.Size(shape))
        result.zero_()  # no view of an input
        assert all(map(torch.equal, models, before))


@pytest.mark.parametrize("method", FIRST_AT_0)
def test_a_ratio_of_0_is_the_first_model(method):
    for shape in shapes(method):
        models = tensors(shape, count(method))
        exact = {"rtol": 1e-6, "atol": 1e-6} if method == "slerp" else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(merged(method, models, ratio=0.0), models[0], **exact)
