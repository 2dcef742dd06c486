"""Adapters (LoRA and its kin) as changes of a checkpoint's tensors: merged = base + strength * change."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import FLOATS, Checkpoint, open_checkpoint
from gridsearch.checkpoint.sdxl.adapter_names import (
    DELTA_PARTS,
    UNSUPPORTED,
    other_model_of,
    spellings,
    split_key,
    without_adapter_name,
)
from gridsearch.checkpoint.sdxl.keys import TensorRows
from gridsearch.checkpoint.sdxl.recognise import ADAPTERS, architecture
from gridsearch.merge.adapters.deltas import BIAS_KINDS, DELTA_KINDS, DeltaKind, delta_shape, shapes_agree
from gridsearch.merge.adapters.scale import peft_options, scale_of
from gridsearch.merge.engine.sources import FileSource


@dataclass(frozen=True)
class Delta:
    """The change of one parameter, not yet computed.

    `module` is diffusers' name of its module, `parts` the adapter's key of each part, and `scale` alpha over
    rank.
    """

    module: str
    kind: DeltaKind
    parts: Mapping[str, str]
    scale: float
    target: TensorRows


@dataclass(frozen=True)
class OpenedAdapter:
    """An adapter file and its changes, by the checkpoint's keys.

    `deltas` maps each file key to its changes, one for each group of rows; `matched` is the number of modules
    changed and `kinds` how many in which way; `unused` are the adapter's keys for which SDXL has no place.
    """

    name: str
    path: Path
    deltas: Mapping[str, tuple[Delta, ...]]
    kinds: Mapping[str, int]
    matched: int
    unused: tuple[str, ...]
    _source: FileSource = field(repr=False)

    def tensor(self, key: str) -> Tensor:
        """Return the change of `key` at strength one: float32, in the file's shape, zero where there is none.

        A BadInput if it holds a NaN or an infinity.
        """
        deltas = self.deltas[key]
        if len(deltas) == 1 and deltas[0].target.shape == deltas[0].target.file_shape:
            return self._change(deltas[0])
        whole = torch.zeros(deltas[0].target.file_shape)
        for delta in deltas:
            whole[delta.target.rows] = self._change(delta)
        return whole

    def _change(self, delta: Delta) -> Tensor:
        parts = {part: self._source.tensor(key).float() for part, key in delta.parts.items()}
        change = delta.kind.formula(**parts)
        if delta.scale != 1:
            change.mul_(delta.scale)  # the product of several parts, so not the file's own memory
        low, high = change.aminmax()
        if not (torch.isfinite(low) and torch.isfinite(high)):
            what = f"The adapter {self.name} has non-finite weights in {delta.module}."
            fix = "The file is broken, or its training diverged: name another."
            raise BadInput(what, where=self.path, why=f"in {', '.join(delta.parts.values())}", fix=fix)
        return (change.T if delta.target.transposed else change).reshape(delta.target.shape)


def open_adapter(name: str, path: Path, parameters: Mapping[str, TensorRows]) -> OpenedAdapter:
    """Read an adapter's header and find what it changes. Its weights are read when they are asked for.

    Supported: LoRA, LoCon, LoHa, LoKr, and whole differences of weights, biases and norms, in the layouts of
    kohya's sd-scripts, LyCORIS, diffusers and PEFT. Formulas: `deltas`; spellings: `adapter_names`.

    Args:
        parameters: diffusers parameter (`unet.conv_in.weight`) -> where it is kept in a checkpoint.

    Raises:
        BadInput: the file is no such adapter, is one for another model, or is broken.
    """
    checkpoint = open_checkpoint(path)
    found, unused = _by_module(checkpoint, spellings(parameters))
    _require_adapter(checkpoint, found)
    source = FileSource(checkpoint)
    options = peft_options(checkpoint)
    deltas: dict[str, list[Delta]] = {}
    for module, keys in found.items():
        _require_float_parts(checkpoint, keys)
        alpha = _own_alpha(checkpoint, source, keys)
        for parameter, kind, parts in _changes(checkpoint, module, keys):
            if parameter not in parameters:
                unused += parts.values()
                continue
            rows = parameters[parameter]
            shapes = {part: checkpoint.tensors[key].shape for part, key in parts.items()}
            _require_fit(checkpoint, module, kind, shapes, rows)
            rank = shapes[kind.rank_of][0] if kind.rank_of else None
            scale = scale_of(module, rank, alpha, options) if kind.has_rank else 1.0
            deltas.setdefault(rows.key, []).append(Delta(module, kind, parts, scale, rows))
    if not deltas:
        names, other = list(checkpoint.tensors), other_model_of(checkpoint.tensors)
        raise BadInput(
            "The adapter changes nothing that SDXL has"
            + (f": its keys are those of {other}." if other else f", in none of its {len(names):,} tensors."),
            where=path,
            why=f"its keys look like {', '.join(names[:2])}" if names else "it is empty",
            fix="Name an adapter that was trained on an SDXL model.",
        )
    changed = {(delta.module, delta.kind.name) for several in deltas.values() for delta in several}
    return OpenedAdapter(
        name=name,
        path=path,
        deltas={key: tuple(several) for key, several in deltas.items()},
        kinds=dict(Counter(kind for _, kind in changed)),
        matched=len({module for module, _ in changed}),
        unused=tuple(unused),
        _source=source,
    )


def _by_module(
    checkpoint: Checkpoint, modules: Mapping[str, str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return module -> part -> key, and the keys of no module. Two keys for one part are refused."""
    found: dict[str, dict[str, str]] = {}
    unused = []
    for key in checkpoint.tensors:
        spelling, rest = split_key(without_adapter_name(key), modules)
        if not spelling:
            unused.append(key)
            continue
        module = modules[spelling]
        part = DELTA_PARTS.get(rest, rest)
        twin = found.setdefault(module, {}).setdefault(part, key)
        if twin != key:
            what = f"The adapter has the {part} of {module} twice."
            fix = "It was combined from two adapters; use those instead."
            raise BadInput(what, where=checkpoint.path, why=f"as {twin} and as {key}", fix=fix)
    return found, unused


