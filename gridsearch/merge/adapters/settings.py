"""The numbers and choices that a formula needs beside its tensors, and the places where they are written."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.merge.adapters.dependent import INPUT, OUTPUT
from gridsearch.merge.adapters.scale import MOST_ALPHA, PeftOptions

MOST_TERMS = 100  # of Neumann's series; five are usual
OLDEST_NEUMANN = (0, 18)  # the version of PEFT that last changed the series


@dataclass(frozen=True)
class Module:
    """A module of an adapter, as far as its file's header and its options tell.

    Attributes:
        name: diffusers' name.
        shapes: part -> its shape.
        numbers: those of its parts that are single numbers, `alpha` for one.
        wanted: the shape of its weight, [out, in] or [out, in, height, width].
    """

    name: str
    shapes: Mapping[str, tuple[int, ...]]
    numbers: Mapping[str, float]
    options: PeftOptions
    wanted: tuple[int, ...]


def none(_: Module) -> dict[str, Any]:
    return {}


def constraint(module: Module) -> dict[str, Any]:
    """Return the largest norm of Q: its alpha times the number of outputs, where that is above zero.

    So LyCORIS and sd-scripts have it; ComfyUI takes alpha itself. One out of all bounds limits nothing.
    """
    alpha = module.numbers.get("alpha", 0.0)
    return {"constraint": alpha * module.wanted[OUTPUT] if 0 < alpha < MOST_ALPHA else None}


def rotation_from(module: Module) -> dict[str, Any]:
    """Return how Q becomes a rotation: by PEFT's options, and elsewhere as OneTrainer does it.

    Raises:
        BadInput: the options are missing or not known here.
    """
    options, is_convolution = module.options, len(module.wanted) > 2
    if not options.required:
        return {"transposed": not is_convolution, "terms": 5, "scaled": "scaled_oft" in module.numbers}
    if is_convolution and module.wanted[2:] != (1, 1):
        what = f"This adapter has an OFT of {module.name}, a convolution, by PEFT."
        why = "PEFT rotates overlapping patches of its input, which no weight of the convolution does"
        raise BadInput(what, where=options.path, why=why, fix="Leave convolutions out of its target_modules.")
    terms = None
    if options.needed("use_cayley_neumann"):
        terms = options.needed("num_cayley_neumann_terms")
        version = re.match(r"(\d{1,6})\.(\d{1,6})", str(options.values.get("peft_version")))
        if not isinstance(terms, int) or not 1 <= terms <= MOST_TERMS:
            raise options.unreadable(f"num_cayley_neumann_terms is {terms!r:.40}")
        if not version or (int(version[1]), int(version[2])) < OLDEST_NEUMANN:
            what = (
                "This adapter is an OFT of PEFT before 0.18, which made other rotations of the same numbers."
            )
            fix = "Merge it into a checkpoint with that PEFT, and use that."
            raise BadInput(what, where=options.path, why="its use_cayley_neumann is set", fix=fix)
    eps = options.needed("eps") if options.needed("coft") else None
    if eps is not None and not (isinstance(eps, float) and 0 < eps < 1):
        raise options.unreadable(f"eps is {eps!r:.40}")
    return {"transposed": True, "terms": terms, "eps": eps}


def lycoris_ia3(module: Module) -> dict[str, Any]:
    """Return the axis of LyCORIS' factors."""
    return {"axis": INPUT if module.numbers["on_input"] else OUTPUT}


def peft_ia3(module: Module) -> dict[str, Any]:
    """Return the axis of PEFT's factors: that of the inputs in its `feedforward_modules`.

    A linear layer's factors tell by their shape, [1, in] or [out, 1]; a convolution's are [1, n, 1, 1].
    """
    shape, wanted = module.shapes["ia3_l"], module.wanted
    if len(shape) == 2:
        axis = INPUT if shape == (1, wanted[INPUT]) else OUTPUT
    elif wanted[OUTPUT] != wanted[INPUT]:
        axis = INPUT if shape[1:2] == (wanted[INPUT],) else OUTPUT
    else:
        named = module.options.needed("feedforward_modules") or []
        if not isinstance(named, list):
            why = f"feedforward_modules is {named!r:.40}, which does not tell for {module.name}"
            raise module.options.unreadable(why)
        axis = INPUT if any(f".{module.name}".endswith(f".{name}") for name in named) else OUTPUT
    return {"axis": axis}


def weight_shape(module: Module) -> dict[str, Any]:
    """Return the shape of the weight."""
    return {"shape": module.wanted}
