"""An adapter out of two checkpoints: what training made of the first to get the second, as a LoRA.

The file is as kohya's sd-scripts (https://github.com/kohya-ss/sd-scripts) write it: `lora_unet_...`,
`lora_te1_...` and `lora_te2_...`, linear layers and convolutions, with an alpha that is the rank.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gridsearch.base.errors import BadInput
from gridsearch.base.machine import free_memory
from gridsearch.base.words import size
from gridsearch.checkpoint.family import Family
from gridsearch.checkpoint.header import Checkpoint, TensorInfo
from gridsearch.checkpoint.identity import identity_of
from gridsearch.checkpoint.ldm.adapter_names import DOWN, UP, kohya_name
from gridsearch.checkpoint.ldm.keys import TensorRows, is_embedding, is_vae
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import family_of, has_vae, merged_keys, own_keys, require_same_shapes
from gridsearch.checkpoint.ldm.shapes import check_file, parameter_rows
from gridsearch.checkpoint.mergeable import require_mergeable
from gridsearch.checkpoint.prediction import Prediction
from gridsearch.merge.adapters.factors import Factors, factored
from gridsearch.merge.dtypes import FILE_DTYPES
from gridsearch.merge.engine.sources import DTYPES, FileSource, greatest_value
from gridsearch.merge.export.export import PairProgress, write_safetensors
from gridsearch.merge.export.metadata import modelspec

EXTRACTED = "gridsearch.extracted"  # in the metadata of a file that was made here


@dataclass(frozen=True)
class Cut:
    """The places at which the decompositions are cut off.

    `conv_rank` is for convolutions of more than one pixel, `energy` the share of the squares of the singular
    values after which a layer needs no higher rank.
    """

    rank: int
    conv_rank: int
    energy: float = 1.0
    seed: int = 0

    def rank_of(self, rows: TensorRows) -> int:
        """Return the highest rank of a layer."""
        return self.conv_rank if math.prod(rows.shape[2:]) > 1 else self.rank


@dataclass(frozen=True)
class Extracted:
    """The result of an extraction. All numbers but `layers` and the ranks are sums of squares of changes.

    `left_out` has those of the weights that a LoRA cannot change, by their kind.
    """

    sha256: str
    layers: int
    ranks: tuple[int, int]  # the least and the greatest
    whole: float
    kept: float
    left_out: Mapping[str, float]

    def lines(self) -> list[str]:
        """Return what the adapter holds of the change, in words; a share is one of squares."""
        low, high = self.ranks
        rank = f"rank {low}" if low == high else f"ranks {low} to {high}"
        found = [f"{self.layers} layers of {rank} hold {percent(self.kept / self.whole)} of the change."]
        if self.left_out:
            kinds = (f"{kind} {percent(value / self.whole)}" for kind, value in self.left_out.items())
            found.append(f"Left out, since a LoRA cannot change it: {', '.join(kinds)} of the change.")
        return found


def percent(share: float) -> str:
    """Return a share in percent: 93.1%, and 0.004% for a small one."""
    return f"{100 * share:.3g}%"


def extract_adapter(
    base: Path,
    tuned: Path,
    output: Path,
    cut: Cut,
    dtype: str,
    config: Path | None,
    progress: PairProgress,
) -> Extracted:
    """Write the difference of two checkpoints as an adapter; layers that are the same in both have no part.

    One weight at a time is compared. The factors are held in memory until all of them are known.

    Raises:
        BadInput: a file is no known model, the two do not fit, or nothing differs; the memory is too small.
    """
    files = {"base": open_model(base), "tuned": open_model(tuned)}
    predictions = {name: require_mergeable(file) for name, file in files.items()}
    family = family_of(files["base"])
    if (other := family_of(files["tuned"])) is not family:
        what = f"One is an {family.title} model and the other is {other.title}."
        raise BadInput(what, where=tuned, fix="Name two of which one was trained from the other.")
    for file in files.values():
        check_file(file, config or family.configs, family.beside_vae)
    both = all(map(has_vae, files.values()))
    keys = [key for key in merged_keys(own_keys(files["base"])) if both or not is_vae(key)]
    require_same_shapes(files, keys)
    layers = layers_of(parameter_rows(config or family.configs), family)
    _require_room(layers, cut, _torch(dtype))
    hashes = {
        name: identity_of(file, progress.hashing(file.path.name, file.bytes))[0]
        for name, file in files.items()
    }
    pair = _Pair(FileSource(files["base"]), FileSource(files["tuned"]))
    advance = progress.comparing(tuned.name, sum(files["base"].tensors[key].bytes for key in keys))
    others = set(keys) - {rows.key for rows in layers.values()}
    left_out = _left_out(pair, [key for key in keys if key in others], advance)
    factors = dict(_factored(pair, layers, cut, dtype, advance))
    if not factors:
        what = "There is nothing to extract: no layer of the two checkpoints differs."
        raise BadInput(what, where=tuned, fix="Name two checkpoints of which one was trained from the other.")
    entries = dict(_entries(factors, FILE_DTYPES[dtype]))
    metadata = lora_metadata(files, predictions["tuned"], hashes, cut, output.stem)
    writing = progress.writing(output.name, sum(info.bytes for info in entries.values()))
    sha256 = write_safetensors(output, entries, _tensors(factors), metadata, writing)
    whole = sum(one.whole for one in factors.values())
    kept = whole - sum(one.lost for one in factors.values())
    ranks = [one.rank for one in factors.values()]
    whole += sum(left_out.values())
    return Extracted(sha256, len(factors), (min(ranks), max(ranks)), whole, kept, left_out)


# -- the layers


@dataclass(frozen=True)
class _Pair:
    base: FileSource
    tuned: FileSource

    def change(self, key: str, rows: Any = ...) -> Tensor:
        """Return what training made of these rows of a weight, in float32."""
        for file in (self.base, self.tuned):
            greatest_value(file.tensor(key)[rows], file.header.file_of(key), key)  # a NaN is told by its file
        return self.tuned.tensor(key)[rows].float() - self.base.tensor(key)[rows].float()

    def rows(self, rows: TensorRows) -> Tensor:
        """Return the change of a parameter, [out, in, ...]."""
        change = self.change(rows.key, rows.rows)
        return change.T if rows.transposed else change


def layers_of(parameters: Mapping[str, TensorRows], family: Family) -> dict[str, TensorRows]:
    """Return kohya's name -> the weight of each linear layer and convolution that a LoRA can change."""
    found = {}
    for parameter, rows in parameters.items():
        module, leaf = parameter.rsplit(".", 1)
        if leaf == "weight" and len(rows.shape) > 1 and not is_vae(rows.key) and not is_embedding(rows.key):
            found[kohya_name(module, rows.key.removesuffix(".weight"), family)] = rows
    return found


