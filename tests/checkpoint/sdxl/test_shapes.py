"""What a checkpoint must hold, and what a call of its UNet takes, known without building its models."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

from gridsearch.checkpoint.ldm.shapes import file_shapes, skeleton_shapes, unet_call
from gridsearch.checkpoint.sdxl.family import SDXL


def test_the_shapes_that_are_written_down_are_those_of_the_configs():
    written = json.loads(SDXL.shapes.read_text())
    assert {key: tuple(shape) for key, shape in written.items()} == skeleton_shapes(SDXL.configs)


def counted_by_torch(config, width: int, height: int) -> int:
    """Floating-point operations of one call on the meta device."""
    settings = UNet2DConditionModel.load_config(config / "unet")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(settings)
        pooled = settings["projection_class_embeddings_input_dim"] - 6 * settings["addition_time_embed_dim"]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            unet(
                sample=torch.empty(1, settings["in_channels"], height // 8, width // 8),
                timestep=torch.zeros(1),
                encoder_hidden_states=torch.empty(1, 77, settings["cross_attention_dim"]),
                added_cond_kwargs={"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, 6)},
            )
    return counter.get_total_flops()


@pytest.mark.parametrize("size", [(64, 64), (1216, 832), (1000, 888)], ids=str)
def test_arithmetic_is_what_torch_counts(toy, size):
    assert unet_call(file_shapes(toy / "config"), *size)[0] == counted_by_torch(toy / "config", *size)


def test_arithmetic_grows_with_the_area(toy):
    """Convolutions grow with the pixels, attention faster, the text's keys and values not at all."""
    shapes = file_shapes(toy / "config")
    (small, layers), (large, _) = (unet_call(shapes, side, side) for side in (64, 128))
    assert 3.5 * small < large < 4.5 * small
    assert layers > 100


def test_sdxls_own_arithmetic():
    """6.76e12, as torch counts it; twice the multiplications."""
    flops, layers = unet_call(file_shapes(SDXL.configs), 1024, 1024)
    assert (flops, layers) == (6_761_236_398_080, 1050)
