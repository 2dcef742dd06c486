"""The kinds of changes: of which parts each consists, and what makes it of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from gridsearch.merge.adapters import deltas
from gridsearch.merge.adapters.dependent import INPUT, OUTPUT

Shapes = Mapping[str, tuple[int, ...]]  # part -> its shape


@dataclass(frozen=True)
class DeltaKind:
    """A way to write a change."""

    name: str
    formula: Callable[..., Tensor]
    rank_of: str | None = None  # the part whose first side is the rank

    @property
    def has_rank(self) -> bool:
        """Return whether it is scaled by alpha over rank; a LoKr of whole factors is, where PEFT made it."""
        return self.rank_of is not None or self.formula is deltas.lokr


def _kinds() -> dict[frozenset[str], DeltaKind]:
    hada = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
    kinds = {
        frozenset({"up", "down"}): DeltaKind("LoRA", deltas.lora, "down"),
        frozenset({"up", "down", "mid"}): DeltaKind("LoCon", deltas.locon, "down"),
        frozenset(hada): DeltaKind("LoHa", deltas.loha, "hada_w1_b"),
        frozenset(hada | {"hada_t1", "hada_t2"}): DeltaKind("LoHa", deltas.loha_tucker, "hada_w1_b"),
        frozenset({"diff"}): DeltaKind("full", lambda diff: diff),
        frozenset({"w_norm"}): DeltaKind("norm", lambda w_norm: w_norm),
    }
    first = ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
    second = ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
    for w1, w2 in product(first, second):
        # LyCORIS scales a product of two whole factors by one, whatever alpha says.
        rank_of = next((part for part in ("lokr_w2_b", "lokr_w1_b") if part in w1 | w2), None)
        kinds[frozenset(w1 | w2)] = DeltaKind("LoKr", deltas.lokr, rank_of)
    return kinds


DELTA_KINDS = _kinds()  # parts -> the kind that consists of them
BIAS_KINDS = {
    "diff_b": DeltaKind("full", lambda diff_b: diff_b),
    "b_norm": DeltaKind("norm", lambda b_norm: b_norm),
}
MAGNITUDES = ("magnitude", "dora_scale")  # DoRA's, in PEFT's files and in LyCORIS'


def delta_shape(kind: DeltaKind, shapes: Shapes) -> tuple[int, ...]:
    """Return the shape of the change, without making it; a ValueError where its parts do not fit."""
    try:
        parts = {part: torch.empty(shape, device="meta") for part, shape in shapes.items()}
        return tuple(kind.formula(**parts).shape)
    except (RuntimeError, IndexError, ValueError) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def shapes_agree(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether a change of shape `shape` fits a weight of shape `wanted`.

    A linear layer and a 1x1 convolution are the same; [out, in h w] is a convolution's, flattened.
    """
    return _bare(shape) == _bare(wanted) or shape == (wanted[0], math.prod(wanted[1:]))


def magnitude_axis(shapes: Shapes, wanted: tuple[int, ...]) -> int | None:
    """Return the axis of a weight of shape `wanted` that DoRA's magnitudes belong to; None without any.

    PEFT's are those of the outputs, [out] or [1, out, 1, 1]. LyCORIS' tell by their shape: [out, 1, ...] or
    [1, in, ...]. A ValueError for any other.
    """
    if "magnitude" in shapes:
        if math.prod(shapes["magnitude"]) == wanted[OUTPUT]:
            return OUTPUT
        raise ValueError("the magnitudes are not as many as the outputs")
    if "dora_scale" not in shapes:
        return None
    shape = shapes["dora_scale"] + (1,) * (len(wanted) - len(shapes["dora_scale"]))
    for axis in (OUTPUT, INPUT):
        if shape == tuple(side if at == axis else 1 for at, side in enumerate(wanted)):
            return axis
    raise ValueError("the magnitudes are neither those of the outputs nor those of the inputs")


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
