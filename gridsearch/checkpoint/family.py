"""A family of models: the facts that set its checkpoints apart from those of another family.

The families that are known have the layout of the latent diffusion code, later Stability's `sgm`
(https://github.com/CompVis/latent-diffusion): a UNet, one or more CLIP text encoders and a VAE. What differs
between them is all in a `Family`: names of keys, blocks, settings. `ldm` has the code that they share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

UNET = "model.diffusion_model."
VAE = "first_stage_model."
FIRST_CONV = f"{UNET}input_blocks.0.0.weight"  # it reads a latent, and in some models more behind it
LATENT_CHANNELS = 4

TEXT_BLOCK = "BASE"  # of the text encoders, and of the UNet's time and size embeddings
VAE_COMPONENT = "vae"
DEFAULT_SELECTOR = "default"  # of ratios per block, for all other weights
MIDDLE = "M00"  # the block whose attention guidance changes in the papers


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder of a family.

    Attributes:
        part: its name where the parts of a model are files of their own, as in ComfyUI.
        selector: its name in ratios per block.
        component: its name in diffusers, and that of its tokenizer.
        prefix: how its keys begin in a whole checkpoint.
        model: how those of its weights begin.
        adapter: how sd-scripts begins the names of its modules.
        words: what it is called in errors.
        proof: a weight that is in no other part.
        tokens: the vectors of its tokens.
        undrawn: keys with which nothing is drawn, and which some files lack.
        pad: the token that fills up a short prompt.
        projected: whether it pools a prompt into one vector, which the UNet reads too.
    """

    part: str
    selector: str
    component: str
    tokenizer: str
    prefix: str
    model: str
    adapter: str
    words: str
    proof: str
    tokens: str
    undrawn: tuple[str, ...]
    pad: str
    projected: bool = False


@dataclass(frozen=True, eq=False)
class Family:
    """The facts of a family of models.

    Attributes:
        name: in experiment files and records.
        title: in sentences.
        kinds: channels that the UNet reads -> what such a model is, in words.
        folder: where `configs/` and `shapes.json` lie.
        proof: a weight of the UNet that every model of the family has.
        others: width of the first text encoder -> another model that has the same names.
        blocks: the UNet's, in the order of supermerger's sliders, `TEXT_BLOCK` first.
        attention_blocks: those with attention, which guidance may change.
        preset_places: the places of the blocks among the 25 that presets of ratios are made for.
        pipeline: diffusers' class.
        pipeline_options: of that class, beside the components.
        adapters: its name, and that of others whose adapters look alike.
        kohya_original: whether sd-scripts names the UNet's modules after the original keys.
        normed_states: whether the hidden states of the text encoders go through their last norm.
        usual: settings of its images, where the experiment says nothing.
        architecture: its name in https://github.com/Stability-AI/ModelSpec.
        trained_as: its name in the metadata of sd-scripts' adapters.
    """

    name: str
    title: str
    kinds: Mapping[int, str]
    folder: Path
    text_encoders: tuple[TextEncoder, ...]
    proof: str
    others: Mapping[int, str]
    blocks: tuple[str, ...]
    attention_blocks: tuple[str, ...]
    preset_places: tuple[int, ...]
    pipeline: str
    pipeline_options: Mapping[str, Any]
    adapters: str
    kohya_original: bool
    normed_states: bool
    usual: Mapping[str, Any]
    architecture: str
    trained_as: str

    @property
    def configs(self) -> Path:
        """The component configs that come with the package, laid out as a model of diffusers."""
        return self.folder / "configs"

    @property
    def shapes(self) -> Path:
        """The file with the shapes of a checkpoint for those configs: key -> shape."""
        return self.folder / "shapes.json"

    @cached_property
    def parts(self) -> dict[str, str]:
        """The parts that may lie in files of their own -> how their keys begin in a whole model."""
        return {"unet": UNET, **{one.part: one.prefix for one in self.text_encoders}, "vae": VAE}

    @cached_property
    def components(self) -> dict[str, str]:
        """Component -> how its keys begin, in the order in which a merged file holds them."""
        return {"unet": UNET, **{one.selector: one.prefix for one in self.text_encoders}, "vae": VAE}

    @cached_property
    def pipeline_parts(self) -> dict[str, str]:
        """diffusers' name of each model in a pipeline -> the part."""
        return {"unet": "unet", "vae": "vae", **{one.component: one.part for one in self.text_encoders}}

    @property
    def beside_vae(self) -> tuple[str, ...]:
        """The beginnings of the keys of all that is shared without a VAE."""
        return (UNET, *(one.prefix for one in self.text_encoders))

    @property
    def weights(self) -> tuple[str, ...]:
        """The beginnings of the keys of weights."""
        return (UNET, VAE, *(one.model for one in self.text_encoders))

    @property
    def encoders(self) -> str:
        """The text encoders in words."""
        return {1: "the text encoder", 2: "both text encoders"}[len(self.text_encoders)]
