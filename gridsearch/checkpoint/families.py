"""The families of models that are known, and which of them something belongs to."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.family import Family, TextEncoder
from gridsearch.checkpoint.sd15.family import SD15
from gridsearch.checkpoint.sdxl.family import SDXL

KNOWN_FAMILIES = {family.name: family for family in (SDXL, SD15)}  # those with more components first
PARTS = tuple(dict.fromkeys(part for family in KNOWN_FAMILIES.values() for part in family.parts))
TITLES = " or ".join(family.title for family in KNOWN_FAMILIES.values())
TEXT_ENCODERS = tuple(encoder for family in KNOWN_FAMILIES.values() for encoder in family.text_encoders)
INDEX = "model_index.json"
MOST_INDEX_BYTES = 5_000_000  # of an index of shards; SDXL's UNet has one of 200 kB


def family_of_keys(keys: Iterable[str]) -> Family:
    """Return the family of a checkpoint's keys, by their text encoders; SDXL where none tells.

    Of two, the one that is first: a file may keep leftovers of another model.
    """
    known = tuple(keys)
    for family in KNOWN_FAMILIES.values():
        prefixes = tuple(one.prefix for one in family.text_encoders)
        if any(key.startswith(prefixes) for key in known):
            return family
    return SDXL


def family_of_parts(parts: Collection[str]) -> Family:
    """Return the family of a model whose parts are in files of their own, or the first that has them all."""
    return next((f for f in KNOWN_FAMILIES.values() if set(parts) >= f.parts.keys() - {"vae"}), SDXL)


def family_of_components(components: Mapping[str, object]) -> Family:
    """Return the family of a pipeline of diffusers."""
    return next((f for f in KNOWN_FAMILIES.values() if components.keys() >= f.pipeline_parts.keys()), SDXL)


def family_of_folder(folder: Path) -> Family:
    """Return the family of a model or of configs in diffusers' layout, by the class of its pipeline."""
    try:
        said = read_json_object(folder / INDEX, MOST_INDEX_BYTES, "file").get("_class_name")
    except BadInput:
        return SDXL
    return next((family for family in KNOWN_FAMILIES.values() if family.pipeline == said), SDXL)


def encoder_of(component: str, stem: str) -> TextEncoder:
    """Return the text encoder of a module, by diffusers' name of it and by the key of its weight."""
    own = [one for one in TEXT_ENCODERS if one.component == component]
    return next((one for one in own if stem.startswith(one.prefix)), own[0])
