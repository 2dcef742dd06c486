"""InvokeAI's pictures: JSON in `invokeai_metadata`, in version 2 in `sd-metadata`, or options in `Dream`.

    "a cat [a dog]" -s 50 -S 1234 -W 512 -H 512 -C 7.5 -A k_lms

Up to version 2, what is in square brackets is the negative prompt.

Sources of the formats: InvokeAI's `invokeai/app/invocations/metadata.py`; of version 2
`ldm/invoke/pngwriter.py` and `ldm/invoke/conditioning.py`.
"""

import re

from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.experiment.programs.names import INVOKE_SAMPLERS, a1111_name
from gridsearch.render.pictures import Infotext, as_kept

INVOKEAI = "InvokeAI"
_READ = (
    *("positive_prompt", "negative_prompt", "seed", "steps", "cfg_scale", "scheduler", "width"),
    *("height", "rand_device", "cfg_rescale_multiplier", "strength", "positive_style_prompt"),
    *("negative_style_prompt",),
)
# What changes no picture of SDXL, or is said by others of its values.
_ASIDE = (
    *("model", "app_version", "generation_mode", "clip_skip", "type", "init_image"),
    *("canvas_v2_metadata", "created_by", "refiner_cfg_scale", "refiner_steps", "refiner_scheduler"),
    *("refiner_start", "refiner_positive_aesthetic_score", "refiner_negative_aesthetic_score"),
    *("hrf_method", "hrf_strength"),
)
_NAMES = {
    "loras": "Lora",
    "vae": "VAE",
    "controlnets": "ControlNet",
    "ipAdapters": "IP-Adapter",
    "ref_images": "IP-Adapter",
    "t2iAdapters": "T2I-Adapter",
    "refiner_model": "Refiner",
    "hrf_enabled": "Hires fix",
    "seamless_x": "Tiling",
    "seamless_y": "Tiling",
}

_MORE_IN_2 = {
    "seamless": "Tiling",
    "hires_fix": "Hires fix",
    "postprocessing": "Face restoration",
    "variations": "Variations",
}
# Emphasis and blends of its prompts: word++, (some words)1.2, (some words)-, ("a", "b").blend(1, 2)
_EMPHASIS = re.compile(r"\w[+-]{2}|\w[+](?=[\s,.)]|$)|\)[+-]|\)\d|\)\.(?:and|blend|swap)\(")
_UNWANTED = re.compile(r"\[([^\]]*)\]")
_OPTION = re.compile(r"\s-([sSWHCAfGUvV])\s*(\S+)")


def read_invokeai(said: Fields) -> Infotext:
    """Return what a picture of InvokeAI 3 or later was drawn with.

    Raises:
        BadInput: a value is of the wrong type.
    """
    prompt, negative = said.text("positive_prompt"), said.text("negative_prompt")
    styles = said.text("positive_style_prompt"), said.text("negative_style_prompt")
    styled = styles[0] not in ("", prompt) or styles[1] not in ("", negative)
    settings = {
        **said.usual(),
        **_sampler(said.plain("scheduler")),
        "CFG scale": said.plain("cfg_scale"),
        "RNG": "GPU" if said.plain("rand_device").startswith("cuda") else "CPU",
        "CFG rescale": said.plain("cfg_rescale_multiplier"),
        "Denoising strength": said.plain("strength"),
        "Style prompt": "set" if styled else "",
        "Emphasis": _emphasis(prompt + negative),
        **{_NAMES.get(name, name): value for name, value in said.others(*_READ, *_ASIDE).items()},
    }
    return drawn(INVOKEAI, prompt, negative, settings)


def _sampler(scheduler: str) -> dict[str, str]:
    """Return A1111's settings for a scheduler; a `_k` at the end stands for Karras' noise levels."""
    name = scheduler.removesuffix("_k")
    karras = {"Schedule type": "Karras"} if name != scheduler else {}
    return {"Sampler": a1111_name(name, INVOKE_SAMPLERS), **karras}


def _emphasis(prompts: str) -> str:
    return INVOKEAI if _EMPHASIS.search(prompts) else ""


def read_invokeai_2(said: Fields) -> Infotext:
    """Return what a picture of InvokeAI 2 was drawn with, from its `sd-metadata`.

    Raises:
        BadInput: it has several prompts, or a value is of the wrong type.
    """
    image = said.inside("image")
    prompts = image.values.get("prompt")
    if isinstance(prompts, list):
        if len(prompts) != 1 or not isinstance(prompts[0], dict):
            raise said.refused(f"It mixes {len(prompts)} prompts.")
        image = Fields(said.program, said.where, {**image.values, **prompts[0]})
    more = image.others()
    settings = {
        **image.usual(),
        "Sampler": image.plain("sampler"),
        "CFG scale": image.plain("cfg_scale"),
        **{name: more[key] for key, name in _MORE_IN_2.items() if key in more},
    }
    return _divided(image.text("prompt"), settings)


def read_dream(text: str, where: object) -> Infotext:
    """Return what a picture of InvokeAI 1 or 2 was drawn with, from its `Dream`.

    Raises:
        BadInput: it is not a prompt in quotes with options behind it.
    """
    prompt, quote, options = text.strip().removeprefix('"').rpartition('"')
    if not quote:
        raise Fields(INVOKEAI, where, {}).refused(
            "Its 'Dream' is not a prompt in quotes, with options behind it."
        )
    said = dict(_OPTION.findall(options))
    settings = {
        "Steps": said.get("s", ""),
        "Sampler": said.get("A", ""),
        "CFG scale": said.get("C", ""),
        "Seed": said.get("S", ""),
        "Size": f"{said['W']}x{said['H']}" if {"W", "H"} <= said.keys() else "",
        "Denoising strength": said.get("f", ""),
        "Face restoration": said.get("G", ""),
        "Upscale": said.get("U", ""),
        "Variations": said.get("v") or said.get("V", ""),
    }
    return _divided(prompt, settings)


def _divided(prompt: str, settings: dict[str, str]) -> Infotext:
    """Return a prompt of version 2 without the parts in square brackets, which are the negative prompt."""
    within, close, rest = prompt.rpartition("]")  # without one behind it, no bracket is closed
    wanted = re.sub(" +", " ", _UNWANTED.sub(" ", within + close) + rest).strip()
    unwanted = " ".join(_UNWANTED.findall(within + close))
    return drawn(INVOKEAI, as_kept(wanted), as_kept(unwanted), settings | {"Emphasis": _emphasis(prompt)})