def _own_alpha(checkpoint: Checkpoint, source: FileSource, keys: Mapping[str, str]) -> float | None:
    if "alpha" not in keys:
        return None
    key = keys["alpha"]
    if checkpoint.tensors[key].shape not in ((), (1,)):
        what = f"The adapter's {key} is not a single number."
        why = f"its shape is {list(checkpoint.tensors[key].shape)}"
        raise BadInput(what, where=checkpoint.path, why=why, fix="The file is broken: name another.")
    return float(source.tensor(key))


def _changes(
    checkpoint: Checkpoint, module: str, keys: Mapping[str, str]
) -> Iterator[tuple[str, DeltaKind, dict[str, str]]]:
    """Yield a module's changes: the parameter, how its change is written, and the parts of that."""
    weight = {part: key for part, key in keys.items() if part != "alpha" and part not in BIAS_KINDS}
    bias = {part: key for part, key in keys.items() if part in BIAS_KINDS}
    kind = DELTA_KINDS.get(frozenset(weight))
    if ((weight or not bias) and not kind) or len(bias) > 1:
        what = f"The adapter's tensors for {module} are incomplete or ambiguous."
        fix = "Copy or download the file again; a LoRA, for one, has an up and a down part."
        raise BadInput(what, where=checkpoint.path, why=f"it only has {', '.join(keys.values())}", fix=fix)
    if kind:
        yield f"{module}.weight", kind, weight
    for part in bias:
        yield f"{module}.bias", BIAS_KINDS[part], bias


# -- refusals of files that are no adapter for SDXL, or not one that adds to weights in proportion


def _require_adapter(checkpoint: Checkpoint, found: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse, in words, a checkpoint, and an adapter of a kind that is not linear or not known."""
    known = set(DELTA_PARTS.values())
    kind = architecture(checkpoint)
    is_model = kind not in (*ADAPTERS, "no model that is known here")
    if is_model and not any(known & parts.keys() for parts in found.values()):
        fix = "A checkpoint is merged as a model: name it under [models]."
        raise BadInput(f"This is {kind}, not an adapter.", where=checkpoint.path, fix=fix)
    for key in checkpoint.tensors:
        ending = without_adapter_name(key)
        if odd := next((what for what, ends in UNSUPPORTED.items() if ending.endswith(ends)), None):
            fix = "Bake it into a checkpoint with the program that trained it, and merge that."
            raise BadInput(f"This adapter is {odd}.", where=checkpoint.path, why=f"it has {key}", fix=fix)
    for module, parts in found.items():
        if strange := [key for part, key in parts.items() if part not in known]:
            what = f"The adapter has a part that is not known here: {strange[0]}."
            why = f"it belongs to {module}, and ignoring it would change the result"
            fix = "Use a LoRA, LoCon, LoHa, LoKr or full difference."
            raise BadInput(what, where=checkpoint.path, why=why, fix=fix)


def _require_float_parts(checkpoint: Checkpoint, keys: Mapping[str, str]) -> None:
    """Refuse integers, and tensors without elements."""
    for part, key in keys.items():
        info = checkpoint.tensors[key]
        if part != "alpha" and not info.merges:
            what = f"The adapter's {key} holds no numbers that can be added to weights."
            why = f"{info.dtype}, of shape {list(info.shape)}"
            fix = f"Save the adapter again in one of {', '.join(FLOATS)}."
            raise BadInput(what, where=checkpoint.path, why=why, fix=fix)


def _require_fit(
    checkpoint: Checkpoint,
    module: str,
    kind: DeltaKind,
    shapes: Mapping[str, tuple[int, ...]],
    rows: TensorRows,
) -> None:
    """Refuse, before anything is allocated, a change of another shape than the weight's."""
    wanted = rows.shape[::-1] if rows.transposed else rows.shape
    try:
        shape = delta_shape(kind, shapes)
        if shapes_agree(shape, wanted):
            return
        why = f"{list(shape)} in the adapter, {list(wanted)} in the checkpoint"
    except ValueError as error:
        parts = ", ".join(f"{part} {list(shape)}" for part, shape in shapes.items())
        why = f"{parts}: {error}"
    other = other_model_of(checkpoint.tensors)
    raise BadInput(
        f"The adapter's change of {module} does not fit the checkpoint"
        + (f": its keys are those of {other}." if other else "."),
        where=checkpoint.path,
        why=why,
        fix="Name an adapter that was trained on an SDXL model of this size.",
    )
