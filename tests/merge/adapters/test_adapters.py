"""Adapters as changes of a checkpoint's tensors: by hand, however their keys are spelt, or not at all."""

import json
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.adapter_names import spellings
from gridsearch.checkpoint.ldm.shapes import file_shapes, parameter_rows
from gridsearch.checkpoint.sdxl.family import CLIP_G_MODEL, SDXL
from gridsearch.merge.adapters.adapter import open_adapter
from tests.helpers.parameters import CONV, IN_PROJ, LINEAR, PARAMETERS
from tests.helpers.tiny_components import write_configs


@pytest.fixture
def adapter(tmp_path):
    """Open a file of the given tensors (key=nested lists or tensors)."""

    def make(tensors, metadata=None, where=PARAMETERS):
        tensors = {key: torch.as_tensor(value).clone() for key, value in tensors.items()}
        save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
        return open_adapter("style", tmp_path / "x.safetensors", where)

    return make


def under(stem, **parts):
    return {f"{stem}.{part}": value for part, value in parts.items()}


def lora(stem, up=((1.0,), (2.0,)), down=((3.0, 4.0),), **parts):
    return under(stem, **parts) | {f"{stem}.lora_up.weight": up, f"{stem}.lora_down.weight": down}


# -- each kind, by hand


@pytest.mark.parametrize(
    ("kind", "parts", "key", "change"),
    [
        ("LoRA", lora("lora_unet_a_b"), LINEAR, [[3, 4], [6, 8]]),
        ("LoRA", lora("lora_unet_a_b", alpha=0.5), LINEAR, [[1.5, 2], [3, 4]]),
        (  # rank 2, so alpha 1 is a half
            "LoRA",
            lora("lora_unet_a_b", up=[[1.0, 0.0], [1.0, 1.0]], down=[[2.0, 4.0], [6.0, 8.0]], alpha=[1.0]),
            LINEAR,
            [[1, 2], [4, 6]],
        ),
        (
            "LoRA",
            lora("lora_unet_c", up=[[[[1.0]]], [[[2.0]]]], down=[[[[1.0, 2.0]], [[3.0, 4.0]]]], alpha=2),
            CONV,
            [[[[2, 4]], [[6, 8]]], [[[4, 8]], [[12, 16]]]],
        ),
        (  # core ((1, 2), (0, 1)) at the left, nothing at the right; up = down = 1
            "LoCon",
            lora("lora_unet_c", up=torch.eye(2)[..., None, None], down=torch.eye(2)[..., None, None])
            | {"lora_unet_c.lora_mid.weight": [[[[1.0, 0.0]], [[2.0, 0.0]]], [[[0.0, 0.0]], [[1.0, 0.0]]]]},
            CONV,
            [[[[1, 0]], [[2, 0]]], [[[0, 0]], [[1, 0]]]],
        ),
        (
            "LoHa",
            under(
                "lora_unet_a_b",
                hada_w1_a=[[1.0], [2.0]],
                hada_w1_b=[[3.0, 4.0]],
                hada_w2_a=[[1.0], [-1.0]],
                hada_w2_b=[[2.0, 1.0]],
                alpha=0.5,
            ),
            LINEAR,
            [[3, 2], [-6, -4]],
        ),
        (  # [out, in h w]: two columns of one input, then two of the other
            "LoHa",
            under(
                "lora_unet_c",
                hada_w1_a=[[1.0], [2.0]],
                hada_w1_b=[[1.0, 2.0, 3.0, 4.0]],
                hada_w2_a=[[1.0], [1.0]],
                hada_w2_b=[[1.0, 1.0, 1.0, 0.0]],
            ),
            CONV,
            [[[[1, 2]], [[3, 0]]], [[[2, 4]], [[6, 0]]]],
        ),
        (  # a is [r, out] here; the first factor is a t b, the second is one throughout
            "LoHa",
            under(
                "lora_unet_c",
                hada_w1_a=[[1.0, 2.0]],
                hada_w1_b=[[0.0, 1.0]],
                hada_t1=[[[[2.0, 3.0]]]],
                hada_w2_a=[[1.0, 1.0]],
                hada_w2_b=[[1.0, 1.0]],
                hada_t2=[[[[1.0, 1.0]]]],
            ),
            CONV,
            [[[[0, 0]], [[2, 3]]], [[[0, 0]], [[4, 6]]]],
        ),
        (  # both factors whole: alpha says nothing
            "LoKr",
            under("lora_unet_a_b", lokr_w1=[[1.0], [2.0]], lokr_w2=[[3.0, 4.0]], alpha=0.001),
            LINEAR,
            [[3, 4], [6, 8]],
        ),
        (
            "LoKr",
            under(
                "lora_unet_a_b", lokr_w1=[[2.0]], lokr_w2_a=[[1.0], [2.0]], lokr_w2_b=[[3.0, 4.0]], alpha=0.5
            ),
            LINEAR,
            [[3, 4], [6, 8]],
        ),
        (
            "LoKr",
            under(
                "lora_unet_a_b", lokr_w1_a=[[1.0], [2.0]], lokr_w1_b=[[3.0, 4.0]], lokr_w2=[[1.0]], alpha=3.0
            ),
            LINEAR,
            [[9, 12], [18, 24]],
        ),
        (
            "LoKr",
            under(
                "lora_unet_c",
                lokr_w1=[[1.0, 2.0]],
                lokr_w2_a=[[1.0, 2.0]],
                lokr_w2_b=[[1.0]],
                lokr_t2=[[[[1.0, 3.0]]]],
            ),
            CONV,
            [[[[1, 3]], [[2, 6]]], [[[2, 6]], [[4, 12]]]],
        ),
        ("full", under("lora_unet_a_b", diff=[[1.0, 2.0], [3.0, 4.0]], alpha=9.0), LINEAR, [[1, 2], [3, 4]]),
        ("norm", under("lora_unet_a_b", b_norm=[5.0, 6.0]), "model.diffusion_model.a.b.bias", [5, 6]),
    ],
)
def test_each_kind_by_hand(adapter, kind, parts, key, change):
    opened = adapter(parts)
    assert (tuple(opened.deltas), opened.kinds, opened.matched, opened.unused) == ((key,), {kind: 1}, 1, ())
    assert change_of(opened, key).tolist() == change


