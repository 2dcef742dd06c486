"""The names of modules in adapter files, and of the parts of a module's change.

Every spelling is made from the model's own parameter names and looked up exactly: nothing is guessed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from gridsearch.checkpoint.families import encoder_of
from gridsearch.checkpoint.family import UNET, Family
from gridsearch.checkpoint.ldm.keys import TensorRows

UP, DOWN = "lora_up.weight", "lora_down.weight"  # kohya's
# The end of a key, after a module's name, in an adapter file -> the part of a delta that it is.
DELTA_PARTS = {
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_b",
    "w_norm": "w_norm",
    "b_norm": "b_norm",
    "lora_mid.weight": "mid",
    # DoRA's magnitudes: LyCORIS and OneTrainer; PEFT.
    "dora_scale": "dora_scale",
    "lora_magnitude_vector": "magnitude", "lora_magnitude_vector.weight": "magnitude",
    # kohya; PEFT; diffusers' text encoders, layers and attention processors before PEFT.
    DOWN: "down", UP: "up",
    "lora_A.weight": "down", "lora_B.weight": "up",
    "lora_linear_layer.down.weight": "down", "lora_linear_layer.up.weight": "up",
    "lora.down.weight": "down", "lora.up.weight": "up",
    "down.weight": "down", "up.weight": "up",
}  # fmt: skip
# The same as their part: LoHa; LoKr; OFT and BOFT, of LyCORIS and of PEFT; VeRA.
_OWN = {
    "hada": ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2"),
    "lokr": ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2"),
    "oft": ("blocks",),
    "boft": ("blocks", "R", "s"),
    "vera": ("lambda_b", "lambda_d"),
}
DELTA_PARTS |= {f"{kind}_{part}": f"{kind}_{part}" for kind, parts in _OWN.items() for part in parts}
DELTA_PARTS |= {"rescale": "rescale", "oft_R.weight": "oft_R", "oft_R.scaled_oft": "scaled_oft"}
DELTA_PARTS |= {f"{part}.weight": part for part in ("a1", "a2", "b1", "b2")}  # GLoRA
DELTA_PARTS |= {"weight": "factors", "on_input": "on_input", "ia3_l": "ia3_l"}  # (IA)^3: LyCORIS; PEFT
SHARED_PARTS = {"base_model.vera_A": "vera_A", "base_model.vera_B": "vera_B"}  # of all modules


def part_of(ending: str, shape: tuple[int, ...]) -> str:
    """Return the part of a delta that a tensor is, by the end of its key; the end itself where it is none."""
    part = DELTA_PARTS.get(ending, ending)
    # LyCORIS has one name for both.
    return "boft_blocks" if part == "oft_blocks" and len(shape) == 4 else part


# Kinds of adapters that are not supported -> how their keys end.
UNSUPPORTED = {
    "T-LoRA, whose strength changes from step to step": (".lambda_layer",),
    "DoRA on top of OFT, of which there are several kinds": (".initial_norm", ".dora_multiplier"),
    "OFT as PEFT made it before version 0.15": (".oft_r",),
    "OFT as LyCORIS made it at first": (".oft_diag",),
}

PEFT_PREFIX = "base_model.model."
# PEFT may keep a module's parts under the name that the adapter had in training: `lora_A.style.weight`.
_NAMED = re.compile(r"\.(lora_[AB]|lora_magnitude_vector|oft_R)\.[^.]+\.weight$")
_NAMED_WHOLE = re.compile(r"\.((?:hada|lokr|boft|ia3|vera)_\w+)\.[^.]+$")


def without_adapter_name(key: str) -> str:
    """Return a file key without the name that PEFT gave the adapter in training, where it has one."""
    return _NAMED_WHOLE.sub(r".\1", _NAMED.sub(r".\1.weight", key))


def spellings(parameters: Mapping[str, TensorRows]) -> dict[str, str]:
    """Return every way in which an adapter file may name a module, with the module's own name.

    `lora_unet_input_blocks_0_0`, `unet.conv_in`, ... -> `unet.conv_in`, where `parameters` has diffusers'
    `unet.conv_in.weight` -> where it is kept in a checkpoint.
    """
    modules: dict[str, str] = {}
    for parameter, rows in parameters.items():
        module, leaf = parameter.rsplit(".", 1)
        for spelling in _spellings(module, rows.key.removesuffix(f".{leaf}")):
            if modules.setdefault(spelling, module) != module:
                raise ValueError(f"{spelling} names both {modules[spelling]} and {module}")
    return modules


def _spellings(module: str, stem: str) -> Iterator[str]:
    component, name = module.split(".", 1)
    if component == "unet":
        original = stem.removeprefix(UNET)
        dotted = [f"{prefix}{name}" for prefix in ("unet.", "", PEFT_PREFIX, f"{PEFT_PREFIX}unet.")]
        yield from dotted
        yield f"diffusion_model.{name}"  # SimpleTuner, for ComfyUI
        yield from (f"{prefix}{original}" for prefix in ("unet.", "diffusion_model.", UNET))
        for flat in (name.replace(".", "_"), original.replace(".", "_")):
            # LyCORIS wrapped round a lone UNet, and sd-scripts' OFT
            yield from (f"lycoris_{flat}", f"oft_unet_{flat}")
        for own in (name, original):
            yield from _flat("lora_unet", own)
        for spelling in dotted:
            yield from _processor(spelling, ".to_q", ".to_k", ".to_v", ".to_out.0")
    elif component != "vae":
        encoder = encoder_of(component, stem)
        bare, clip = name.removeprefix("text_model."), encoder.part
        for name in (bare, f"text_model.{bare}"):
            yield from _flat(encoder.adapter, name)
            yield from (f"{clip}.{name}", f"text_encoders.{clip}.transformer.{name}")  # OneTrainer; ComfyUI
            for spelling in (f"{component}.{name}", f"{PEFT_PREFIX}{component}.{name}"):
                yield spelling
                yield from _processor(spelling, ".q_proj", ".k_proj", ".v_proj", ".out_proj")


def _flat(prefix: str, name: str) -> Iterator[str]:
    """Yield sd-scripts' names of a module, and OneTrainer's.

    OneTrainer trains `lora_unet.a.b.c`, and writes that as `lora_unet_a_b_c`; or as `lora_unet_a_b.c`, before
    parts of one word (`hada_w1_a`): https://github.com/Nerogar/OneTrainer, convert_lora_util.py.
    """
    yield f"{prefix}.{name}"
    yield f"{prefix}_{name.replace('.', '_')}"
    head, _, last = name.rpartition(".")
    if head:
        yield f"{prefix}_{head.replace('.', '_')}.{last}"


def kohya_name(module: str, stem: str, family: Family) -> str:
    """Return the name of a module in kohya's files; SDXL's UNet has the original code's names there.

    `stem` is the checkpoint's key of its weight without the end. It is one of `spellings`.
    """
    component, name = module.split(".", 1)
    if component == "unet":
        own = stem.removeprefix(UNET) if family.kohya_original else name
        return f"lora_unet_{own.replace('.', '_')}"
    encoder = encoder_of(component, stem).adapter
    inside = "" if name == "text_projection" else "text_model_"
    return f"{encoder}_{inside}{name.removeprefix('text_model.').replace('.', '_')}"


def longest_name(module: str) -> str:
    """Return a module's longest name in PEFT's options, without its component: any other is the end of it."""
    component, name = module.split(".", 1)
    return name if component == "unet" else f"text_model.{name.removeprefix('text_model.')}"


def _processor(spelling: str, *projections: str) -> Iterator[str]:
    """Yield the names of diffusers' LoRA attention processors, with and without `processor` among them."""
    for projection, own in zip(projections, ("to_q", "to_k", "to_v", "to_out"), strict=True):
        if spelling.endswith(projection):
            attention = spelling.removesuffix(projection)
            yield from (f"{attention}.processor.{own}_lora", f"{attention}.{own}_lora")


def split_key(key: str, modules: Mapping[str, str]) -> tuple[str, str]:
    """Return a file key as (spelling of a module, what follows it); ("", key) where no module is named so."""
    head = key.rpartition(".")[0]
    while head and head not in modules:
        head = head.rpartition(".")[0]
    return head, key.removeprefix(f"{head}.")


# Parts of keys in the adapters of each model. SDXL's first block has no attention, and its encoders numbers.
_MARKS = {
    "Flux": ("double_blocks", "single_blocks", "single_transformer_blocks"),
    "Stable Diffusion 3": ("joint_blocks", "transformer.transformer_blocks"),
    "Stable Diffusion 1.5 or 2": ("lora_te_", "down_blocks_0_attentions", "down_blocks.0.attentions"),
    "SDXL": ("lora_te2_", "text_encoder_2."),
}  # fmt: skip


def other_model_of(keys: Iterable[str], family: Family) -> str | None:
    """Return the other model that an adapter's keys are those of, where they tell."""
    text = "\n".join(keys)
    others = {model: marks for model, marks in _MARKS.items() if model != family.adapters}
    return next((model for model, marks in others.items() if any(mark in text for mark in marks)), None)
