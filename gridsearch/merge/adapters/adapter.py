"""Adapters (LoRA and its kin) as changes of a checkpoint's tensors: merged = base + strength * change."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.families import family_of_keys
from gridsearch.checkpoint.header import Checkpoint, open_checkpoint
from gridsearch.checkpoint.ldm.adapter_names import (
    SHARED_PARTS,
    other_model_of,
    part_of,
    spellings,
    split_key,
    without_adapter_name,
)
from gridsearch.checkpoint.ldm.keys import TensorRows
from gridsearch.merge.adapters.kinds import (
    BIAS_KINDS,
    BIAS_TOO,
    DELTA_KINDS,
    MAGNITUDES,
    NUMBERS,
    DeltaKind,
)
from gridsearch.merge.adapters.opened import Delta, OpenedAdapter
from gridsearch.merge.adapters.refusals import (
    require_adapter,
    require_fit,
    require_float_parts,
)
from gridsearch.merge.adapters.scale import peft_options, scale_of
from gridsearch.merge.adapters.settings import Module
from gridsearch.merge.engine.sources import FileSource


def open_adapter(name: str, path: Path, parameters: Mapping[str, TensorRows]) -> OpenedAdapter:
    """Read an adapter's header and find what it changes. Its weights are read when they are asked for.

    Supported: LoRA, LoCon, LoHa and LoKr, each also with DoRA's magnitudes, OFT, BOFT, GLoRA, (IA)^3, VeRA,
    and whole differences of weights, biases and norms, in the layouts of kohya's sd-scripts, LyCORIS,
    diffusers, PEFT and OneTrainer. Formulas: `deltas`, `dependent` and `rotations`; spellings:
    `adapter_names`.

    Args:
        parameters: diffusers parameter (`unet.conv_in.weight`) -> where it is kept in a checkpoint.

    Raises:
        BadInput: the file is no such adapter, is one for another model, or is broken.
    """
    checkpoint = open_checkpoint(path)
    family = family_of_keys(rows.key for rows in parameters.values())
    found, unused = _by_module(checkpoint, spellings(parameters))
    require_adapter(checkpoint, found)
    source = FileSource(checkpoint)
    options = peft_options(checkpoint)
    deltas: dict[str, list[Delta]] = {}
    for module, keys in found.items():
        require_float_parts(checkpoint, keys)
        numbers = _numbers(checkpoint, source, keys)
        for parameter, kind, parts in _changes(checkpoint, module, keys):
            if parameter not in parameters:
                unused += [] if parts.keys() & BIAS_TOO else parts.values()
                continue
            rows = parameters[parameter]
            weight = parameters.get(f"{module}.weight", rows)
            shapes = {part: checkpoint.tensors[key].shape for part, key in parts.items()}
            about = Module(module, shapes, numbers, options, weight.outward)
            axis = require_fit(checkpoint, kind, about, rows, family)
            scale = scale_of(module, kind.rank(about), numbers.get("alpha"), options) if kind.rank else 1.0
            delta = Delta(module, kind, parts, scale, rows, kind.settings(about), axis)
            deltas.setdefault(rows.key, []).append(delta)
    if not deltas:
        names, other = list(checkpoint.tensors), other_model_of(checkpoint.tensors, family)
        raise BadInput(
            f"The adapter changes nothing that {family.title} has"
            + (f": its keys are those of {other}." if other else f", in none of its {len(names):,} tensors."),
            where=path,
            why=f"its keys look like {', '.join(names[:2])}" if names else "it is empty",
            fix=f"Name an adapter that was trained on an {family.title} model.",
        )
    changed = {(delta.module, delta.name) for several in deltas.values() for delta in several}
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
    shared: dict[str, str] = {}
    unused: list[str] = []
    for key, info in checkpoint.tensors.items():
        spelling, rest = split_key(without_adapter_name(key), modules)
        if not spelling:
            if rest in SHARED_PARTS:
                shared[SHARED_PARTS[rest]] = key
            else:
                unused.append(key)
            continue
        module = modules[spelling]
        part = part_of(rest, info.shape)
        twin = found.setdefault(module, {}).setdefault(part, key)
        if twin != key:
            what = f"The adapter has the {part} of {module} twice."
            fix = "It was combined from two adapters; use those instead."
            raise BadInput(what, where=checkpoint.path, why=f"as {twin} and as {key}", fix=fix)
    for parts in found.values():
        parts |= shared if "vera_lambda_b" in parts else {}
    return found, unused


def _numbers(checkpoint: Checkpoint, source: FileSource, keys: Mapping[str, str]) -> dict[str, float]:
    """Return a module's parts that are single numbers."""
    found = {}
    for part, key in keys.items():
        if part not in NUMBERS:
            continue
        if checkpoint.tensors[key].shape not in ((), (1,)):
            what = f"The adapter's {key} is not a single number."
            why = f"its shape is {list(checkpoint.tensors[key].shape)}"
            raise BadInput(what, where=checkpoint.path, why=why, fix="The file is broken: name another.")
        found[part] = float(source.tensor(key))
    return found


def _changes(
    checkpoint: Checkpoint, module: str, keys: Mapping[str, str]
) -> Iterator[tuple[str, DeltaKind, dict[str, str]]]:
    """Yield a module's changes: the parameter, how its change is written, and the parts of that."""
    bias = {part: key for part, key in keys.items() if part in BIAS_KINDS}
    weight = {part: key for part, key in keys.items() if part != "alpha" and part not in bias}
    magnitudes = weight.keys() & MAGNITUDES
    kind = DELTA_KINDS.get(frozenset(weight.keys() - magnitudes))
    if magnitudes and (len(magnitudes) > 1 or not (kind and kind.takes_magnitudes)):
        kind = None
    if ((weight or not bias) and not kind) or len(bias) > 1:
        what = f"The adapter's tensors for {module} are incomplete or ambiguous."
        fix = "Copy or download the file again; a LoRA, for one, has an up and a down part."
        raise BadInput(what, where=checkpoint.path, why=f"it only has {', '.join(keys.values())}", fix=fix)
    parts = {part: key for part, key in weight.items() if part not in NUMBERS}
    if kind:
        yield f"{module}.weight", kind, parts
    for part in bias:
        yield f"{module}.bias", BIAS_KINDS[part], bias
    for part in parts.keys() & BIAS_TOO:
        yield f"{module}.bias", BIAS_TOO[part], parts
