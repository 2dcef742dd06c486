"""SwarmUI's pictures: JSON under `sui_image_params`.

Source of the format: SwarmUI's `docs/Image Metadata Format.md`, and its `src/Text2Image/T2IParamTypes.cs`.
"""

from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.experiment.programs.names import comfy_names, comfy_unconditional
from gridsearch.render.pictures import Infotext

SWARM_PARAMS = "sui_image_params"
_SAMPLERS, _SCHEDULES = ("sampler", "comfyuisampler"), ("scheduler", "comfyuischeduler")
_READ = (
    *("prompt", "negativeprompt", "seed", "steps", "cfgscale", "width", "height", "clipstopatlayer"),
    *("initimage", "initimagecreativity"),
)
# What changes no picture, or is said by others of its parameters.
_ASIDE = (
    *("model", "images", "aspectratio", "sidelength", "automaticvae", "swarm_version", "date"),
    *("nopreviews", "generation_time", "variationseed", "loraweights"),
    *("zeronegative", "personalnote"),
)
_NAMES = {
    "vae": "VAE",
    "loras": "Lora",
    "seamlesstileable": "Tiling",
    "variationseedstrength": "Variation seed strength",
}
_BASE = "(Use Base)"  # no refiner's model of its own


def read_swarmui(fields: Fields) -> Infotext:
    """Return what a picture of SwarmUI was drawn with.

    Raises:
        BadInput: a value is of the wrong type.
    """
    said = fields.inside(SWARM_PARAMS)
    more = said.others(*_READ, *_SAMPLERS, *_SCHEDULES, *_ASIDE)
    negative = said.text("negativeprompt")
    settings = {
        **said.usual(),
        **comfy_names(said.plain(*_SAMPLERS), said.plain(*_SCHEDULES)),
        "CFG scale": said.plain("cfgscale"),
        "RNG": "CPU",
        "Unconditional": comfy_unconditional(negative, said.values.get("zeronegative") is True),
        "Clip skip": said.plain("clipstopatlayer").removeprefix("-"),
        "Denoising strength": said.plain("initimagecreativity"),
        **{_NAMES.get(name, name): value for name, value in more.items() if value != _BASE},
    }
    return drawn(said.program, said.text("prompt"), negative, settings)