def change_of(opened, key):
    """The change, which is the same in pieces of any size."""
    change, (shape, piece) = opened.tensor(key), opened.pieces(key)
    ends = [*range(0, change.numel(), 3), change.numel()]
    assert shape == change.shape
    assert torch.equal(torch.cat([piece(slice(*here)) for here in pairwise(ends)]), change.reshape(-1))
    return change


def test_half_precision_is_multiplied_in_float32(adapter):
    up, down = torch.full((2, 1), 300.0).half(), torch.full((1, 2), 300.0).half()
    opened = adapter(lora("lora_unet_a_b", up=up, down=down, alpha=torch.tensor(0.5).half()))
    assert opened.tensor(LINEAR).dtype == torch.float32
    assert change_of(opened, LINEAR).tolist() == [[45000.0] * 2] * 2  # 90000 is over float16's 65504


def test_a_weight_may_come_with_a_bias_and_what_has_no_place_is_told(adapter):
    opened = adapter(
        lora("lora_unet_a_b", diff_b=[1.0, -1.0])
        | under("lora_unet_c", diff=torch.ones(2, 2, 1, 2), diff_b=[1.0, 1.0])  # unet.c has no bias
        | lora("lora_unet_not_there")
    )
    assert (opened.kinds, opened.matched) == ({"LoRA": 1, "full": 2}, 2)
    assert opened.tensor("model.diffusion_model.a.b.bias").tolist() == [1, -1]
    lost = (
        "lora_unet_c.diff_b",
        "lora_unet_not_there.lora_down.weight",
        "lora_unet_not_there.lora_up.weight",
    )
    assert sorted(opened.unused) == sorted(lost)


def test_rows_that_the_adapter_is_silent_about_are_zero_and_a_transposed_weight_is_turned(adapter):
    projection = lora("lora_te2_text_projection", up=[[1.0], [2.0]], down=[[1.0, 2.0, 3.0]])
    opened = adapter(lora("lora_te2_text_model_v_proj") | projection)
    assert change_of(opened, IN_PROJ).tolist() == [[0, 0]] * 4 + [[3, 4], [6, 8]]
    assert change_of(opened, "g.text_projection").tolist() == [[1, 2], [2, 4], [3, 6]]


