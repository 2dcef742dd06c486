"""The kinds of changes: the parts that each consists of, and the formula that makes it of them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from gridsearch.merge.adapters import deltas, rotations, settings
from gridsearch.merge.adapters.dependent import INPUT, OUTPUT, glora, ia3, ia3_of_bias, ia3_of_peft
from gridsearch.merge.adapters.settings import Module

Shapes = Mapping[str, tuple[int, ...]]  # part -> its shape


@dataclass(frozen=True)
class DeltaKind:
    """A way to write a change.

    Attributes:
        formula: its parts, by name -> the change; with `needs_base` the weight comes first.
        rank: that of a module; None where the change is not scaled by alpha over rank.
        settings: what the formula is given beside the parts.
    """

    name: str
    formula: Callable[..., Tensor]
    rank: Callable[[Module], int | None] | None = None
    needs_base: bool = False
    settings: Callable[[Module], dict[str, Any]] = settings.none

    @property
    def takes_magnitudes(self) -> bool:
        """Return whether DoRA's magnitudes may be among its parts."""
        return self.rank is not None and not self.needs_base

    def make(self, parts: Mapping[str, Tensor], base: Tensor | None, chosen: Mapping[str, Any]) -> Tensor:
        """Return the change at scale one; `base` is the weight, for kinds that need it."""
        return self.formula(*((base,) if self.needs_base else ()), **parts, **chosen)


def _first_side(part: str) -> Callable[[Module], int]:
    return lambda module: module.shapes[part][0]


def _unknown(_: Module) -> None:
    """The rank of a LoKr of whole factors: PEFT's options have it, and LyCORIS scales by one."""


def _glora_rank(module: Module) -> int:
    inputs, rank = module.shapes["a1"][:2]
    return rank if inputs == module.wanted[INPUT] else inputs  # in LyCORIS' first files a1 is [r, in]


def _kinds() -> dict[frozenset[str], DeltaKind]:
    hada = {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}
    down, hada_b = _first_side("down"), _first_side("hada_w1_b")
    vera = {"vera_lambda_b", "vera_lambda_d", "vera_A", "vera_B"}
    kinds = {
        frozenset({"up", "down"}): DeltaKind("LoRA", deltas.lora, down),
        frozenset({"up", "down", "mid"}): DeltaKind("LoCon", deltas.locon, down),
        frozenset(hada): DeltaKind("LoHa", deltas.loha, hada_b),
        frozenset(hada | {"hada_t1", "hada_t2"}): DeltaKind("LoHa", deltas.loha_tucker, hada_b),
        frozenset({"diff"}): DeltaKind("full", lambda diff: diff),
        frozenset({"w_norm"}): DeltaKind("norm", lambda w_norm: w_norm),
        frozenset(vera): DeltaKind("VeRA", deltas.vera, settings=settings.weight_shape),
    }
    first = ({"lokr_w1"}, {"lokr_w1_a", "lokr_w1_b"})
    second = ({"lokr_w2"}, {"lokr_w2_a", "lokr_w2_b"}, {"lokr_w2_a", "lokr_w2_b", "lokr_t2"})
    for w1, w2 in product(first, second):
        rank_of = next((part for part in ("lokr_w2_b", "lokr_w1_b") if part in w1 | w2), None)
        rank = _first_side(rank_of) if rank_of else _unknown
        kinds[frozenset(w1 | w2)] = DeltaKind("LoKr", deltas.lokr, rank)
    return kinds | _dependent_kinds()


def _dependent_kinds() -> dict[frozenset[str], DeltaKind]:
    def kind(name: str, formula: Callable[..., Tensor], chosen: Callable = settings.none) -> DeltaKind:
        return DeltaKind(name, formula, needs_base=True, settings=chosen)

    return {
        frozenset({"a1", "a2", "b1", "b2"}): DeltaKind("GLoRA", glora, _glora_rank, needs_base=True),
        frozenset({"factors", "on_input"}): kind("(IA)^3", ia3, settings.lycoris_ia3),
        frozenset({"ia3_l"}): kind("(IA)^3", ia3_of_peft, settings.peft_ia3),
        frozenset({"oft_blocks"}): kind("OFT", rotations.oft, settings.constraint),
        frozenset({"oft_blocks", "rescale"}): kind("OFT", rotations.oft, settings.constraint),
        frozenset({"boft_blocks"}): kind("BOFT", rotations.boft, settings.constraint),
        frozenset({"boft_blocks", "rescale"}): kind("BOFT", rotations.boft, settings.constraint),
        frozenset({"oft_R"}): kind("OFT", rotations.oft_of_inputs, settings.rotation_from),
        frozenset({"oft_R", "scaled_oft"}): kind("OFT", rotations.oft_of_inputs, settings.rotation_from),
        frozenset({"boft_R", "boft_s"}): kind("BOFT", rotations.boft_of_inputs),
    }


DELTA_KINDS = _kinds()  # parts -> the kind that consists of them
BIAS_KINDS = {
    "diff_b": DeltaKind("full", lambda diff_b: diff_b),
    "b_norm": DeltaKind("norm", lambda b_norm: b_norm),
}
# Parts that change the weight and, where there is one, the bias of a module.
BIAS_TOO = {"ia3_l": DeltaKind("(IA)^3", ia3_of_bias, needs_base=True, settings=settings.peft_ia3)}
NUMBERS = ("alpha", "on_input", "scaled_oft")  # parts that are single numbers
MAGNITUDES = ("magnitude", "dora_scale")  # DoRA's, in PEFT's files and in LyCORIS'


def delta_shape(kind: DeltaKind, module: Module, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the change of a parameter of shape `wanted`, without making it.

    A ValueError where its parts do not fit.
    """
    shapes = {part: shape for part, shape in module.shapes.items() if part not in MAGNITUDES}
    try:
        parts = {part: torch.empty(shape, device="meta") for part, shape in shapes.items()}
        return tuple(kind.make(parts, torch.empty(wanted, device="meta"), kind.settings(module)).shape)
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
