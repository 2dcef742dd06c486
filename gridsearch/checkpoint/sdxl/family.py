"""SDXL as a family: two text encoders, twenty blocks, and what it was trained for."""

from pathlib import Path

from gridsearch.checkpoint.family import MIDDLE, TEXT_BLOCK, UNET, Family, TextEncoder

CLIP_L = "conditioner.embedders.0."  # the first text encoder
CLIP_G = "conditioner.embedders.1."  # the second
CLIP_L_MODEL = f"{CLIP_L}transformer.text_model."  # where the weights of each lie
CLIP_G_MODEL = f"{CLIP_G}model."
POSITION_IDS = f"{CLIP_L_MODEL}embeddings.position_ids"

# Those of supermerger's twenty sliders. Tools disagree on what lies outside the numbered ones. Here, as in
# sd-mecha's `sdxl-supermerger_blocks`, the text encoders and the UNet's time and size embeddings are `BASE`
# (supermerger itself counts the embeddings to `IN00`: write `time` to name them) and the UNet's last layers
# are `OUT08`.
BLOCKS = (TEXT_BLOCK, *(f"IN{i:02}" for i in range(9)), MIDDLE, *(f"OUT{i:02}" for i in range(9)))

_FIRST = TextEncoder(
    part="clip_l",
    selector="te1",
    component="text_encoder",
    tokenizer="tokenizer",
    prefix=CLIP_L,
    model=CLIP_L_MODEL,
    adapter="lora_te1",
    words="first text encoder",
    proof=f"{CLIP_L_MODEL}embeddings.token_embedding.weight",
    tokens=f"{CLIP_L_MODEL}embeddings.token_embedding.weight",
    undrawn=(POSITION_IDS,),
    pad="<|endoftext|>",
)
_SECOND = TextEncoder(
    part="clip_g",
    selector="te2",
    component="text_encoder_2",
    tokenizer="tokenizer_2",
    prefix=CLIP_G,
    model=CLIP_G_MODEL,
    adapter="lora_te2",
    words="second text encoder",
    proof=f"{CLIP_G_MODEL}text_projection",
    tokens=f"{CLIP_G_MODEL}token_embedding.weight",
    undrawn=(f"{CLIP_G_MODEL}logit_scale",),
    pad="!",  # it was trained with id 0: generative-models, sgm/modules/encoders/modules.py
    projected=True,
)

SDXL = Family(
    name="sdxl",
    title="SDXL",
    kinds={
        4: "SDXL",
        8: "an SDXL instruct-pix2pix model",  # a latent, and that of the picture to edit
        9: "an SDXL inpainting model",  # a latent, a mask, and the latent of the masked picture
    },
    folder=Path(__file__).parent,
    text_encoders=(_FIRST, _SECOND),
    proof=f"{UNET}label_emb.0.0.weight",
    others={},
    blocks=BLOCKS,
    attention_blocks=("IN04", "IN05", "IN07", "IN08", MIDDLE, *(f"OUT{i:02}" for i in range(6))),
    preset_places=(*range(9), *range(12, 22)),  # the first nine, and ten from M00 on, as supermerger does
    pipeline="StableDiffusionXLPipeline",
    pipeline_options={"add_watermarker": False},
    adapters="SDXL",
    kohya_original=True,
    normed_states=False,
    usual={"unconditional": "zeros", "clip_skip": 2, "width": 1024, "height": 1024},
    architecture="stable-diffusion-xl-v1-base",
    trained_as="sdxl_base_v1-0",
)