# -- alpha, where it is not among the weights


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 1),
        ({"unet.lora_alpha": 3}, 1.5),
        ({"lora_alpha": 3}, 1.5),  # of a UNet that was saved by itself
        ({"text_encoder.lora_alpha": 3}, 1),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"b": 8}}, 4),
        ({"unet.lora_alpha": 3, "unet.alpha_pattern": {"a.b": 8, "b": 1}}, 4),
        ({"unet.lora_alpha": 2**0.5, "unet.use_rslora": True}, 1),
    ],
)
def test_alpha_is_read_from_what_diffusers_wrote(adapter, config, scale):
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    up, down = torch.eye(2), torch.eye(2)
    opened = adapter({"unet.a.b.lora_B.weight": up, "unet.a.b.lora_A.weight": down}, metadata)
    torch.testing.assert_close(opened.tensor(LINEAR), torch.eye(2) * scale)
    own = adapter(
        {"unet.a.b.lora_B.weight": up, "unet.a.b.lora_A.weight": down, "unet.a.b.alpha": 4.0}, metadata
    )
    assert own.tensor(LINEAR).tolist() == [[2, 0], [0, 2]]  # the module's own goes first


# -- each spelling


@pytest.fixture(scope="module")
def sdxl():
    return parameter_rows(SDXL.configs)


TO_Q = "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_q"
TO_OUT = TO_Q.replace("to_q", "to_out.0")
K_PROJ = "encoder.layers.3.self_attn.k_proj"


@pytest.mark.parametrize(
    ("parameter", "down"),
    [
        *[
            (f"unet.{TO_Q}.weight", key)
            for key in (
                "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_q.lora_down.weight",
                "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_q.lora_down.weight",
                "lycoris_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_q.lora_down.weight",
                f"unet.{TO_Q}.lora_A.weight",
                f"{TO_Q}.lora_A.weight",
                f"base_model.model.{TO_Q}.lora_A.weight",
                f"base_model.model.unet.{TO_Q}.lora_A.default.weight",
                f"unet.{TO_Q}.lora.down.weight",
                f"unet.{TO_Q.replace('to_q', 'processor.to_q_lora')}.down.weight",
                f"{TO_Q.replace('to_q', 'processor.to_q_lora')}.down.weight",
                "diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_q.lora_down.weight",
                "unet.input_blocks.4.1.transformer_blocks.1.attn2.to_q.lora_down.weight",
                f"unet.{TO_Q}.lora_A.style.weight",
                f"unet.{TO_Q}.lora_A.default_0.weight",
            )
        ],
        (f"unet.{TO_OUT}.weight", f"unet.{TO_Q.replace('to_q', 'processor.to_out_lora')}.down.weight"),
        ("unet.up_blocks.0.upsamplers.0.conv.weight", "lora_unet_output_blocks_2_2_conv.lora_down.weight"),
        ("unet.down_blocks.0.downsamplers.0.conv.weight", "lora_unet_input_blocks_3_0_op.lora_down.weight"),
        ("unet.mid_block.resnets.1.conv2.weight", "lora_unet_middle_block_2_out_layers_3.lora_down.weight"),
        ("unet.add_embedding.linear_1.weight", "lora_unet_label_emb_0_0.lora_down.weight"),
        *[
            (f"text_encoder.{K_PROJ}.weight", key)
            for key in (
                "lora_te1_text_model_encoder_layers_3_self_attn_k_proj.lora_down.weight",
                f"text_encoder.text_model.{K_PROJ}.lora_A.weight",
                f"text_encoder.{K_PROJ}.lora_A.weight",
                f"clip_l.text_model.{K_PROJ}.lora_down.weight",
                f"text_encoders.clip_l.transformer.text_model.{K_PROJ}.lora_down.weight",
                f"text_encoder.text_model.{K_PROJ}.lora_linear_layer.down.weight",
                f"text_encoder.text_model.{K_PROJ.replace('k_proj', 'to_k_lora')}.down.weight",
            )
        ],
        *[
            (f"text_encoder_2.text_model.{K_PROJ}.weight", key)
            for key in (
                "lora_te2_text_model_encoder_layers_3_self_attn_k_proj.lora_down.weight",
                f"text_encoder_2.text_model.{K_PROJ}.lora_A.weight",
                f"text_encoder_2.{K_PROJ}.lora_A.weight",
                f"text_encoders.clip_g.transformer.text_model.{K_PROJ}.lora_down.weight",
            )
        ],
    ],
)
def test_each_spelling_finds_its_rows(adapter, tmp_path, sdxl, parameter, down):
    (tmp_path / "adapter_config.json").write_text('{"r": 1, "lora_alpha": 1}')  # PEFT's layout needs it
    place = sdxl[parameter]
    up = down.replace("down.weight", "up.weight").replace("lora_A", "lora_B")
    kernel = place.shape[2:]
    tensors = {
        down: torch.ones(1, place.shape[1], *kernel),
        up: torch.ones(place.shape[0], 1, *[1] * len(kernel)),
    }
    opened = adapter(tensors, where=sdxl)
    assert (tuple(opened.deltas), opened.matched, opened.unused) == ((place.key,), 1, ())
    change = opened.tensor(place.key)
    assert change.shape == place.file_shape
    assert change.count_nonzero() == change[place.rows].count_nonzero() == change[place.rows].numel()


