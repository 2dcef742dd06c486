"""NovelAI's pictures: JSON in `Comment`, and in a WebP the same within JSON in EXIF's user comment.

The copy that NovelAI hides in the lowest bits of a picture's alpha channel is not read.

Source of the format: the parser of enslo/sd-metadata (`src/parsers/novelai.ts`), made from its pictures.
"""

import re

from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.experiment.programs.names import NOVELAI_SAMPLERS, NOVELAI_SCHEDULES, a1111_name
from gridsearch.render.pictures import Infotext

NOVELAI = "NovelAI"
_EMPHASIS = re.compile(r"[{}\[\]]|::")  # {stronger}, [weaker], 1.2::stronger::
_MORE = {
    "strength": "Denoising strength",
    "sm": "SMEA",
    "sm_dyn": "SMEA DYN",
    "dynamic_thresholding": "Dynamic thresholding",
    "reference_strength_multiple": "Vibe transfer",
}


def read_novelai(said: Fields, description: str = "") -> Infotext:
    """Return what a picture of NovelAI was drawn with, from its `Comment` and its `Description`.

    Raises:
        BadInput: a value is of the wrong type.
    """
    prompt = _caption(said, "v4_prompt") or said.text("prompt") or description.strip()
    negative = _caption(said, "v4_negative_prompt") or said.text("uc")
    more = said.others()
    settings = {
        **said.usual(),
        "Sampler": a1111_name(said.plain("sampler"), NOVELAI_SAMPLERS),
        "Schedule type": a1111_name(said.plain("noise_schedule"), NOVELAI_SCHEDULES),
        "CFG scale": said.plain("scale"),
        "CFG rescale": said.plain("cfg_rescale"),
        "Emphasis": NOVELAI if _EMPHASIS.search(prompt + negative) else "",
        "Character prompts": str(_characters(said) or ""),
        **{name: more[key] for key, name in _MORE.items() if key in more},
    }
    return drawn(NOVELAI, prompt, negative, settings)


def _caption(said: Fields, key: str) -> str:
    return said.inside(key).inside("caption").text("base_caption")


def _characters(said: Fields) -> int:
    """Return how many characters have prompts of their own."""
    captions = said.inside("v4_prompt").inside("caption").values.get("char_captions")
    return len(captions) if isinstance(captions, list) else 0
