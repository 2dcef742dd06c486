"""A scorer of linear layers on CLIP's embedding of an image, as most aesthetic predictors are.

The layers follow from the names and shapes in the head's file, any number of any width: LAION's predictors
(`weight`; `layers.0`, `layers.2`, ...), Waifu Diffusion's (`fc1`, `fc2`, `fc3`), and other chains of linear
layers. A state dict does not say what lies between them, so the experiment does. The residual network
of city96's CityAesthetics (`up.0`, `up.1.long.0`, ..., `down.5`) is known by its names and has one formula.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from gridsearch.base.errors import BadInput
from gridsearch.score.scorers.clip import check_clip, picture_embedding
from gridsearch.score.scorers.folders import json_table
from gridsearch.score.scorers.plugins import ScoredCase

ACTIVATIONS = {
    "none": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
CITY = ("up.0", "up.1.long.0", "up.1.long.2", "up.1.long.4", "down.0", "down.1", "down.4", "down.5")
SLOPE = 0.1  # of the leaky ReLU inside city96's residual block
_Shapes = Mapping[str, tuple[int, ...]]  # tensor -> its shape


def clip_head(
    rgb: np.ndarray,
    case: ScoredCase,
    *,
    folder: str,
    head_file: str,
    activation: str | None = None,
    output: str = "none",
    normalised: bool | None = None,
    device: str = "auto",
) -> float:
    """Return the number that a head makes of a picture, whatever its prompt.

    Args:
        folder: a CLIP model in the format of transformers.
        head_file: the head's weights, in safetensors.
        activation: what is applied between the layers, one of ACTIVATIONS.
        output: what is applied to the last layer's number.
        normalised: whether the embedding is scaled to length 1; by default it is, but for city96's heads.
        device: of the CLIP model.
    Raises:
        BadInput: see `check_head`.
    """
    head, embedding = _head(head_file, folder), picture_embedding(rgb, folder, device)
    city = _is_city({name: tuple(tensor.shape) for name, tensor in head.items()})
    if normalised if normalised is not None else not city:
        embedding = functional.normalize(embedding, dim=0)
    with torch.inference_mode():
        if city:
            return float(_city(head, embedding))
        return float(ACTIVATIONS[output](_chain(head, embedding, ACTIVATIONS[activation or "none"])))


def _chain(head: Mapping[str, Tensor], x: Tensor, between) -> Tensor:
    first, *others = _layers({name: tuple(tensor.shape) for name, tensor in head.items()})
    x = _linear(head, first, x)
    for name in others:
        x = _linear(head, name, between(x))
    return x


def _city(head: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Apply city96's network (CityClassifiers, model.py): a residual block, then layers down to a number."""
    up, *block, first, second, third, last = CITY
    x = inner = _linear(head, up, x)
    for i, name in enumerate(block):
        inner = _linear(head, name, functional.leaky_relu(inner, SLOPE) if i else inner)
    x = _linear(head, second, _linear(head, first, torch.relu(inner + x)))
    x = _linear(head, last, _linear(head, third, functional.leaky_relu(x)))
    return (torch.tanh(x) + 1) / 2


def _linear(head: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    dot = f"{name}." if name else ""
    return functional.linear(x, head[f"{dot}weight"], head.get(f"{dot}bias"))


def _is_city(shapes: _Shapes) -> bool:
    return all(f"{name}.weight" in shapes for name in CITY)


def _layers(shapes: _Shapes) -> list[str]:
    """Return the names of the layers in their order, which is that of the numbers in them."""
    names = {name.rpartition(".")[0] for name in shapes}

    def order(name: str) -> list[int | str]:
        return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]

    return sorted(names, key=order)


@cache
def _head(head_file: str, folder: str) -> dict[str, Tensor]:
    """Load a head in float32; BadInput where its values are not finite."""
    _require_chain(_shapes(Path(head_file)), Path(head_file), folder)
    with safe_open(head_file, "pt") as file:
        head = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - it is no dict
    if odd := next((name for name, tensor in head.items() if not tensor.isfinite().all()), None):
        raise BadInput(f"The head's {odd} has values that are not finite.", where=head_file)
    return head


