"""What other programs make of the same adapter files: diffusers with PEFT, and LyCORIS."""

import importlib
import json

import peft as peft_library
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import nn

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import UNET
from gridsearch.checkpoint.ldm.shapes import parameter_rows
from gridsearch.merge.adapters.adapter import open_adapter
from tests.helpers.parameters import CONV as CONV_KEY
from tests.helpers.parameters import LINEAR as LINEAR_KEY
from tests.helpers.parameters import PARAMETERS
from tests.helpers.tiny_components import file_state_dict, random_components, write_configs
from tests.merge.adapters.by_peft import by_peft, changed

STRENGTH = 0.55
UNET_LAYERS = (
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
    "proj_in",
    "proj_out",
    "net.0.proj",
    "net.2",
    "conv1",
    "conv2",
)
ENCODER_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_configs(tmp_path_factory.mktemp("tiny"))


def lora_layers(where):
    """The layers that people train, with a random up and down of varying rank: [(module, place, parts)]."""
    generator = torch.Generator().manual_seed(1)
    layers = []
    for name, place in where.items():
        module, leaf = name.rsplit(".", 1)
        ends = UNET_LAYERS if module.startswith("unet.") else ENCODER_LAYERS
        if leaf != "weight" or module.startswith("vae.") or not module.endswith(tuple(f".{e}" for e in ends)):
            continue
        rank = 2 + len(layers) % 3
        down = torch.randn(rank, *place.shape[1:], generator=generator)
        up = torch.randn(place.shape[0], rank, *[1] * (len(place.shape) - 2), generator=generator)
        layers.append((module, place, {"down": down, "up": up}))
    return layers


def kohya(layers):
    """As sd-scripts writes it: the UNet by its original names, the encoders as transformers 4 named them.

    One alpha for all: diffusers 0.42 loses those of its attention layers where they differ, and warns.
    """
    tensors = {}
    for module, place, parts in layers:
        component, name = module.split(".", 1)
        if component == "unet":
            stem = "lora_unet_" + place.key.removeprefix(UNET).removesuffix(".weight")
        else:
            number = 1 if component == "text_encoder" else 2
            stem = f"lora_te{number}_text_model.{name.removeprefix('text_model.')}"
        stem = stem.replace(".", "_")
        tensors |= {f"{stem}.lora_{part}.weight": tensor for part, tensor in parts.items()}
        tensors[f"{stem}.alpha"] = torch.tensor(1.5)
    return tensors, None


def peft(layers):
    """As diffusers writes it, without an alpha: strength one is up @ down."""
    names = {"down": "lora_A", "up": "lora_B"}
    tensors = {f"{m}.{names[part]}.weight": t for m, _, parts in layers for part, t in parts.items()}
    return tensors, None


def peft_with_options(layers):
    """As diffusers writes it after training: one rank, and alpha in the metadata, with an exception."""
    layers = [layer for layer in layers if layer[2]["down"].shape[0] == 2]
    options = {"r": 2, "lora_alpha": 3, "use_rslora": True}
    config = {}
    for component in ("unet", "text_encoder", "text_encoder_2"):
        targets = [m.split(".", 1)[1] for m, _, _ in layers if m.startswith(f"{component}.")]
        own = options | {"target_modules": targets, "alpha_pattern": {targets[0]: 7}}
        config |= {f"{component}.{key}": value for key, value in own.items()}
    return peft(layers)[0], {"lora_adapter_metadata": json.dumps(config)}


@pytest.mark.parametrize("layout", [kohya, pytest.param(peft, marks=pytest.mark.night), peft_with_options])
def test_diffusers_fuses_the_same_weights(tmp_path, folder, layout):
    components = random_components(folder, torch.float32)
    base = file_state_dict(components, torch.float32)
    path = tmp_path / "lora.safetensors"
    tensors, metadata = layout(lora_layers(parameter_rows(folder)))
    save_file(tensors, path, metadata=metadata)
    pipe = StableDiffusionXLPipeline(
        **components,
        tokenizer=None,
        tokenizer_2=None,
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    )
    pipe.load_lora_weights(str(path.parent), weight_name=path.name, local_files_only=True)
    pipe.fuse_lora(lora_scale=STRENGTH)
    pipe.unload_lora_weights()
    fused = file_state_dict(pipe.components, torch.float32)

    adapter = open_adapter("lora", path, parameter_rows(folder))
    assert adapter.unused == ()
    assert sum(not torch.equal(base[key], fused[key]) for key in base) == len(adapter.deltas)
    for key in base:
        ours = base[key] + STRENGTH * adapter.tensor(key) if key in adapter.deltas else base[key]
        torch.testing.assert_close(fused[key], ours, rtol=1e-5, atol=1e-5)


