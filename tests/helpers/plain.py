"""What the tests of rendering share."""

import pytest


@pytest.fixture(scope="module")
def plain(toy):
    """The oracle: the toy's base model in a pipeline by nothing but diffusers."""
    from diffusers import StableDiffusionXLPipeline

    from gridsearch.checkpoint.ldm.components import load_tokenizers

    pipe = StableDiffusionXLPipeline.from_single_file(
        str(toy / "base.safetensors"),
        config=str(toy / "config"),
        local_files_only=True,
        add_watermarker=False,
        **load_tokenizers(toy / "config"),
    )
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        module.requires_grad_(False)
    return pipe
