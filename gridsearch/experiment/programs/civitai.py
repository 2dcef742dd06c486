"""Pictures of Civitai's generator that were worked on there: JSON in `extraMetadata`, beside a graph.

Those that were not have the text of A1111. Source of the format: the parser of enslo/sd-metadata
(`src/parsers/comfyui-civitai.ts`), made from such pictures.
"""

from gridsearch.experiment.programs.fields import Fields, drawn
from gridsearch.render.pictures import Infotext

EXTRA = "extraMetadata"
_READ = ("prompt", "negativePrompt", "steps", "sampler", "cfgScale", "seed", "width", "height", "clipSkip")
_ASIDE = ("baseModel", "resources", "workflowId", "quantity", "nsfw", "draft", "remixOfId", "process")


def read_civitai(said: Fields) -> Infotext:
    """Return what a picture of Civitai was drawn with, before it was worked on.

    Raises:
        BadInput: a value is of the wrong type.
    """
    settings = {
        **said.usual(),
        "Sampler": said.plain("sampler"),
        "CFG scale": said.plain("cfgScale"),
        "Clip skip": said.plain("clipSkip"),
        **said.others(*_READ, *_ASIDE),
    }
    return drawn(said.program, said.text("prompt"), said.text("negativePrompt"), settings)
