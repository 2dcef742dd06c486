"""Adapter files in words: what each is, how many modules it changes, its rank and its alpha."""

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.inspect import described
from gridsearch.checkpoint.ldm.recognise import architecture, require_known

MODULES = ("lora_unet_input_blocks_4_1_proj_in", "lora_te1_text_model_encoder_layers_0_mlp_fc1")
PAIR = {"lora_up.weight": torch.ones(8, 4), "lora_down.weight": torch.ones(4, 8)}
FACTORS = PAIR | {"alpha": torch.tensor(2.0)}
PEFTS = {"lora_A.x.weight": torch.ones(1, 2), "lora_magnitude_vector.x.weight": torch.ones(2)}
LOHA = {f"hada_{part}": torch.ones(4, 4) for part in ("w1_a", "w1_b", "w2_a", "w2_b")}


@pytest.fixture
def opened(tmp_path):
    def make(metadata=None, **parts):
        tensors = {f"{module}.{part}": value.clone() for module in MODULES for part, value in parts.items()}
        save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
        return open_checkpoint(tmp_path / "x.safetensors")

    return make


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        (FACTORS, "a LoRA"),
        (FACTORS | {"dora_scale": torch.ones(8, 1)}, "a DoRA (a LoRA with magnitudes)"),
        (PEFTS, "a DoRA (a LoRA with magnitudes)"),
        (LOHA, "a LyCORIS adapter (LoHa)"),
        (LOHA | {"dora_scale": torch.ones(4, 1)}, "a LyCORIS adapter (LoHa) with DoRA's magnitudes"),
        ({"oft_blocks": torch.ones(2, 4, 4)}, "an OFT (an adapter that rotates"),
        ({"oft_blocks": torch.ones(2, 2, 4, 4)}, "a BOFT (an adapter that rotates"),
        ({"oft_R.weight": torch.ones(2, 6)}, "an OFT (an adapter that rotates"),
        ({"boft_R": torch.ones(1, 2, 4, 4), "boft_s": torch.ones(8, 1)}, "a BOFT"),
        ({"a1.weight": torch.ones(4, 2)}, "a GLoRA"),
        ({"weight": torch.ones(4), "on_input": torch.tensor(1)}, "an (IA)^3"),
        ({"ia3_l": torch.ones(4, 1)}, "an (IA)^3"),
        ({"vera_lambda_b": torch.ones(4), "vera_lambda_d": torch.ones(2)}, "a VeRA"),
        ({"diff": torch.ones(4, 4), "diff_b": torch.ones(4)}, "an adapter of whole differences (.diff)"),
        ({"diff_b": torch.ones(4)}, "an adapter of whole differences of biases alone"),
        ({"w_norm": torch.ones(4), "b_norm": torch.ones(4)}, "an adapter of norms alone"),
    ],
)
def test_each_kind_is_named_and_is_no_model(opened, parts, kind):
    checkpoint = opened(**parts)
    assert architecture(checkpoint).startswith(kind)
    rows = dict(described(checkpoint, lambda *_: lambda _: None))
    assert (rows["layout"], rows["modules"]) == ("single file", "2")
    assert rows["can be merged"].endswith("it modifies a model but is not one.")
    with pytest.raises(BadInput, match="modifies a model but is not one"):
        require_known(checkpoint)


def test_rank_and_alpha_are_those_of_all_modules(tmp_path):
    tensors = {
        "lora_unet_a.lora_down.weight": torch.ones(8, 4),
        "lora_unet_a.alpha": torch.tensor(1.0),
        "lora_unet_b.lora_down.weight": torch.ones(16, 4, 3, 3),
        "lora_unet_b.alpha": torch.tensor(16.0),
        "unet.c.attn1.processor.to_q_lora.down.weight": torch.ones(2, 4),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    rows = dict(described(open_checkpoint(tmp_path / "x.safetensors"), lambda *_: lambda _: None))
    assert (rows["modules"], rows["rank"], rows["alpha"]) == ("3", "2 to 16", "1 to 16")


def test_an_alpha_that_numpy_cannot_read_is_that_of_the_metadata(opened):
    half = {part: value.bfloat16() for part, value in FACTORS.items()}
    for metadata, alpha in (({"ss_network_alpha": "4.0"}, "4"), ({"ss_network_alpha": "None"}, None)):
        rows = dict(described(opened(metadata, **half), lambda *_: lambda _: None))
        assert (rows["rank"], rows.get("alpha")) == ("4", alpha)