def _kind_of(key: str) -> str:
    return "the VAE" if is_vae(key) else "embeddings" if is_embedding(key) else "norms and biases"


def _torch(dtype: str) -> torch.dtype:
    return DTYPES[FILE_DTYPES[dtype]]


def _left_out(pair: _Pair, keys: Iterable[str], advance: Callable[[int], None]) -> dict[str, float]:
    """Return the squared changes of weights that are no layer's, by their kind."""
    found: dict[str, float] = {}
    for key in keys:
        if squares := float(torch.linalg.vector_norm(pair.change(key))) ** 2:
            found[_kind_of(key)] = found.get(_kind_of(key), 0.0) + squares
        advance(pair.base.header.tensors[key].bytes)
    return found


def _factored(
    pair: _Pair, layers: Mapping[str, TensorRows], cut: Cut, dtype: str, advance: Callable[[int], None]
) -> Iterator[tuple[str, Factors]]:
    """Yield each layer that differs, with the factors of its change."""
    for name, rows in layers.items():
        change = pair.rows(rows)
        if change.any():
            one = factored(change, cut.rank_of(rows), cut.energy, _torch(dtype), cut.seed)
            if not math.isfinite(one.lost):
                fix = "Use --dtype float32, and check that the two checkpoints belong together."
                raise BadInput(f"The change of {name} does not fit into {dtype}.", fix=fix)
            yield name, one
        info = pair.base.header.tensors[rows.key]
        advance(info.bytes * change.numel() // math.prod(rows.file_shape))


def _require_room(layers: Mapping[str, TensorRows], cut: Cut, dtype: torch.dtype) -> None:
    """Refuse ranks whose factors would not fit into memory."""
    needed = 0
    for rows in layers.values():
        out, into = rows.shape[0], math.prod(rows.shape[1:])
        needed += (out + into) * min(cut.rank_of(rows), out, into) * dtype.itemsize
    free = free_memory("cpu").host
    if needed > free:
        what = f"There is too little memory: an adapter of this rank takes {size(needed)}."
        raise BadInput(what, why=f"{size(free)} are free.", fix="Give a lower --rank or --conv-rank.")


# -- the file


def _entries(factors: Mapping[str, Factors], dtype: str) -> Iterator[tuple[str, TensorInfo]]:
    for name, one in factors.items():
        yield f"{name}.{DOWN}", TensorInfo(dtype, tuple(one.down.shape))
        yield f"{name}.{UP}", TensorInfo(dtype, tuple(one.up.shape))
        yield f"{name}.alpha", TensorInfo("F32", ())  # bfloat16 has no 257


def _tensors(factors: Mapping[str, Factors]) -> Iterator[Tensor]:
    for one in factors.values():
        yield from (one.down, one.up, torch.tensor(float(one.rank)))


def lora_metadata(
    files: Mapping[str, Checkpoint], prediction: Prediction, hashes: Mapping[str, str], cut: Cut, title: str
) -> dict[str, str]:
    """Return what other programs read of a LoRA, and the two files that it is the difference of.

    The `ss_` keys are those of sd-scripts: what it names the base model of a training is `base` here.
    """
    record = {
        "base": hashes["base"],
        "tuned": hashes["tuned"],
        "rank": cut.rank,
        "conv_rank": cut.conv_rank,
        "energy": cut.energy,
        "seed": cut.seed,
    }
    family = family_of(files["base"])
    named = [(files[name].path.stem, digits) for name, digits in hashes.items()]
    return {
        "format": "pt",
        EXTRACTED: json.dumps(record, separators=(",", ":")),
        "ss_base_model_version": family.trained_as,
        "ss_v2": "False",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(cut.rank),
        "ss_network_alpha": str(float(cut.rank)),
        "ss_network_args": json.dumps({"conv_dim": cut.conv_rank, "conv_alpha": float(cut.conv_rank)}),
        "ss_output_name": title,
        "ss_sd_model_name": files["base"].path.name,
        "ss_sd_model_hash": first_hash(files["base"].files[0]),
        "ss_new_sd_model_hash": hashes["base"],
        **modelspec(title, prediction.type, named, f"{family.architecture}/lora"),
    }


def first_hash(path: Path) -> str:
    """Return A1111's first hash of a model: eight digits of the SHA-256 of 64 KiB after the first MiB."""
    with path.open("rb") as file:
        file.seek(2**20)
        return hashlib.sha256(file.read(2**16)).hexdigest()[:8]
