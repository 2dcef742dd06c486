"""The weights of a recipe: its files opened for reading, and the terms of their merge."""

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from gridsearch.base.machine import FreeMemory
from gridsearch.checkpoint.family import FIRST_CONV, VAE
from gridsearch.checkpoint.header import Checkpoint, TensorInfo
from gridsearch.checkpoint.ldm.keys import is_position_ids, is_text, is_vae
from gridsearch.checkpoint.ldm.recognise import merged_keys, own_keys
from gridsearch.checkpoint.ldm.shapes import check_file, parameter_rows
from gridsearch.experiment.recipe import MERGED, Recipe
from gridsearch.merge.adapters.adapter import OpenedAdapter, open_adapter
from gridsearch.merge.channels import kept_terms, step_channels
from gridsearch.merge.dtypes import as_written
from gridsearch.merge.engine.collapse import (
    MOST_FUSED,
    Terms,
    lenders,
    require_covered,
    terms_of,
    varying,
)
from gridsearch.merge.engine.evaluate import Source
from gridsearch.merge.engine.linear import greatest
from gridsearch.merge.engine.methods import CHANGES, FUNCTIONS, is_sum
from gridsearch.merge.engine.sources import FileSource, Residence, greatest_values, residence
from gridsearch.merge.parents import Parents


class Reading(Protocol):
    """A listener that is told the bytes of a file as it is read through."""

    def reading(self, name: str, total: int) -> Callable[[int], None]: ...


@dataclass(frozen=True)
class Weights:
    """A recipe's files, opened.

    Attributes:
        infos: the merged file's keys with dtype and shape, markers left out.
        merged: those whose values are computed.
        files: model, or the VAE's path -> its file.
        adapters: adapter -> its changes.
        varies: the keys of each step that are searched (see `collapse.varying`).
    """

    infos: Mapping[str, TensorInfo]
    merged: tuple[str, ...]
    files: Mapping[str, FileSource]
    adapters: Mapping[str, OpenedAdapter]
    varies: Mapping[str, frozenset[str]]

    @property
    def sources(self) -> dict[str, Source]:
        """Return every source that terms may name."""
        return {**self.files, **self.adapters}

    def terms(self, recipe: Recipe) -> dict[str, Terms]:
        """Return the terms of each key for a recipe with nothing left to search."""
        touched = {name: adapter.deltas for name, adapter in self.adapters.items()}
        dependent = {name: adapter.dependent for name, adapter in self.adapters.items()}
        return terms_of(recipe, self.merged, touched, dependent, self.varies)

    def kept(self, recipe: Recipe) -> dict[str, Terms]:
        """Return the terms of the input channels that not all models of such a recipe read, by their key."""
        channels = step_channels(recipe, {name: self.files[name].header for name in recipe.merged_models()})
        terms = kept_terms(recipe, channels)
        return {FIRST_CONV: terms} if terms else {}


def require_complete(recipe: Recipe, parents: Parents, config: Path) -> None:
    """Require of the files that make up the merges all that its component configs ask for.

    The VAE is that of its own file, or of the model that lends it; the text encoders are those of the model
    that lends them, and the first model's as well, from which a renderer is loaded.
    """
    text, vaes = parents.checkpoints.get(recipe.components.text_encoders), _vae_givers(recipe, parents)
    unet, *encoders = recipe.its_family.beside_vae
    first = [unet, *encoders, *([VAE] if parents.first in vaes else [])]
    check_file(parents.first, config, tuple(first))
    for giver, parts in ((text, tuple(encoders)), *((vae, (VAE,)) for vae in vaes)):
        if giver and giver is not parents.first:
            check_file(giver, config, parts)


def _vae_givers(recipe: Recipe, parents: Parents) -> list[Checkpoint]:
    """Return the files that have the merge's VAE, or those to choose from."""
    files = {**parents.checkpoints, **parents.vaes}
    return [files.get(source, parents.first) for source in recipe.vae_sources()]


def gives_own_vae(recipe: Recipe, parents: Parents) -> bool:
    """Return whether the merge's VAE is in its first model's file; of a choice, the first one's."""
    return _vae_givers(recipe, parents)[0] is parents.first


def open_weights(
    recipe: Recipe, parents: Parents, config: Path | None = None, dtype: str | None = None
) -> Weights:
    """Open the files that a recipe uses; a BadInput where adapters or ratios per block do not suit them.

    `config` has component configs of another size than the family's, from which adapters' names follow.
    `dtype` is one of `FILE_DTYPES`, where it is chosen.
    """
    files = {name: FileSource(checkpoint) for name, checkpoint in parents.checkpoints.items()}
    files |= {source: FileSource(vae) for source, vae in parents.vaes.items()}
    adapters = {}
    if parents.adapters:
        known = parameter_rows(config or recipe.its_family.configs)
        adapters = {name: open_adapter(name, file.path, known) for name, file in parents.adapters.items()}
    infos = outline(recipe, parents, dtype)
    merged = tuple(merged_keys(infos))
    require_covered(recipe.with_blocks(), merged)
    return Weights(infos, merged, files, adapters, varying(recipe))


def outline(recipe: Recipe, parents: Parents, dtype: str | None = None) -> dict[str, TensorInfo]:
    """Return the merged file's keys with dtype and shape, markers left out.

    They are the first model's; of a component that another lends, that one's; of a VAE that is searched, the
    first choice's. Stray keys are left out. `dtype` is one of `FILE_DTYPES`, where it is chosen (see
    `as_written`).
    """
    checkpoints = parents.checkpoints
    first = checkpoints[recipe.merged_models()[0]]
    text = checkpoints.get(recipe.components.text_encoders, first)
    vae = _vae_givers(recipe, parents)[0]
    infos = {
        key: TensorInfo("I64", info.shape) if is_position_ids(key) else as_written(info, dtype)
        for prefix in recipe.its_family.components.values()
        for key, info in own_keys(vae if is_vae(prefix) else text if is_text(prefix) else first).items()
        if key.startswith(prefix)
    }
    if conv := infos.get(FIRST_CONV):
        channels = step_channels(recipe, checkpoints)[recipe.merge[-1].name]
        infos[FIRST_CONV] = replace(conv, shape=(conv.shape[0], channels, *conv.shape[2:]))
    return infos


