"""The scale of an adapter's changes, alpha over rank, and the places where those are written.

The weights may hold an alpha for each module (kohya, LyCORIS). PEFT writes its options into a file of their
own beside the weights, and diffusers into the metadata.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.header import Checkpoint
from gridsearch.checkpoint.ldm.adapter_names import PEFT_PREFIX, longest_name

MOST_ALPHA = 1e30  # float32 has an end, and Python's whole numbers have none
METADATA_KEY, SIDECAR = "lora_adapter_metadata", "adapter_config.json"
MOST_SIDECAR = 2**20  # bytes
PEFT_KINDS = ("LORA", "LOHA", "LOKR", "OFT", "BOFT", "IA3", "VERA")
_NAME_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")


@dataclass(frozen=True)
class PeftOptions:
    """PEFT's options of an adapter file, and how their absence is meant."""

    path: Path  # of the adapter
    values: Mapping[str, Any] = field(default_factory=dict)  # by name: `lora_alpha`, `unet.lora_alpha`
    sidecar: bool = False  # whether they are of PEFT's own file, which holds for the whole adapter
    required: bool = False  # whether the layout is one in which alpha stands there alone

    def alpha(self, module: str) -> float | None:
        """Return a module's alpha; None where nothing says it.

        Raises:
            BadInput: it is no number, or there ought to be one.
        """
        name = "alpha" if self.sidecar and "alpha" in self.values else "lora_alpha"  # LoRA's, and the others'
        found = self._number(name, "alpha_pattern", module)
        if found is None and self.required:
            raise self._missing("alpha")
        return found

    def rank(self, module: str) -> float:
        """Return a module's rank, for changes whose shapes do not say it; the errors are those of `alpha`."""
        found = self._number("r", "rank_pattern", module)
        if found is None:
            raise self._missing("rank")
        return found

    def is_rank_stabilised(self, module: str) -> bool:
        """Return whether alpha is over the root of the rank: Kalajdzievski 2023, arXiv:2312.03732."""
        return self._option("use_rslora", module) is True

    def needed(self, name: str) -> Any:
        """Return an option that nothing else tells; a BadInput where it is missing."""
        if name not in self.values:
            raise self._missing(name)
        return self.values[name]

    def _option(self, name: str, module: str) -> Any:
        """Return an option of a module's component; a UNet saved by itself has it without a prefix."""
        component = module.partition(".")[0]
        usual = self.values.get(name) if self.sidecar or component == "unet" else None
        return self.values.get(f"{component}.{name}", usual)

    def _number(self, name: str, pattern_name: str, module: str) -> float | None:
        """Return a number; an entry of its pattern, a module's name or the end of it, goes before it."""
        number, patterns = self._option(name, module), self._option(pattern_name, module) or {}
        if not isinstance(patterns, dict):
            raise self.unreadable(f"{pattern_name} is not a table")
        for pattern, value in patterns.items():
            if not set(pattern) <= _NAME_LETTERS:
                raise self.unreadable(f"the {pattern_name} {pattern!r:.80} is not the name of a module")
            if f".{longest_name(module)}".endswith(f".{pattern}"):
                number = value
                break
        if number is None:
            return None
        what = f"the {name.removeprefix('lora_')} of {module}"
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise self.unreadable(f"{what} is {number!r:.60}")
        if not -MOST_ALPHA < number < MOST_ALPHA:
            raise self.unreadable(f"{what} is out of all bounds")
        return float(number)

    def _missing(self, option: str) -> BadInput:
        lacks = f"{SIDECAR} has no {option}" if self.sidecar else f"there is no {SIDECAR} beside it"
        return BadInput(
            f"How to apply this PEFT adapter is not known: {lacks}.",
            where=self.path,
            why=f"its {option} is written there, and nowhere in the weights",
            fix=f"Put the {SIDECAR} that was saved with it into {self.path.parent}.",
        )

    def unreadable(self, why: str) -> BadInput:
        """Return the error for options that are not as PEFT writes them."""
        place = SIDECAR if self.sidecar else f"{METADATA_KEY} in its metadata"
        what = f"The adapter's own options cannot be read ({place})."
        return BadInput(what, where=self.path, why=why, fix="Save the adapter again, or name another.")


def peft_options(checkpoint: Checkpoint) -> PeftOptions:
    """Return PEFT's options of an adapter, from its metadata or from the file beside it.

    Raises:
        BadInput: they cannot be read, or are those of a kind that is not known here.
    """
    path = checkpoint.path
    if METADATA_KEY in checkpoint.metadata:
        try:
            values = json.loads(checkpoint.metadata[METADATA_KEY])
            if not isinstance(values, dict):
                raise ValueError("it is not a table")
        except (ValueError, RecursionError) as error:
            raise PeftOptions(path).unreadable(str(error)) from None
        return PeftOptions(path, values)
    if not any(key.startswith(PEFT_PREFIX) for key in checkpoint.tensors):
        return PeftOptions(path)
    file = path.parent / SIDECAR
    if not file.is_file():
        return PeftOptions(path, required=True)
    options = PeftOptions(path, read_json_object(file, MOST_SIDECAR, "file"), sidecar=True, required=True)
    kind = options.values.get("peft_type", PEFT_KINDS[0])
    if kind not in PEFT_KINDS:
        what = f"This adapter is of PEFT's kind {kind!r:.40}."
        fix = f"Use one of {', '.join(PEFT_KINDS)}, or merge it into a checkpoint with PEFT, and use that."
        raise BadInput(what, where=path, why=f"{SIDECAR} says so", fix=fix)
    if options.values.get("fan_in_fan_out"):
        raise options.unreadable("fan_in_fan_out is for layers that these models do not have")
    return options


def scale_of(module: str, rank: int | None, alpha: float | None, options: PeftOptions) -> float:
    """Return the factor of a change at strength one.

    Args:
        rank: by the shapes of its parts; None for a LoKr of whole factors, which PEFT scales by what its
            options say, and LyCORIS by one.
        alpha: the module's own, from the weights; it goes before what the options say. Without any, the
            factor is one.
    """
    if rank is None and (alpha is not None or not options.required):
        return 1.0
    over = options.rank(module) if rank is None else float(rank)
    if not over > 0:
        raise options.unreadable(f"the rank of {module} is {over:g}")
    if alpha is None:
        alpha = options.alpha(module)
        if options.is_rank_stabilised(module):
            over = math.sqrt(over)
    if alpha is None:
        return 1.0
    if not math.isfinite(alpha) or alpha == 0:
        zero = "Some programs take an alpha of zero as nothing, and some as the rank."
        raise BadInput(
            f"The adapter's alpha is {alpha:g} for {module}.",
            where=options.path,
            why=zero if alpha == 0 else None,
            fix="Save the adapter again with its alpha, or name another.",
        )
    return alpha / over
