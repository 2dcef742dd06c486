"""The names that others give to tensors, and the place of each in a checkpoint in the original layout.

diffusers and transformers name a model's parameters otherwise than the original code did, split some and
transpose one; ComfyUI keeps the parts of a model in files of their own, with shorter names. Only names are
looked at, so nothing of diffusers is imported.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from gridsearch.checkpoint.families import TEXT_ENCODERS
from gridsearch.checkpoint.family import UNET, VAE, Family
from gridsearch.checkpoint.ldm.keys import EDM_MARKERS, MARKERS
from gridsearch.checkpoint.sdxl.family import SDXL

UNUSED = "unused."  # begins the keys of tensors whose place in the checkpoint is taken or unknown


def _own(part: str) -> str:
    """Return how the keys of a text encoder may begin in a whole checkpoint, as a pattern."""
    return "|".join(re.escape(one.prefix) for one in TEXT_ENCODERS if one.part == part)


# What may stand before a name: that of a whole checkpoint, of a part that ComfyUI saves, of a pipeline.
_PREFIXES = {
    "unet": r"(model\.)?diffusion_model\.|unet\.",
    "clip_l": rf"({_own('clip_l')}|(text_encoders\.)?clip_l\.|text_encoder\.)?"
    r"(transformer\.)?(text_model\.)?",
    "clip_g": rf"({_own('clip_g')}|(text_encoders\.)?clip_g\.|text_encoder_2\.)?"
    r"(model\.)?(transformer\.(?!resblocks))?(text_model\.)?",
    "vae": r"first_stage_model\.|vae\.",
}


@dataclass(frozen=True)
class Place:
    """The place of a tensor in a checkpoint.

    Attributes:
        key: the key there.
        row: which it is of the `rows` tensors that lie there one under the other.
        transposed: whether it lies there transposed.
    """

    key: str
    row: int = 0
    rows: int = 1
    transposed: bool = False


def places_in_file(family: Family, part: str, names: Collection[str]) -> dict[str, Place]:
    """Return the place of each tensor of a file that is a part of a model, or holds it among others.

    Where some names begin as that part's do in a whole checkpoint, the others belong to other parts. What is
    no weight has a key that no weight has. Markers stay what they are.
    """
    said = MARKERS + EDM_MARKERS
    own = [name for name in names if name.startswith(family.parts[part])]
    own = own or [name for name in names if name not in said]
    stems = {name: re.sub(f"^({_PREFIXES[part]})", "", name) for name in own}
    known = places(part, stems.values(), family)
    found = {name: known.get(stem) or Place(f"{UNUSED}{name}") for name, stem in stems.items()}
    return {name: Place(name) for name in names if name in said} | _one_each(found)


def is_original(key: str) -> bool:
    """Return whether a key of a part is spelt as in the original layout; a quick look at its beginning."""
    if key.startswith(_ORIGINAL):
        return not (key.startswith(VAE) and _NOT_ORIGINAL_VAE.search(key))
    return key in _PROJECTIONS


def _one_each(found: Mapping[str, Place]) -> dict[str, Place]:
    """Set aside tensors whose place another has by its own name, and rows that are not complete."""
    rivals = defaultdict(list)
    for name, place in found.items():
        rivals[place.key].append(name)
    chosen = {name for key, names in rivals.items() for name in _chosen(key, names, found)}
    return {name: place if name in chosen else Place(f"{UNUSED}{name}") for name, place in found.items()}


def _chosen(key: str, names: Collection[str], found: Mapping[str, Place]) -> Collection[str]:
    if whole := [name for name in names if found[name].rows == 1]:
        return [min(whole, key=lambda name: not key.endswith(name))]
    rows = {found[name].row: name for name in names}
    return rows.values() if len(rows) == found[next(iter(names))].rows else ()


def places(part: str, names: Iterable[str], family: Family = SDXL) -> dict[str, Place]:
    """Return the place of each weight by its name inside a part; others are left out, except in a VAE.

    `part` is one of `family.parts`. The names are those of diffusers and transformers, or the original ones.
    """
    names = set(names)
    model = {one.part: one.model for one in family.text_encoders}
    match part:
        case "unet":
            return _unet_places(names)
        case "vae":
            return _vae_places(names)
        case "clip_l":
            return {name: Place(model[part] + name) for name in names if name.startswith(_CLIP_LAYERS)}
    found = {name: _clip_g_place(model[part], name) for name in names}
    return {name: place for name, place in found.items() if place}


# -- UNet: https://github.com/Stability-AI/generative-models, sgm/modules/diffusionmodules/openaimodel.py

_UNET_OWN = ("time_embed.", "label_emb.", "input_blocks.", "middle_block.", "output_blocks.", "out.")
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def _unet_places(names: Collection[str]) -> dict[str, Place]:
    firsts = [re.match(r"down_blocks\.0\.resnets\.(\d+)\.", name) for name in names]
    layers = 1 + max((int(match[1]) for match in firsts if match), default=0)
    attended = {match[1] for name in names if (match := re.match(r"up_blocks\.(\d+)\.attentions\.", name))}
    keys = {name: name if name.startswith(_UNET_OWN) else _unet_key(name, layers, attended) for name in names}
    return {name: Place(UNET + key) for name, key in keys.items() if key}


def _unet_key(name: str, layers: int, attended: Collection[str]) -> str:
    """Return the key of a parameter of diffusers' UNet, which has so many layers a block; "" for others.

    `attended` are the numbers of the blocks on the way up that have attention.
    """
    stem, _, leaf = name.rpartition(".")
    if stem in _UNET_OUTER:
        return f"{_UNET_OUTER[stem]}.{leaf}"
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        side, block, kind, layer, rest = match.groups()
        # The down path holds conv_in at 0 and a downsampler after each block's layers; the up path has
        # one layer more a block and its upsampler inside the last one.
        index = (side == "down") + int(block) * (layers + 1) + int(layer)
        kept = _resnet_key(rest) if kind == "resnets" else rest
        side = "input" if side == "down" else "output"
        return f"{side}_blocks.{index}.{int(kind != 'resnets')}.{kept}" if kept else ""
    if match := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
        block, rest = match.groups()
        return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest}"
    if match := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
        block, rest = match.groups()
        after = 2 if block in attended else 1
        return f"output_blocks.{int(block) * (layers + 1) + layers}.{after}.conv.{rest}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        kind, layer, rest = match.groups()
        if kind == "attentions":
            return f"middle_block.1.{rest}"
        kept = _resnet_key(rest)
        return f"middle_block.{2 * int(layer)}.{kept}" if kept else ""
    return ""


def _resnet_key(name: str) -> str:
    module, _, leaf = name.rpartition(".")
    return f"{_RESNET[module]}.{leaf}" if module in _RESNET else ""


# -- VAE: sgm/modules/diffusionmodules/model.py

# Of a convolution one pixel wide; diffusers has linear layers here, and files with its shapes or its names
# are met among those of the original layout.
VAE_ATTENTION = re.compile(re.escape(VAE) + r"\w+\.mid\.attn_1\.(q|k|v|proj_out)\.weight")
_NOT_ORIGINAL_VAE = re.compile(r"_blocks?\.|\.conv_(shortcut|norm_out)\.|attn_1\.(?!(norm|q|k|v|proj_out)\.)")
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_EARLIER = {"query": "q", "key": "k", "value": "v", "proj_attn": "proj_out"}  # diffusers' until 2023


def _vae_places(names: Collection[str]) -> dict[str, Place]:
    ups = [match[1] for name in names if (match := re.match(r"decoder\.up_blocks\.(\d+)\.", name))]
    last = max(map(int, ups), default=0)
    return {name: Place(VAE + _vae_key(name, last)) for name in names}


def _vae_key(name: str, last: int) -> str:
    """Return the key of a parameter of a VAE whose decoder's last block has this number."""
    name = name.replace(".conv_shortcut.", ".nin_shortcut.").replace(".conv_norm_out.", ".norm_out.")
    if match := re.match(r"(.+)\.(?:mid_block\.attentions\.0|mid\.attn_1)\.(.+)\.(\w+)", name):
        half, layer, leaf = match.groups()
        return f"{half}.mid.attn_1.{(_ATTENTION | _EARLIER).get(layer, layer)}.{leaf}"
    if match := re.match(r"(.+)\.mid_block\.resnets\.(\d)\.(.+)", name):
        half, layer, rest = match.groups()
        return f"{half}.mid.block_{int(layer) + 1}.{rest}"
    name = re.sub(r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block.", name)
    name = re.sub(r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample.", name)
    # The file counts the up path from the finest block, diffusers from the coarsest.
    name = re.sub(r"\.up_blocks\.(\d+)\.resnets\.", lambda m: f".up.{last - int(m[1])}.block.", name)
    return re.sub(r"\.up_blocks\.(\d+)\.upsamplers\.0\.", lambda m: f".up.{last - int(m[1])}.upsample.", name)


# -- Text encoders: transformers' CLIP for the first, open_clip for the second

_CLIP_LAYERS = ("embeddings.", "encoder.", "final_layer_norm.")
_CLIP_G_OWN = ("transformer.resblocks.", "ln_final.", "logit_scale")
_CLIP_G_OUTER = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_CLIP_G_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_JOINED = ("q_proj", "k_proj", "v_proj")  # open_clip keeps q, k and v one under the other
_TEXT_PROJECTION = "text_projection"


def _clip_g_place(model: str, name: str) -> Place | None:
    if name.startswith(_CLIP_G_OWN) or name in (*_CLIP_G_OUTER.values(), _TEXT_PROJECTION):
        return Place(model + name)
    if name in _CLIP_G_OUTER:
        return Place(model + _CLIP_G_OUTER[name])
    if name == f"{_TEXT_PROJECTION}.weight":  # open_clip multiplies x @ P, transformers has a linear layer
        return Place(model + _TEXT_PROJECTION, transposed=True)
    if not (match := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)):
        return None
    layer, module, leaf = match.groups()
    block = f"{model}transformer.resblocks.{layer}."
    if module in _CLIP_G_LAYER:
        return Place(f"{block}{_CLIP_G_LAYER[module]}.{leaf}")
    third = module.removeprefix("self_attn.")
    if third in _JOINED:
        return Place(f"{block}attn.in_proj_{leaf}", _JOINED.index(third), len(_JOINED))
    return None


_TEXT_OWN = {"clip_l": _CLIP_LAYERS, "clip_g": (*_CLIP_G_OWN, *_CLIP_G_OUTER.values())}
_ORIGINAL = (
    *(UNET + name for name in _UNET_OWN),
    *(one.model + name for one in TEXT_ENCODERS for name in _TEXT_OWN[one.part]),
    *(VAE + name for name in ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")),
)
_PROJECTIONS = tuple(one.model + _TEXT_PROJECTION for one in TEXT_ENCODERS if one.part == "clip_g")