def test_every_parameter_has_one_place_and_the_places_fill_the_file(tmp_path):
    folder = write_configs(tmp_path)
    where, shapes = parameter_rows(folder), file_shapes(folder)
    covered = {key: torch.zeros(shape) for key, shape in shapes.items()}
    for place in where.values():
        assert covered[place.key].shape == place.file_shape
        covered[place.key][place.rows] += torch.ones(place.shape)
    assert all((count == 1).all() for count in covered.values())
    assert where["text_encoder_2.text_model.encoder.layers.0.self_attn.v_proj.bias"].rows == slice(96, 144)
    assert [name for name, place in where.items() if place.transposed] == [
        "text_encoder_2.text_projection.weight"
    ]
    assert where["text_encoder_2.text_projection.weight"].key == f"{CLIP_G_MODEL}text_projection"


def test_no_spelling_names_two_modules_of_sdxl(sdxl):
    modules = {name.rsplit(".", 1)[0] for name in sdxl if not name.startswith("vae.")}
    assert set(spellings(sdxl).values()) == modules


# -- what is refused


DOWN = torch.ones(1, 2)
WIDE = torch.ones(1, 320)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"lora_unet_a_b.lora_down.weight": DOWN}, "unet.a.b are incomplete"),
        ({"lora_unet_a_b.alpha": torch.tensor(1.0)}, "unet.a.b are incomplete"),
        (under("lora_unet_a_b", lokr_w1=DOWN, lokr_w2_a=DOWN), "unet.a.b are incomplete"),
        (lora("lora_unet_a_b", diff=torch.ones(2, 2)), "incomplete or ambiguous"),
        (lora("lora_unet_a_b") | lora("unet.a.b"), "has the (up|down) of unet.a.b twice"),
        (lora("lora_unet_a_b", down=torch.ones(1, 3)), r"(?s)unet.a.b does not fit.*\[2, 3\] .*\[2, 2\]"),
        (lora("lora_unet_a_b", down=torch.ones(3, 2)), r"(?s)does not fit.*down \[3, 2\]"),
        (lora("lora_te2_text_projection", up=torch.ones(3, 1)), r"\[3, 2\] in the adapter, \[2, 3\] in"),
        (under("lora_unet_c", **dict.fromkeys(("hada_w1_a", "hada_w2_a"), torch.ones(2, 1)), hada_w1_b=DOWN,
               hada_w2_b=torch.ones(1, 1)), "(?s)does not fit.*factors"),
        (under("lora_unet_a_b", lokr_w1=torch.ones(2048, 2048), lokr_w2=torch.ones(2048, 2048)),
         r"\[4194304, 4194304\] in the adapter"),
        (lora("lora_unet_a_b", alpha=torch.tensor(0.0)), "alpha is 0 for unet.a.b"),
        (lora("lora_unet_a_b", alpha=torch.tensor(float("nan"))), "alpha is nan"),
        (lora("lora_unet_a_b", alpha=torch.ones(2)), "not a single number"),
        (lora("lora_unet_a_b", down=torch.ones(1, 2, dtype=torch.int8)), "no numbers"),
        (lora("lora_unet_a_b", up=torch.ones(2, 0), down=torch.ones(0, 2)), "no numbers"),
        (under("lora_unet_a_b", weight=torch.ones(2)), "incomplete or ambiguous"),
        (under("lora_unet_a_b", weight=torch.ones(1), on_input=torch.tensor(0)), "1 factors of 2 outputs"),
        (under("lora_unet_a_b", oft_blocks=torch.ones(2, 2, 2)), "(?s)unet.a.b does not fit.*oft_blocks"),
        (under("lora_unet_a_b", oft_blocks=torch.ones(1, 1, 4, 4)), "1 blocks of 4 do not rotate 2 outputs"),
        (under("unet.a.b", **{"oft_R.weight": torch.ones(1, 2)}), "2 values do not rotate 2 inputs"),
        (under("unet.a.b", boft_R=torch.ones(2, 2, 1, 1), boft_s=torch.ones(2, 1)), "2 blocks of 1 do not"),
        (under("lora_unet_a_b", oft_diag=torch.ones(1, 2, 2)), "OFT as LyCORIS made it at first"),
        ({"base_model.model.a.b.oft_r": torch.ones(1, 2, 2)}, "OFT as PEFT made it before"),
        (under("unet.a.b", **{"oft_R.weight": DOWN}, dora_multiplier=torch.ones(2)), "DoRA on top of OFT"),
        (under("unet.a.b", **{"oft_R.weight": DOWN}, dora_scale=torch.ones(2, 1)), "incomplete or ambiguous"),
        (under("unet.a.b", **{"q_layer.weight": DOWN}, lambda_layer=torch.ones(1, 2)), "T-LoRA"),
        ({"base_model.model.a.b.vera_lambda_b": torch.ones(2)}, "VeRA, and its file lacks the two"),
        (lora("lora_unet_a_b", lokr_t1=torch.ones(1)), "part that is not known here: lora_unet_a_b.lokr_t1"),
        (lora("lora_te_text_model_encoder_layers_0_mlp_fc1"), "nothing that SDXL has.*Stable Diffusion 1.5"),
        (lora("lora_unet_double_blocks_0_img_attn_qkv"), "nothing that SDXL has.*Flux"),
        (lora("something_else"), "(?s)nothing that SDXL has.*look like something_else.lora_down.weight"),
        (lora("lora_unet_a_b", down=WIDE) | lora("lora_unet_down_blocks_0_attentions_0_proj_in"),
         "(?s)does not fit the checkpoint: its keys are those of Stable Diffusion 1.5"),
        ({}, "(?s)nothing that SDXL has.*empty"),
        ({"cond_stage_model.transformer.text_model.x": DOWN}, "Stable Diffusion 1.5 model, not an adapter"),
        ({"model.diffusion_model.a.b.weight": DOWN, "model.diffusion_model.time_embed.0.weight": DOWN},
         "This is a UNet without text encoders, not an adapter"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(adapter, tmp_path, tensors, says):
    with pytest.raises(BadInput, match=says) as caught:
        adapter(tensors)
    assert "x.safetensors" in str(caught.value)
    assert len(caught.value.lines) <= 4


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"unet.lora_alpha": "x"}', '{"unet.alpha_pattern": {"a.*": 2}}']
)
def test_options_that_cannot_be_read_are_refused(adapter, config):
    with pytest.raises(BadInput, match="options cannot be read"):
        adapter(lora("unet.a.b"), {"lora_adapter_metadata": config})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_a_change_that_is_not_finite_is_named_with_its_module(adapter, value):
    opened = adapter(lora("lora_unet_a_b", up=[[1.0], [value]]))
    with pytest.raises(BadInput, match=r"(?s)style has non-finite weights in unet\.a\.b.*lora_unet_a_b"):
        opened.tensor(LINEAR)


def test_a_pickle_is_not_opened(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(BadInput, match="pickle"):
        open_adapter("x", tmp_path / "x.pt", PARAMETERS)
