"""The toy checkpoints in the other layouts in which people keep models."""

from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from gridsearch.checkpoint.family import UNET, VAE
from gridsearch.checkpoint.ldm.components import load_tokenizers
from gridsearch.checkpoint.sdxl.family import CLIP_G, CLIP_G_MODEL, CLIP_L, SDXL

# How ComfyUI's files of single parts begin their keys, where a whole checkpoint begins them otherwise.
SHORT = {"unet": "diffusion_model.", "clip_l": "", "clip_g": "", "vae": ""}


def save_folder(toy: Path, name: str, folder: Path, dtype=torch.float16, **options) -> Path:
    """Have diffusers load a toy checkpoint and save it as a folder; `options` are of `save_pretrained`."""
    pipe = plain_pipeline(toy, toy / f"{name}.safetensors")
    for module in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        module.to(dtype)
    pipe.save_pretrained(folder, **options)
    return folder


def plain_pipeline(toy: Path, file: Path) -> StableDiffusionXLPipeline:
    """A single file as diffusers itself loads it."""
    return StableDiffusionXLPipeline.from_single_file(
        str(file),
        config=str(toy / "config"),
        local_files_only=True,
        add_watermarker=False,
        **load_tokenizers(toy / "config", None),
    )


def save_parts(file: Path, folder: Path, transformers: bool = True) -> dict[str, str]:
    """Cut a single file into those of its parts, as ComfyUI keeps them; returns part -> file.

    The second text encoder has transformers' names there, with `transformers` false open_clip's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole, found = load_file(file), {}
    for part, prefix in SDXL.parts.items():
        own = {key: tensor for key, tensor in whole.items() if key.startswith(prefix)}
        if part == "clip_l":
            own = {key.removeprefix(f"{CLIP_L}transformer."): tensor for key, tensor in own.items()}
        elif part == "clip_g" and transformers:
            own = in_transformers_names(own, "text_model.", "")
        else:
            own = {SHORT[part] + key.removeprefix(prefix): tensor for key, tensor in own.items()}
        found[part] = str(folder / f"{part}.safetensors")
        save_file(own, found[part])
    return found


def in_transformers_names(tensors: dict[str, Tensor], prefix: str, outer: str) -> dict[str, Tensor]:
    """The second text encoder under transformers' names: q, k and v apart, the projection transposed."""
    found = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(CLIP_G_MODEL)
        for theirs, ours in NAMES:
            name = name.replace(theirs, ours)
        if "in_proj" in name:
            leaf = name.rpartition("_")[2]
            stem = name.partition(".attn.")[0]
            for letter, rows in zip("qkv", tensor.chunk(3), strict=True):
                found[f"{prefix}{stem}.self_attn.{letter}_proj.{leaf}"] = rows.clone()
        elif name == "text_projection":
            found[f"{outer}text_projection.weight"] = tensor.T.contiguous()
        else:
            found[prefix + name] = tensor
    return found


NAMES = (
    ("transformer.resblocks.", "encoder.layers."),
    ("token_embedding.", "embeddings.token_embedding."),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("ln_final.", "final_layer_norm."),
    ("ln_1.", "layer_norm1."),
    ("ln_2.", "layer_norm2."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("attn.out_proj.", "self_attn.out_proj."),
)


def rewritten(file: Path, output: Path, change) -> Path:
    """A checkpoint saved again, its table of tensors changed."""
    save_file({key: tensor.contiguous() for key, tensor in change(load_file(file)).items()}, output)
    return output


def with_linear_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The VAE's attention as linear layers, as some programs save it."""
    return {
        key: tensor[:, :, 0, 0] if key.startswith(VAE) and ".attn_1." in key and tensor.ndim == 4 else tensor
        for key, tensor in tensors.items()
    }


def with_diffusers_attention(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, and under diffusers' names."""
    names = {".q.": ".to_q.", ".k.": ".to_k.", ".v.": ".to_v.", ".proj_out.": ".to_out.0."}
    found = {}
    for key, tensor in with_linear_attention(tensors).items():
        if ".attn_1." in key:
            for ours, theirs in names.items():
                key = key.replace(ours, theirs)
        found[key] = tensor
    return found


def with_comfys_leftovers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ComfyUI leaves under transformers' names when it saves: position ids, and the projection."""
    found = dict(tensors)
    inner = f"{CLIP_G_MODEL}transformer."
    found[f"{inner}text_projection.weight"] = found.pop(f"{CLIP_G_MODEL}text_projection").T
    found[f"{inner}text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return found


def with_clip_g_in_transformers_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    own = {key: tensors[key] for key in tensors if key.startswith(CLIP_G)}
    rest = {key: tensor for key, tensor in tensors.items() if key not in own}
    inner = f"{CLIP_G_MODEL}transformer."
    return rest | in_transformers_names(own, f"{inner}text_model.", inner)


def with_bare_unet(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(UNET): tensor for key, tensor in tensors.items() if key.startswith(UNET)}
