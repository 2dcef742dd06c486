"""Stable Diffusion 1.5 as a family: one text encoder, 25 blocks, and what it was trained for."""

from pathlib import Path

from gridsearch.checkpoint.family import MIDDLE, TEXT_BLOCK, UNET, Family, TextEncoder

_TEXT = "cond_stage_model."
_WEIGHTS = f"{_TEXT}transformer.text_model."
_TOKENS = f"{_WEIGHTS}embeddings.token_embedding.weight"
_SIDES = range(12)

SD15 = Family(
    name="sd15",
    title="SD 1.5",
    kinds={
        4: "Stable Diffusion 1.5",
        8: "a Stable Diffusion 1.5 instruct-pix2pix model",
        9: "a Stable Diffusion 1.5 inpainting model",
    },
    folder=Path(__file__).parent,
    text_encoders=(
        TextEncoder(
            part="clip_l",
            selector="te",
            component="text_encoder",
            tokenizer="tokenizer",
            prefix=_TEXT,
            model=_WEIGHTS,
            adapter="lora_te",
            words="text encoder",
            proof=_TOKENS,
            tokens=_TOKENS,
            undrawn=(f"{_WEIGHTS}embeddings.position_ids",),
            pad="<|endoftext|>",
        ),
    ),
    proof=f"{UNET}time_embed.0.weight",
    others={1024: "Stable Diffusion 2"},  # in diffusers' names its text encoder looks alike
    # The UNet's last layers are OUT11, as in merge-block-weighted, and its time embedding BASE, as SDXL's.
    blocks=(TEXT_BLOCK, *(f"IN{i:02}" for i in _SIDES), MIDDLE, *(f"OUT{i:02}" for i in _SIDES)),
    attention_blocks=(
        *("IN01", "IN02", "IN04", "IN05", "IN07", "IN08", MIDDLE),
        *(f"OUT{i:02}" for i in range(3, 12)),
    ),
    preset_places=tuple(range(25)),
    pipeline="StableDiffusionPipeline",
    pipeline_options={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    adapters="Stable Diffusion 1.5 or 2",
    kohya_original=False,
    normed_states=True,
    usual={"unconditional": "empty", "clip_skip": 1, "width": 512, "height": 512},
    architecture="stable-diffusion-v1",
    trained_as="sd_v1",
)