def dtypes_of(recipe: Recipe, weights: Weights) -> dict[str, str]:
    """Return what the file of a merge with nothing left to search keeps each merged key in."""
    first = weights.files[recipe.merged_models()[0]]
    vae = weights.files.get(recipe.vae_source(), first).header.tensors
    return {key: as_written((vae if is_vae(key) else weights.infos)[key]).dtype for key in weights.merged}


def keys_read(recipe: Recipe, weights: Weights, references: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the keys that merges at this recipe may read of each source, and references all of theirs."""
    found: dict[str, list[str]] = {name: [] for name in [*weights.files, *weights.adapters]}
    merged = recipe.merged_models()
    for key in weights.merged:
        sources = recipe.vae_sources() if is_vae(key) else lenders(recipe, key) or (MERGED,)
        adapters = [name for name, adapter in weights.adapters.items() if key in adapter.deltas]
        names = [(*merged, *adapters) if source == MERGED else (source,) for source in sources]
        for name in dict.fromkeys(itertools.chain(*names)):
            found[name].append(key)
    for name in references:
        found[name] = [key for key in weights.merged if key in weights.files[name].header.tensors]
    return found


def residence_of(recipe: Recipe, weights: Weights, device: str, room: FreeMemory, live: int = 0) -> Residence:
    """Return where the merged models lie during the run: on the GPU, in pinned memory, or on disk.

    `live` are the bytes that the live model will take, if it is not loaded yet.
    """
    keys = keys_read(recipe, weights)
    sources = sum(
        weights.files[name].header.tensors[key].bytes for name in recipe.needed_models() for key in keys[name]
    )
    host = room.host if device == "cuda" else room.host - live
    return residence(sources, _change_bytes(recipe, weights), device, host, room.gpu - live)


def _change_bytes(recipe: Recipe, weights: Weights) -> int:
    """Return the bytes of what steps make that nothing searched changes; an adapter's change is such, too."""
    merged = [key for key in weights.merged if not lenders(recipe, key)]
    each = {key: max(weights.infos[key].bytes, 2 * math.prod(weights.infos[key].shape)) for key in merged}
    changes, wholes = _kept_steps(recipe, weights.varies)
    floats = torch.float32.itemsize * sum(math.prod(weights.infos[key].shape) for key in merged)
    adapters = [sum(each.get(key, 0) for key in one.deltas) for one in weights.adapters.values()]
    return changes * sum(each.values()) + wholes * floats + sum(adapters)


def _kept_steps(recipe: Recipe, varies: Mapping[str, frozenset[str]]) -> tuple[int, int]:
    """Return the number of steps whose change is kept, and of those that are kept whole."""
    steps, models = {step.name: step for step in recipe.merge}, dict[str, int]()
    for name, step in steps.items():
        counts = [max(models.get(one, 1) for one in names) for names in step.candidates()]
        models[name] = sum(1 if one > MOST_FUSED else one for one in counts)
    changes, wholes, seen, needed = set[str](), set[str](), set[str](), {recipe.merge[-1].name}
    while needed:
        seen.add(name := needed.pop())
        step = steps[name]
        if any(one in CHANGES and not is_sum(one, step.numbers()) for one in step.methods()):
            changes.add(name)
        elif not varies[name] and step.method in FUNCTIONS and not is_sum(step.method, step.numbers()):
            wholes.add(name)
            continue
        for used in (one for names in step.candidates() for one in names if one in steps):
            if models[used] > MOST_FUSED and not varies[used]:
                wholes.add(used)
            elif used not in seen:
                needed.add(used)
    return len(changes), len(wholes)


def read_through(
    weights: Weights, keys: Mapping[str, Collection[str]], listener: Reading
) -> dict[str, dict[str, float]]:
    """Read everything once that will be merged; return source -> key -> its largest absolute value.

    `keys` are those that are read of each source; a NaN or an infinity among them is a BadInput. The largest
    value of a change that depends on the weight is not known.
    """
    found: dict[str, dict[str, float]] = {}
    for name, own in keys.items():
        file = weights.files.get(name)
        infos = file.header.tensors if file else weights.infos
        advance = listener.reading(Path(name).name, sum(infos[key].bytes for key in own))
        if file:
            found[name] = greatest_values(file, own, advance)
            continue
        found[name], adapter = {}, weights.adapters[name]
        for key in own:
            if key in adapter.dependent:
                adapter.require_finite(key)
            else:
                found[name][key] = greatest(adapter.tensor(key))
            advance(infos[key].bytes)
    return found


def adapter_notes(adapters: Mapping[str, OpenedAdapter]) -> list[str]:
    """Describe the changes of each adapter in a sentence."""
    notes = []
    for name, adapter in adapters.items():
        kinds = ", ".join(f"{count} {kind}" for kind, count in adapter.kinds.items())
        counts = f"{_counted(len(adapter.deltas), 'weight')}, {_counted(adapter.matched, 'module')} ({kinds})"
        note = f"The adapter {name} changes {counts}"
        if lost := len(adapter.unused):
            have = "has" if lost == 1 else "have"
            note += f"; {lost} of its keys {have} no place, {adapter.unused[0]} first"
        notes.append(f"{note}.")
    return notes


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
