"""Adapter files in words: the kind of each, by its keys, and its modules, rank and alpha."""

from collections.abc import Iterator, Mapping, Sequence

from safetensors import SafetensorError, safe_open

from gridsearch.checkpoint.header import Checkpoint, TensorInfo
from gridsearch.checkpoint.ldm.adapter_names import DELTA_PARTS, part_of, without_adapter_name

LORA, LOHA, LOKR = "a LoRA", "a LyCORIS adapter (LoHa)", "a LyCORIS adapter (LoKr)"
OFT, BOFT = "an OFT (an adapter that rotates weights)", "a BOFT (an adapter that rotates weights in stages)"
# Part of a module's change -> the kind of the file; the first that is there is taken.
_KINDS = {
    "up": LORA,
    "down": LORA,
    "hada_w1_a": LOHA,
    "lokr_w1": LOKR,
    "lokr_w1_a": LOKR,
    "oft_blocks": OFT,
    "oft_R": OFT,
    "boft_blocks": BOFT,
    "boft_R": BOFT,
    "a1": "a GLoRA (an adapter that adds to weights and to their inputs)",
    "on_input": "an (IA)^3 (an adapter that multiplies weights)",
    "ia3_l": "an (IA)^3 (an adapter that multiplies weights)",
    "vera_lambda_b": "a VeRA (a LoRA whose matrices are random and shared)",
    "diff": "an adapter of whole differences (.diff)",
    "diff_b": "an adapter of whole differences of biases alone (.diff_b)",
    "w_norm": "an adapter of norms alone",
    "b_norm": "an adapter of norms alone",
}
_MAGNITUDES = {"dora_scale", "magnitude"}
_WITH_MAGNITUDES = {LORA: "a DoRA (a LoRA with magnitudes)"} | {
    kind: f"{kind} with DoRA's magnitudes" for kind in (LOHA, LOKR)
}
ADAPTERS = frozenset([*_KINDS.values(), *_WITH_MAGNITUDES.values()])  # what `adapter_kind` may return
_RANKED = ("down", "hada_w1_b", "lokr_w1_b", "lokr_w2_b", "a2", "vera_lambda_d")  # the first side is the rank
_PLAIN = ("weight", "up.weight", "down.weight")  # endings that other files' keys have too
_ENDINGS = tuple(f".{ending}" for ending in DELTA_PARTS if ending not in _PLAIN)
_OLD = ("_lora.up.weight", "_lora.down.weight")  # diffusers' attention processors
MOST_ALPHAS = 5_000  # that are read


def adapter_kind(tensors: Mapping[str, TensorInfo]) -> str | None:
    """Return what an adapter's file is by its keys, in words; None where it is no adapter."""
    found = {part for _, part, _ in _parts(tensors)}
    kind = next((kind for part, kind in _KINDS.items() if part in found), None)
    return _WITH_MAGNITUDES.get(kind or "", kind) if found & _MAGNITUDES else kind


def adapter_facts(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Return labels and words: how many modules an adapter changes, its rank and its alpha."""
    parts = [*_parts(checkpoint.tensors)]
    facts = [("modules", f"{len({module for _, _, module in parts}):,}")]
    shapes = [checkpoint.tensors[key].shape for key, part, _ in parts if part in _RANKED]
    ranks = [float(shape[0]) for shape in shapes if shape]
    alphas = _alphas(checkpoint, [key for key, part, _ in parts if part == "alpha"][:MOST_ALPHAS])
    for name, numbers in (("rank", ranks), ("alpha", alphas)):
        if numbers:
            least, most = min(numbers), max(numbers)
            facts.append((name, f"{least:g}" if least == most else f"{least:g} to {most:g}"))
    return facts


def _parts(tensors: Mapping[str, TensorInfo]) -> Iterator[tuple[str, str, str]]:
    """Yield each key of an adapter with its part and its module."""
    for key, info in tensors.items():
        name = without_adapter_name(key)
        if name.endswith(_ENDINGS):
            ending = max((e for e in _ENDINGS if name.endswith(e)), key=len)
            yield key, part_of(ending[1:], info.shape), name.removesuffix(ending)
        elif name.endswith(_OLD):
            module, _, ending = name.rpartition("_lora.")
            yield key, part_of(f"lora.{ending}", info.shape), module


def _alphas(checkpoint: Checkpoint, keys: Sequence[str]) -> list[float]:
    """Return the alphas of these keys, or that of sd-scripts' metadata where numpy has no such numbers."""
    infos = [checkpoint.tensors[key] for key in keys]
    if keys and all(info.dtype in ("F64", "F32", "F16") and info.shape in ((), (1,)) for info in infos):
        try:
            with safe_open(checkpoint.path, framework="numpy") as file:
                return [float(file.get_tensor(key).item()) for key in keys]
        except (OSError, SafetensorError):
            return []
    try:
        return [float(checkpoint.metadata["ss_network_alpha"])]
    except (KeyError, ValueError):
        return []