class Layers(nn.Module):
    """The UNet of `PARAMETERS`, under the names that PEFT sees."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Module()
        self.a.b = nn.Linear(2, 2)
        self.c = nn.Conv2d(2, 2, (1, 2), bias=False)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LoraConfig", {"r": 4, "lora_alpha": 2}),
        ("LoraConfig", {"r": 4, "lora_alpha": 2, "use_rslora": True}),
        ("LoraConfig", {"r": 4, "lora_alpha": 3, "use_dora": True}),
        ("LoraConfig", {"r": 4, "lora_alpha": 3, "rank_pattern": {"c": 2}, "alpha_pattern": {"a.b": 7}}),
        ("LoHaConfig", {"r": 3, "alpha": 5}),
        ("LoHaConfig", {"r": 3, "alpha": 5, "rank_pattern": {"b": 2}, "alpha_pattern": {"c": 1}}),
        ("LoKrConfig", {"r": 3, "alpha": 5, "decompose_factor": 2}),
        ("LoKrConfig", {"r": 1, "alpha": 5, "decompose_factor": 1, "alpha_pattern": {"c": 2}}),
        ("IA3Config", {"feedforward_modules": ["c"]}),
        ("IA3Config", {"feedforward_modules": ["a.b"]}),
    ],
)
def test_peft_merges_the_same_weights_from_a_file_and_its_options(tmp_path, kind, options):
    model = by_peft(tmp_path, Layers(), kind, target_modules=["a.b", "c"], **options)
    adapter = open_adapter("x", tmp_path / "adapter_model.safetensors", PARAMETERS)
    assert (adapter.matched, adapter.unused) == (2, ())
    before, after = Layers(), model.merge_and_unload()
    for key, layer in ((LINEAR_KEY, lambda x: x.a.b), (CONV_KEY, lambda x: x.c)):
        for leaf, parameter in layer(before).named_parameters():
            own = key.replace("weight", leaf)
            change = (getattr(layer(after), leaf) - parameter).detach()
            if leaf == "weight":
                assert change.abs().max() > 1e-3
            assert (own in adapter.deltas) or not change.any()
            if own in adapter.deltas:
                torch.testing.assert_close(changed(adapter, own, parameter), change, rtol=1e-5, atol=1e-6)


def test_a_peft_file_without_its_options_is_refused(tmp_path):
    config = peft_library.LoKrConfig(target_modules=["a.b"], r=1, decompose_factor=1, init_weights=False)
    peft_library.get_peft_model(Layers(), config).save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(BadInput, match=r"there is no adapter_config\.json beside it"):
        open_adapter("x", tmp_path / "adapter_model.safetensors", PARAMETERS)
    for config, words in (
        ('{"peft_type": "MISS"}', "PEFT's kind 'MISS'"),
        ('{"peft_type": "LOKR", "alpha": 2}', "has no rank"),
        ('{"peft_type": "LOKR", "r": 2}', "has no alpha"),
        ('{"peft_type": "LOKR", "r": 0, "alpha": 2}', "rank of unet.a.b is 0"),
        ("[1]", "not a JSON object"),
    ):
        (tmp_path / "adapter_config.json").write_text(config)
        with pytest.raises(BadInput, match=words):
            open_adapter("x", tmp_path / "adapter_model.safetensors", PARAMETERS)


DORA = {"weight_decompose": True}
LINEAR, CONV = "unet.mid_block.attentions.0.transformer_blocks.0.ff.net.2", "unet.mid_block.resnets.0.conv1"


@pytest.mark.parametrize(
    ("kind", "algorithm", "target", "options"),
    [
        ("LoRA", "locon.LoConModule", LINEAR, {}),
        ("LoRA", "locon.LoConModule", LINEAR, {"rs_lora": True}),
        ("LoRA", "locon.LoConModule", CONV, {}),
        ("LoCon", "locon.LoConModule", CONV, {"use_tucker": True}),
        ("LoHa", "loha.LohaModule", LINEAR, {}),
        ("LoHa", "loha.LohaModule", CONV, {}),
        ("LoHa", "loha.LohaModule", CONV, {"use_tucker": True}),
        ("LoKr", "lokr.LokrModule", LINEAR, {"factor": 2}),
        ("LoKr", "lokr.LokrModule", LINEAR, {"factor": 8, "decompose_both": True}),
        ("LoKr", "lokr.LokrModule", LINEAR, {"full_matrix": True}),
        ("LoKr", "lokr.LokrModule", CONV, {"factor": 2}),
        ("LoKr", "lokr.LokrModule", CONV, {"factor": 2, "use_tucker": True}),
        ("LoKr", "lokr.LokrModule", CONV, {"full_matrix": True}),
        ("DoRA", "locon.LoConModule", LINEAR, DORA),
        ("DoRA", "locon.LoConModule", LINEAR, DORA | {"wd_on_out": False}),
        ("DoRA", "locon.LoConModule", CONV, DORA | {"use_tucker": True}),
        ("DoRA", "locon.LoConModule", CONV, DORA | {"wd_on_out": False}),
        ("LoHa with DoRA", "loha.LohaModule", CONV, DORA),
        ("OFT", "diag_oft.DiagOFTModule", LINEAR, {}),
        ("OFT", "diag_oft.DiagOFTModule", CONV, {"lora_dim": 4, "rescaled": True}),
        ("OFT", "diag_oft.DiagOFTModule", LINEAR, {"lora_dim": 4, "constraint": 0.01}),
        ("BOFT", "boft.ButterflyOFTModule", LINEAR, {"lora_dim": 4}),
        ("BOFT", "boft.ButterflyOFTModule", CONV, {"lora_dim": 8, "rescaled": True}),
        ("BOFT", "boft.ButterflyOFTModule", LINEAR, {"lora_dim": 4, "constraint": 0.01}),
        ("GLoRA", "glora.GLoRAModule", LINEAR, {}),
        ("GLoRA", "glora.GLoRAModule", CONV, {}),
        ("(IA)^3", "ia3.IA3Module", LINEAR, {}),
        ("(IA)^3", "ia3.IA3Module", CONV, {}),
        ("(IA)^3", "ia3.IA3Module", LINEAR, {"train_on_input": True}),
        ("(IA)^3", "ia3.IA3Module", CONV, {"train_on_input": True}),
        ("LoKr with DoRA", "lokr.LokrModule", LINEAR, DORA | {"factor": 2, "wd_on_out": False}),
    ],
)
def test_a_layer_with_the_change_added_is_the_one_that_lycoris_trained(
    tmp_path, folder, kind, algorithm, target, options
):
    """Against its forward pass. (Its own merge of LoHa and LoKr, in 4.1.3, applies alpha over rank twice.)"""
    file, name = algorithm.split(".")
    algorithm = getattr(importlib.import_module(f"lycoris.modules.{file}"), name)
    torch.manual_seed(0)
    where = parameter_rows(folder)
    out, into = where[f"{target}.weight"].shape[:2]
    layer = nn.Linear(into, out) if target == LINEAR else nn.Conv2d(into, out, 3, padding=1)
    layer.requires_grad_(False)
    x = torch.randn(4, into) if target == LINEAR else torch.randn(1, into, 8, 8)
    module = algorithm("x", layer, 1.0, **({"lora_dim": 2, "alpha": 3.0} | options)).requires_grad_(False)
    for parameter in module.parameters():
        parameter.normal_()
    if hasattr(module, "dora_scale"):
        module.dora_scale.abs_().add_(0.5)
    stem = "lora_unet_" + where[f"{target}.weight"].key.removeprefix(UNET).removesuffix(".weight")
    saved = module.custom_state_dict() or module.state_dict()
    state = {f"{stem.replace('.', '_')}.{part}": tensor for part, tensor in saved.items()}
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / "x.safetensors")
    trained = module(x)

    adapter = open_adapter("x", tmp_path / "x.safetensors", where)
    assert (adapter.kinds, adapter.matched, adapter.unused) == ({kind: 1}, 1, ())
    for leaf, parameter in layer.named_parameters():
        if (key := where[f"{target}.{leaf}"].key) in adapter.deltas:
            parameter.add_(changed(adapter, key, parameter))
    torch.testing.assert_close(layer(x), trained, rtol=1e-5, atol=1e-4)
