"""Every non-linear method as a function of whole tensors in float32, whatever form the engine has it in."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from pydantic_core import PydanticUndefined
from torch import Tensor

from gridsearch.experiment.methods import METHODS, Step
from gridsearch.merge.engine.formulas.products import products
from gridsearch.merge.engine.linear import MadeHere, blend, pieces
from gridsearch.merge.engine.methods import CHANGES, FUNCTIONS, MADE_HERE, SUMS, factors, is_sum


def merged(method: str, *tensors: Tensor, **numbers: Any) -> Tensor:
    fields = METHODS[method].model_fields.items()
    own = {name: field.default for name, field in fields if name not in Step.model_fields}
    numbers = {name: value for name, value in own.items() if value not in (None, PydanticUndefined)} | numbers
    if is_sum(method, numbers):
        return blend(tensors, factors(method, products(tensors), numbers), torch.float32)
    if method in FUNCTIONS:
        return FUNCTIONS[method](*tensors, **numbers)
    if method in MADE_HERE:
        return blend(
            [tensors[0], MadeHere(tensors, MADE_HERE[method][0])], [1.0, numbers["ratio"]], torch.float32
        )
    ratio, piece = numbers.pop("ratio"), CHANGES[method](*tensors, **numbers)
    change = torch.cat([piece(here) for here in pieces(tensors[0])])
    return tensors[0].add(change.view(tensors[0].shape), alpha=ratio)


WHOLE: dict[str, Callable[..., Tensor]] = {
    method: partial(merged, method) for method in {**SUMS, **CHANGES, **MADE_HERE, **FUNCTIONS}
}