# -- before anything is drawn


def check_head(
    folder: str,
    head_file: str,
    activation: str | None = None,
    output: str = "none",
    normalised: bool | None = None,
    device: str = "auto",
) -> None:
    """Refuse a head or a CLIP model that cannot work; no weights are read.

    Raises:
        BadInput: a file is missing or a pickle, the head is no chain of linear layers from the model's
            embedding to one number, or it is not said what lies between its layers.
    """
    check_clip(folder, device)
    for key, value in (("activation", activation or "none"), ("output", output)):
        if value not in ACTIVATIONS:
            fix = f"Use one of {', '.join(ACTIVATIONS)}."
            raise BadInput(f"There is no {key} {value!r}.", where=key, fix=fix)
    file = Path(head_file)
    shapes = _shapes(file)
    _require_chain(shapes, file, folder)
    if _is_city(shapes):
        if activation is not None or output != "none":
            what = "This is a head of CityAesthetics, which has just one formula."
            raise BadInput(what, where=file, fix="Leave activation and output out.")
    elif activation is None and (count := len(_layers(shapes))) > 1:
        what = f"The head has {count} layers, and its file does not say what lies between them."
        fix = 'Say activation = "none" for LAION\'s linearMSE heads, "relu" for Waifu\'s, or another.'
        raise BadInput(what, where=file, fix=fix)


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Return tensor -> shape from a safetensors file's header; BadInput where it is none."""
    if not file.is_file():
        raise BadInput("There is no such file.", where=file, fix="Name the head's .safetensors file.")
    if file.suffix != ".safetensors":
        why = "Only .safetensors files are read: others are pickles, which can run code."
        convert = (
            "import sys, torch, safetensors.torch as s; "
            "s.save_file(torch.load(sys.argv[1], weights_only=True), sys.argv[2])"
        )
        fix = f"Convert it once: python -c '{convert}' {file.name} {file.stem}.safetensors"
        raise BadInput("This head is not a safetensors file.", where=file, why=why, fix=fix)
    try:
        with safe_open(file, "pt") as opened:
            names = opened.keys()
            return {name: tuple(opened.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise BadInput("This is not a complete safetensors file.", where=file, why=str(error)) from None


def _require_chain(shapes: _Shapes, file: Path, folder: str) -> None:
    """Refuse a head that does not lead from the model's embedding to one number by linear layers."""
    said = json_table(Path(folder) / "config.json")
    width = said.get("projection_dim", 512)  # transformers' own default
    layers = [*CITY] if _is_city(shapes) else _layers(shapes)
    chain, used = [width], set()
    for name in layers:
        dot = f"{name}." if name else ""
        weight, bias = shapes.get(f"{dot}weight", ()), shapes.get(f"{dot}bias")
        if len(weight) != 2 or (bias is not None and bias != weight[:1]):
            raise BadInput(f"The head's {name or 'tensor'} is not a linear layer.", where=file)
        if weight[1] != chain[-1]:
            first = len(chain) == 1
            before = "the model" if first else layers[len(chain) - 2]
            what = f"The head's {name or 'layer'} takes {weight[1]} numbers, but {before} gives {chain[-1]}."
            fix = "Name the CLIP model that the head was trained on." if first else None
            raise BadInput(what, where=file, fix=fix)
        chain.append(weight[0])
        used |= {f"{dot}weight", f"{dot}bias"}
    if odd := sorted(set(shapes) - used):
        raise BadInput(f"The head has a tensor that belongs to no linear layer: {odd[0]!r:.60}.", where=file)
    if chain[-1] != 1:
        raise BadInput(f"The head gives {chain[-1]} numbers, not one.", where=file)


setattr(clip_head, "check", check_head)  # noqa: B010 - a function has no such attribute to a type checker
