"""Inpainting models: their UNets read 9 channels, of which the first 4 are merged with others, on the toy."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import FIRST_CONV
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.checkpoint.inspect import described, open_any
from gridsearch.checkpoint.mergeable import merge_in_words
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import merge_of_trial
from gridsearch.merge.parents import open_parents, require_drawable
from gridsearch.search.plan import make_plan
from tests.helpers.layouts import save_folder, save_parts
from tests.helpers.program import gridsearch
from tests.helpers.small_run import Noting, Quiet
from tests.merge.toy_steps import TO_Q, experiment, settings


@pytest.fixture(scope="module")
def wide(toy, tmp_path_factory):
    """Two models that read 9 channels and one that reads 8, with burnt's weights and noise."""
    folder = tmp_path_factory.mktemp("wide")
    for seed, (name, more) in enumerate((("inpaint", 5), ("other", 5), ("pix2pix", 4))):
        generator = torch.Generator().manual_seed(seed)
        weights = {
            key: value + 0.01 * torch.randn(value.shape, generator=generator).to(value.dtype)
            for key, value in load_file(toy / "burnt.safetensors").items()
        }
        conv = weights[FIRST_CONV]
        behind = torch.randn(conv.shape[0], more, *conv.shape[2:], generator=generator).to(conv.dtype)
        save_file(weights | {FIRST_CONV: torch.cat([conv, behind], dim=1)}, folder / f"{name}.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in ("inpaint", "other", "pix2pix")}


def made(toy, wide, tmp_path, *steps, **changes):
    """The merge's tensors, and those of each model in float64; the notes are the third."""
    listener = Noting()
    paths = settings(toy)["models"] | wide
    what = experiment(toy, *steps, models=paths, **changes)
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", listener)
    weights = {name: {k: v.double() for k, v in load_file(path).items()} for name, path in paths.items()}
    return load_file(tmp_path / "m.safetensors"), weights, listener.notes


def same(merged, wanted):
    """Rounded once: half a unit in the last of float16's 11 bits."""
    torch.testing.assert_close(merged.double(), wanted, rtol=2**-11, atol=2**-25)


def test_a_difference_makes_an_inpainting_model_of_a_custom_one(toy, wide, tmp_path):
    """As everybody makes one: A the inpainting model, B the custom model, C the base."""
    step = {"method": "add_difference", "models": ["inpaint", "vpred", "base"], "ratio": 1.0}
    merged, of, notes = made(toy, wide, tmp_path, step)
    a, b, c = of["inpaint"], of["vpred"], of["base"]
    conv = merged[FIRST_CONV]
    assert conv.shape == a[FIRST_CONV].shape
    assert conv.shape[1] == 9
    same(conv[:, :4], a[FIRST_CONV][:, :4] + b[FIRST_CONV] - c[FIRST_CONV])
    assert torch.equal(conv[:, 4:].double(), a[FIRST_CONV][:, 4:])
    same(merged[TO_Q], a[TO_Q] + b[TO_Q] - c[TO_Q])
    assert (
        "The merge reads 9 channels, as inpaint does. The 5 that vpred does not read are left as they"
        in (notes[0])
    )
    log = json.loads((tmp_path / "m.merge.json").read_text("utf-8"))
    done = gridsearch("merge", "m.merge.json", "-o", "again.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()
    assert log["merge"] == "1 inpaint + 1 vpred + -1 base"


STEPS = {
    # A sum with an ordinary model, at its very end too
    "sum": ({"models": ["inpaint", "base"], "ratio": 0.25}, lambda x: 0.75 * x["inpaint"] + 0.25 * x["base"]),
    "end": ({"models": ["inpaint", "base"], "ratio": 1.0}, lambda x: x["base"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_sum_keeps_the_channels_of_the_first_model(toy, wide, tmp_path, name):
    step, formula = STEPS[name]
    merged, of, _ = made(toy, wide, tmp_path, step)
    convs = {model: weights[FIRST_CONV][:, :4] for model, weights in of.items()}
    same(merged[FIRST_CONV][:, :4], formula(convs))
    assert torch.equal(merged[FIRST_CONV][:, 4:].double(), of["inpaint"][FIRST_CONV][:, 4:])


def test_two_inpainting_models_are_merged_whole_and_stay_so_in_a_chain(toy, wide, tmp_path):
    """What both read is merged as any weight is; a later step with an ordinary model keeps that."""
    steps = (
        {"name": "custom", "models": ["vpred", "base"], "ratio": 0.5},
        {"name": "both", "models": ["inpaint", "other"], "ratio": 0.25},
        {"method": "add_difference", "models": ["both", "custom", "base"], "ratio": 0.5},
    )
    merged, of, _ = made(toy, wide, tmp_path, *steps)
    x = {model: weights[FIRST_CONV] for model, weights in of.items()}
    both = 0.75 * x["inpaint"] + 0.25 * x["other"]
    custom = 0.5 * x["vpred"] + 0.5 * x["base"]
    same(merged[FIRST_CONV][:, :4], both[:, :4] + 0.5 * (custom - x["base"]))
    same(merged[FIRST_CONV][:, 4:], both[:, 4:])


def test_methods_that_are_no_sums_keep_the_channels_too(toy, wide, tmp_path):
    step = {"method": "ties", "models": ["inpaint", "vpred", "base"], "ratio": 1.0, "k": 1.0}
    merged, of, _ = made(toy, wide, tmp_path, step)
    assert torch.equal(merged[FIRST_CONV][:, 4:].double(), of["inpaint"][FIRST_CONV][:, 4:])
    assert not torch.equal(merged[FIRST_CONV][:, :4].double(), of["inpaint"][FIRST_CONV][:, :4])


@pytest.mark.parametrize("kind", ["LoRA", "DoRA"])
def test_an_adapter_changes_the_channels_that_all_models_read(toy, wide, tmp_path, kind):
    conv = load_file(wide["inpaint"])[FIRST_CONV].double()
    generator, name = torch.Generator().manual_seed(9), "lora_unet_input_blocks_0_0"
    up = torch.randn(conv.shape[0], 2, 1, 1, generator=generator)
    down = 0.1 * torch.randn(2, 4, 3, 3, generator=generator)
    parts = {"lora_up.weight": up, "lora_down.weight": down, "alpha": torch.tensor(2.0)}
    if kind == "DoRA":
        parts["dora_scale"] = (
            1.5 * conv[:, :4].float().transpose(0, 1).flatten(1).norm(dim=1)[None, :, None, None]
        )
    save_file({f"{name}.{part}": value for part, value in parts.items()}, tmp_path / "style.safetensors")
    step = {"method": "adapter", "models": ["inpaint", "style"], "ratio": 0.5}
    merged, _, _ = made(toy, wide, tmp_path, step, adapters={"style": str(tmp_path / "style.safetensors")})
    change = torch.einsum("or,rikl->oikl", up[:, :, 0, 0].double(), down.double())
    if kind == "LoRA":
        wanted = conv[:, :4] + 0.5 * change
        rounding = 2**-11 * (wanted.abs() + 0.5 * change.abs()) + 2**-24  # of the change, and of the sum
        assert ((merged[FIRST_CONV][:, :4].double() - wanted).abs() <= rounding).all()
    else:
        assert not torch.equal(merged[FIRST_CONV][:, :4].double(), conv[:, :4])
    assert torch.equal(merged[FIRST_CONV][:, 4:].double(), conv[:, 4:])


@pytest.mark.parametrize(
    ("step", "said", "fix"),
    [
        (
            {"method": "add_difference", "models": ["vpred", "inpaint", "base"], "ratio": 1.0},
            "inpaint reads more channels than vpred, so it has to come first in step 'merged'",
            '["inpaint", "vpred", "base"]: at ratio 1 inpaint + (vpred - base) is the same sum.',
        ),
        (
            {"models": ["base", "inpaint"], "ratio": 0.25},
            "inpaint reads more channels than base",
            'Write models = ["inpaint", "base"], which turns the ratio round: 0 is the first model.',
        ),
        ({"models": ["pix2pix", "inpaint"], "ratio": 0.25}, "inpaint reads more channels than pix2pix", ""),
        ({"models": [["base", "inpaint"], "vpred"], "ratio": 0.25}, "base and inpaint are alternatives", ""),
    ],
)
def test_an_inpainting_model_elsewhere_than_first_is_refused_with_the_right_order(toy, wide, step, said, fix):
    what = experiment(toy, step, models=settings(toy)["models"] | wide)
    with pytest.raises(BadInput, match=said) as caught:
        open_parents(what)
    assert fix in caught.value.lines[-1]


def test_an_inpainting_model_is_not_drawn_and_the_command_that_merges_it_is_named(toy, wide, tmp_path):
    step = {"models": ["inpaint", "base"], "ratio": [0.25]}
    what = experiment(toy, step, models=settings(toy)["models"] | wide)
    parents = open_parents(what)
    for check in (lambda: make_plan(what, tmp_path / "x"), lambda: require_drawable(what, parents)):
        with pytest.raises(BadInput, match="inpaint cannot be drawn from a text alone") as caught:
            check()
        assert caught.value.lines[2:] == [
            "  why: its UNet reads 9 channels instead of 4",
            "  fix: Merge it without a search: gridsearch merge EXPERIMENT.toml -o FILE [--ratio VALUE]",
        ]


def test_what_an_inpainting_model_is_good_for_is_said_by_inspect(toy, wide, tmp_path):
    done = gridsearch("inspect", wide["inpaint"], "--config", toy / "config")
    assert "an SDXL inpainting model" in done.stdout
    words = merge_in_words(open_checkpoint(Path(wide["inpaint"])), toy / "config")
    assert words.startswith(
        "yes; its UNet reads 9 channels: gridsearch merge takes it as the first model of "
    )
    assert words in done.stdout


def test_an_inpainting_model_may_lend_its_text_encoders_to_a_run(toy, wide, tmp_path):
    lent = {"text_encoders": "inpaint"}  # whose UNet is not used
    step = {"models": ["base", "vpred"], "ratio": [0.5]}
    make_plan(experiment(toy, step, models=settings(toy)["models"] | wide, components=lent), tmp_path / "x")


def test_sd_mecha_has_no_layout_for_it(toy, wide, tmp_path):
    (tmp_path / "x.toml").write_text(
        f'''name = "x"
        models = {{ inpaint = "{wide["inpaint"]}", base = "{toy}/base.safetensors" }}
        merge = [{{ models = ["inpaint", "base"], ratio = 0.5 }}]
        prompt = [{{ text = "x" }}]
        render = {{ prediction_type = "v_prediction" }}'''
    )
    done = gridsearch("merge", "x.toml", "-o", "x.mecha", cwd=tmp_path)
    assert done.returncode == 2
    assert "sd-mecha cannot merge inpaint" in done.stderr


@pytest.mark.night
@pytest.mark.parametrize("layout", ["parts", "folder"])
def test_an_inpainting_model_in_another_layout_is_merged_to_the_same_weights(toy, wide, tmp_path, layout):
    """As a folder of diffusers is how SDXL's own is shared."""
    if layout == "parts":
        place = save_parts(Path(wide["inpaint"]), tmp_path / "parts")
    else:
        place = str(save_folder(toy, "burnt", tmp_path / "folder"))
        unet = tmp_path / "folder" / "unet" / "diffusion_pytorch_model.safetensors"
        weights = load_file(unet)
        save_file(weights | {"conv_in.weight": load_file(wide["inpaint"])[FIRST_CONV]}, unet)
    step = {"method": "add_difference", "models": ["inpaint", "vpred", "base"], "ratio": 1.0}
    models = settings(toy)["models"] | {"inpaint": place}
    what = experiment(toy, step, models=models)
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", Quiet())
    found = load_file(tmp_path / "m.safetensors")
    merged, _, _ = made(toy, wide, tmp_path, step)
    assert torch.equal(found[FIRST_CONV], merged[FIRST_CONV])
    if layout == "parts":
        assert all(torch.equal(found[key], value) for key, value in merged.items())
    else:
        said = dict(described(open_any(Path(place)), lambda *_: lambda _: None, toy / "config"))[
            "can be merged"
        ]
        assert said.startswith("yes; its UNet reads 9 channels")
