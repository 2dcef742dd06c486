"""Opened adapters: the changes that a file makes of a checkpoint's tensors, computed when asked for."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.merge.adapters.deltas import lora
from gridsearch.merge.adapters.dependent import dora
from gridsearch.merge.adapters.kinds import MAGNITUDES, DeltaKind
from gridsearch.merge.engine.changes import LowRank
from gridsearch.merge.engine.formulas.elections import ChangeAt
from gridsearch.merge.engine.linear import greatest
from gridsearch.merge.engine.sources import FileSource


@dataclass(frozen=True)
class Delta:
    """The change of one parameter, not yet computed.

    Attributes:
        module: diffusers' name of its module.
        parts: the adapter's key of each part.
        scale: alpha over rank.
        settings: what the formula needs beside the parts.
        axis: of a DoRA, the axis of the weight that its magnitudes belong to.
    """

    module: str
    kind: DeltaKind
    parts: Mapping[str, str]
    scale: float
    target: TensorRows
    settings: Mapping[str, Any] = field(default_factory=dict)
    axis: int | None = None

    @property
    def name(self) -> str:
        """Return what it is called: `DoRA` is that of a LoRA, the usual one."""
        if self.axis is None:
            return self.kind.name
        return "DoRA" if self.kind.name in ("LoRA", "LoCon") else f"{self.kind.name} with DoRA"

    @property
    def depends(self) -> bool:
        """Return whether it depends on the weight that it changes."""
        return self.kind.needs_base or self.axis is not None


@dataclass(frozen=True)
class OpenedAdapter:
    """An adapter file and its changes, by the checkpoint's keys.

    `deltas` maps each file key to its changes, one for each group of rows; `matched` is the number of modules
    changed and `kinds` how many in which way; `unused` are the adapter's keys that have no place.
    """

    name: str
    path: Path
    deltas: Mapping[str, tuple[Delta, ...]]
    kinds: Mapping[str, int]
    matched: int
    unused: tuple[str, ...]
    _source: FileSource = field(repr=False)

    @cached_property
    def dependent(self) -> frozenset[str]:
        """Return the file keys whose change depends on the weight: `change` has it, and `tensor` does not."""
        return frozenset(key for key, deltas in self.deltas.items() if any(delta.depends for delta in deltas))

    def tensor(self, key: str) -> Tensor:
        """Return the change of `key` at strength one: float32, in the file's shape, zero where there is none.

        A BadInput if it holds a NaN or an infinity, and a ValueError if it depends on the weight.
        """
        if key in self.dependent:
            raise ValueError(f"the change of {key} depends on the weight")
        deltas = self.deltas[key]
        if len(deltas) == 1 and deltas[0].target.shape == deltas[0].target.file_shape:
            return self._finite_change(deltas[0])
        whole = torch.zeros(deltas[0].target.file_shape)
        for delta in deltas:
            whole[delta.target.rows] = self._finite_change(delta)
        return whole

    def pieces(self, key: str) -> tuple[Sequence[int], ChangeAt]:
        """Return the shape of `tensor(key)` and a function that makes pieces of it, of a LoRA by some rows.

        The errors are those of `tensor`.
        """
        delta, *others = self.deltas[key]
        shape = delta.target.file_shape
        if others or delta.depends or delta.kind.formula is not lora or delta.target.shape != shape:
            whole = self.tensor(key).reshape(-1)
            return shape, lambda here: whole[here]
        up, down = (self._source.tensor(delta.parts[part]).float().flatten(1) for part in ("up", "down"))
        self._require_finite(delta, (up, down))
        up, down = (down.T, up.T) if delta.target.transposed else (up, down)
        return shape, LowRank(up, down * delta.scale)

    def change(self, key: str, base: Tensor) -> Tensor:
        """Return the change at strength one of `base`, a dependent key's weight: float32, on its device.

        The errors are those of `require_finite`.
        """
        self.require_finite(key)
        whole = torch.zeros_like(base, dtype=torch.float32)
        for delta in self.deltas[key]:
            whole[delta.target.rows] = self._change(delta, base[delta.target.rows])
        return whole

    def require_finite(self, key: str) -> None:
        """Read what the change of a dependent key is made of; a BadInput if it holds a NaN or an infinity."""
        for delta in self.deltas[key]:
            self._require_finite(delta, (self._source.tensor(part).float() for part in delta.parts.values()))

    def _finite_change(self, delta: Delta) -> Tensor:
        change = self._change(delta)
        self._require_finite(delta, [change])
        return change

    def _require_finite(self, delta: Delta, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if not math.isfinite(greatest(tensor)):
                what = f"The adapter {self.name} has non-finite weights in {delta.module}."
                fix = "The file is broken, or its training diverged: name another."
                raise BadInput(what, where=self.path, why=f"in {', '.join(delta.parts.values())}", fix=fix)

    def _change(self, delta: Delta, base: Tensor | None = None) -> Tensor:
        """Return a change in the shape of its rows; `base` is those rows of the weight."""
        device = None if base is None else base.device
        read = {part: self._source.tensor(key).to(device, torch.float32) for part, key in delta.parts.items()}
        magnitude = next((read.pop(part) for part in MAGNITUDES if part in read), None)
        weight = base.T if base is not None and delta.target.transposed else base
        change = delta.kind.make(read, weight, delta.settings)
        if delta.scale != 1:
            change.mul_(delta.scale)  # the product of several parts, so not the file's own memory
        if magnitude is not None and weight is not None and delta.axis is not None:
            change = dora(weight, change, magnitude, delta.axis)
        return (change.T if delta.target.transposed else change).reshape(delta.target.shape)
