"""The pictures of Fooocus and of RuinedFooocus: JSON in `parameters`, or in EXIF's user comment.

With the setting `a1111` Fooocus writes A1111's text instead. Its own has the prompt as it was typed, and as
it was drawn: with styles and expansion, in parts, which are joined here as Fooocus joins them for A1111.

Sources of the formats: Fooocus' `modules/meta_parser.py`; the pictures of RuinedFooocus as the parser of
enslo/sd-metadata (`src/parsers/ruined-fooocus.ts`) describes them.
"""

import re

from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.experiment.programs.names import comfy_names, comfy_unconditional
from gridsearch.render.pictures import Infotext, as_kept

_READ = (
    *("prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "seed", "steps"),
    *("resolution", "width", "height", "guidance_scale", "cfg", "sampler", "scheduler", "clip_skip"),
)
# What changes no picture, or is in the full prompt, or is said by others of its values.
_ASIDE = (
    *("base_model", "base_model_hash", "refiner_model_hash", "refiner_switch", "refiner_swap_method"),
    *("version", "performance", "loras", "metadata_scheme", "created_by"),
    *("prompt_expansion",),
)
_NAMES = {
    "vae": "VAE",
    "refiner_model": "Refiner",
    "freeu": "FreeU",
    "sharpness": "Sharpness",
    "adm_guidance": "ADM Guidance",
    "adaptive_cfg": "Adaptive CFG",
}
_RUINED = (
    *("Prompt", "Negative", "seed", "steps", "cfg", "width", "height", "sampler_name", "scheduler"),
    *("clip_skip", "denoise", "base_model_name", "base_model_hash", "software", "start_step"),
)


def read_fooocus(said: Fields) -> Infotext:
    """Return what a picture of Fooocus was drawn with.

    Raises:
        BadInput: a value is of the wrong type.
    """
    in_prompt = ("styles",) if "full_prompt" in said.values else ()
    aside = said.others(*_READ, *_ASIDE, *in_prompt)
    more = {_NAMES.get(name, name): value for name, value in aside.items()}
    loras = [more.pop(name) for name in list(more) if name.startswith("lora_combined_")]
    resolution = re.findall(r"\d+", said.plain("resolution"))
    negative = _full(said, "negative_prompt")
    settings = {
        "Steps": said.plain("steps"),
        **comfy_names(said.plain("sampler"), said.plain("scheduler")),
        "CFG scale": said.plain("guidance_scale", "cfg"),
        "Seed": said.plain("seed"),
        "Size": "x".join(resolution) if len(resolution) == 2 else said.size(),
        "RNG": "CPU",
        "Unconditional": comfy_unconditional(negative, False),
        "Clip skip": said.plain("clip_skip"),
        "Lora": ", ".join(loras),
        **more,
    }
    return drawn(said.program, _full(said, "prompt"), negative, settings)


def _full(said: Fields, key: str) -> str:
    """Return a prompt as it was drawn, or as it was typed where the other is missing."""
    parts = said.values.get(f"full_{key}")
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        return said.text(key)
    return as_kept(", ".join(filter(None, parts)))


def read_ruined_fooocus(said: Fields) -> Infotext:
    """Return what a picture of RuinedFooocus was drawn with.

    Raises:
        BadInput: a value is of the wrong type.
    """
    more = {"Lora" if name == "loras" else name: value for name, value in said.others(*_RUINED).items()}
    settings = {
        **said.usual(),
        **comfy_names(said.plain("sampler_name"), said.plain("scheduler")),
        "CFG scale": said.plain("cfg"),
        "RNG": "CPU",
        "Clip skip": said.plain("clip_skip"),
        "Denoising strength": said.plain("denoise"),
        **more,
    }
    return drawn(said.program, said.text("Prompt"), said.text("Negative"), settings)
