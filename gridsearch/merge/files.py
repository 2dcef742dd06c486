"""What a checkpoint file is, read from its header alone: no weight is loaded, no pickle is opened."""

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from gridsearch.errors import BadInput

# Bytes an element, by safetensors' dtype names.
ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit; a real SDXL header is about 300 kB


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as the header describes it."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def merges(self) -> bool:
        """Whether arithmetic on it makes sense: integers and empty markers are copied, never blended."""
        return self.dtype in FLOATS and self.bytes > 0


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file: its keys with dtype and shape, and its metadata."""

    path: Path
    bytes: int
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of the merging weights, the most frequent first."""
        found = [info.dtype for info in self.tensors.values() if info.merges]
        return tuple(sorted(set(found), key=found.count, reverse=True))


def open_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors header.

    Raises:
        BadInput: the file is missing, is a pickle, is truncated or is not safetensors.
    """
    if not path.is_file():
        raise BadInput(
            "There is no such checkpoint.",
            where=path,
            fix="Check the path; in an experiment file it is relative to that file.",
        )
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin"):
        raise BadInput(
            "This checkpoint is a pickle, which can run code when it is opened.",
            where=path,
            fix="Use the .safetensors version of the model.",
        )
    size = path.stat().st_size
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= header_bytes <= min(MAX_HEADER_BYTES, size - 8):
            raise _not_safetensors(path, f"the header would be {header_bytes:,} bytes in a file of {size:,}")
        try:
            header = json.loads(file.read(header_bytes))
            return _checked(path, size, header, size - 8 - header_bytes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _not_safetensors(path, f"the header cannot be read ({error})") from None


def _checked(path: Path, size: int, header: dict, data_bytes: int) -> Checkpoint:
    metadata = header.pop("__metadata__", {})
    tensors = {key: TensorInfo(entry["dtype"], tuple(entry["shape"])) for key, entry in header.items()}
    for key, entry in header.items():
        begin, end = entry["data_offsets"]
        if min(tensors[key].shape, default=1) < 0 or end - begin != tensors[key].bytes or begin < 0:
            raise ValueError(f"{key} has impossible offsets")
    needed = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if needed > data_bytes:
        missing = f"{needed - data_bytes:,} of {needed:,} bytes of weights are missing"
        raise BadInput(
            f"The checkpoint is truncated: {missing}.",
            where=path,
            fix="Download or copy the file again.",
        )
    return Checkpoint(path, size, tensors, {str(k): str(v) for k, v in metadata.items()})


def _not_safetensors(path: Path, why: str) -> BadInput:
    return BadInput(
        "This is not a safetensors file.", where=path, why=why, fix="Download or copy the file again."
    )


# -- which model it is

_TIME_EMBED = "model.diffusion_model.time_embed.0.weight"
_LABEL_EMB = "model.diffusion_model.label_emb.0.0.weight"
_CLIP_L = "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight"
_CLIP_G = "conditioner.embedders.1.model.token_embedding.weight"


def architecture(checkpoint: Checkpoint) -> str:
    """What the key names say the file is, in words; `"SDXL"` for what this program can merge."""
    keys = checkpoint.tensors
    if _LABEL_EMB in keys and _CLIP_L in keys and _CLIP_G in keys:
        return "SDXL"
    if _LABEL_EMB in keys and "conditioner.embedders.0.model.token_embedding.weight" in keys:
        return "an SDXL refiner"
    if any(key.startswith("cond_stage_model.transformer.") for key in keys):
        return "Stable Diffusion 1.5"
    if any(key.startswith("cond_stage_model.model.") for key in keys):
        return "Stable Diffusion 2"
    if any("lora_down" in key or "lora_A" in key for key in keys):
        return "a LoRA"
    if any(key.startswith(("down_blocks.", "unet.down_blocks.")) for key in keys):
        return "a diffusers-format UNet"
    if _TIME_EMBED in keys:
        return "a UNet without text encoders"
    return "no model that is known here"


def require_sdxl(checkpoint: Checkpoint) -> None:
    """Refuse, in words, what is no SDXL base model in the single-file layout or needs other mathematics."""
    kind = architecture(checkpoint)
    if kind != "SDXL":
        raise BadInput(
            f"This is {kind}, not an SDXL checkpoint.",
            where=checkpoint.path,
            fix="Use single-file SDXL checkpoints with UNet, VAE and both text encoders.",
        )
    if "edm_vpred.sigma_max" in checkpoint.tensors:
        raise BadInput(
            "This is an EDM model: it neither predicts epsilon nor v, and cannot be merged with those.",
            where=checkpoint.path,
        )


def require_same_shapes(checkpoints: Mapping[str, Checkpoint], keys: Collection[str] | None = None) -> None:
    """Every key to be merged (default: of the first file) must be in every file with the same shape.

    Raises:
        BadInput: naming the first key that differs and how many do.
    """
    (first_name, first), *others = checkpoints.items()
    wanted = keys if keys is not None else [key for key, info in first.tensors.items() if info.merges]
    for name, other in [(first_name, first), *others]:
        if missing := [key for key in wanted if key not in other.tensors]:
            raise BadInput(
                f"{name} lacks {len(missing):,} of {len(wanted):,} weights, {missing[0]} first.",
                where=other.path,
                fix="Use complete SDXL checkpoints with UNet, VAE and both text encoders.",
            )
        if differ := [
            key
            for key in wanted
            if key in first.tensors and other.tensors[key].shape != first.tensors[key].shape
        ]:
            key = differ[0]
            here, there = list(other.tensors[key].shape), list(first.tensors[key].shape)
            raise BadInput(
                f"{name} and {first_name} have {len(differ):,} weights of different shapes, {key} first.",
                where=other.path,
                why=f"{here} here, {there} in {first.path.name}.",
            )


# -- what it predicts


@dataclass(frozen=True)
class Prediction:
    """A prediction type and where it was read."""

    type: str
    source: str
    zero_terminal_snr: bool


_SAID = {"v": "v_prediction", "v_prediction": "v_prediction", "v-prediction": "v_prediction"}
_SAID |= {"eps": "epsilon", "epsilon": "epsilon"}


def prediction_of(checkpoint: Checkpoint, override: str | None = None) -> Prediction:
    """The prediction type; precedence: experiment file, sidecar YAML, marker keys, modelspec, epsilon.

    The marker keys `v_pred` and `ztsnr` are what ComfyUI and A1111 read.
    """
    ztsnr = "ztsnr" in checkpoint.tensors
    if override:
        return Prediction(override, "experiment file", ztsnr)
    if said := _sidecar_parameterization(checkpoint.path.with_suffix(".yaml")):
        return Prediction(said, "sidecar YAML", ztsnr)
    if "v_pred" in checkpoint.tensors:
        return Prediction("v_prediction", "marker key v_pred", ztsnr)
    if said := _SAID.get(checkpoint.metadata.get("modelspec.prediction_type", "").lower()):
        return Prediction(said, "modelspec.prediction_type", ztsnr)
    return Prediction("epsilon", "default: nothing in the file says otherwise", ztsnr)


def _sidecar_parameterization(path: Path) -> str | None:
    """`model.params.parameterization` of an A1111 sidecar; other YAML there says nothing."""
    if not path.is_file() or path.stat().st_size > 1_000_000:
        return None
    try:
        said = yaml.safe_load(path.read_text("utf-8"))["model"]["params"]["parameterization"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return None
    return _SAID.get(str(said).lower())


# -- identity


def sha256_of(path: Path, advance: Callable[[int], None] = lambda _: None) -> str:
    """The file's SHA-256 in hex. `advance` is told the bytes of each block read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()


def short_hash(sha256: str) -> str:
    """The ten hex digits by which A1111 names a model."""
    return sha256[:10]
