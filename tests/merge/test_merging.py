"""Recipes of every kind end to end, on the toy: live, exported and made again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.base.errors import BadInput, RunFailed
from gridsearch.checkpoint.identity import sha256_of
from gridsearch.checkpoint.sdxl.family import POSITION_IDS, SDXL
from gridsearch.experiment.prompts import cases_of
from gridsearch.experiment.recipe import Components, Model
from gridsearch.experiment.render_table import Render
from gridsearch.merge.export.export import export
from gridsearch.merge.export.single import merge_of_trial
from gridsearch.merge.parents import identify, open_parents, require_drawable
from gridsearch.merge.weights import adapter_notes, open_weights
from gridsearch.render import draw as draw_module
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.results import store
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import load_setup, merge_over
from tests.helpers.program import gridsearch
from tests.helpers.small_run import FILE, Noting, Quiet
from tests.merge.conftest import NAMES
from tests.merge.toy_steps import TE_FC, TO_Q, experiment, settings

VAE = "first_stage_model."


def with_adapter(toy: Path, path: Path, ratio, model: str = "base"):
    step = {"method": "adapter", "models": [model, "style"], "ratio": ratio, "extrapolate": True}
    return experiment(toy, step, adapters={"style": str(path)})


CHAIN = (
    {"name": "mixed", "models": ["base", "vpred"], "ratio": [0.7, 0.75]},
    {"name": "more", "method": "add_difference", "models": ["mixed", "burnt", "base"], "ratio": [0.05, 0.1]},
)


@pytest.mark.night
def test_a_chain_that_was_searched_is_made_again_byte_for_byte_wherever_its_models_are(toy, tmp_path):
    run_experiment(experiment(toy, *CHAIN), FILE, tmp_path / "x", Budget(), Quiet())
    trials = load_results(tmp_path / "x").trials
    wanted = trials[(trials["mixed.ratio"] == 0.75) & (trials["more.ratio"] == 0.1)]["trial"].item()
    made = tmp_path / "made.safetensors"
    assert gridsearch("export", tmp_path / "x", "--trial", wanted, "-o", made).returncode == 0

    log = json.loads((tmp_path / "made.merge.json").read_text("utf-8"))
    assert [step["ratio"] for step in log["record"]["merge"]] == [0.75, 0.1]
    assert log["merge"] == "0.15 base + 0.75 vpred + 0.1 burnt"
    assert gridsearch("merge", "made.merge.json", "-o", "again.safetensors", cwd=tmp_path).returncode == 0

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for i, name in enumerate(("base", "burnt", "vpred")):
        shutil.copy(toy / f"{name}.safetensors", elsewhere / f"{i}.safetensors")
    flags = [f"--model={name}=elsewhere/{i}.safetensors" for i, name in enumerate(("base", "burnt", "vpred"))]
    third = gridsearch("merge", "made.safetensors", *flags, "-o", "third.safetensors", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    models = "".join(f'{name} = "{toy}/{name}.safetensors"\n' for name in ("base", "burnt", "vpred"))
    (tmp_path / "x.toml").write_text(
        f"""name = "small"
        render = {{ prediction_type = "v_prediction" }}
        prompt = [{{ text = "x" }}]
        [models]
        {models}
        [[merge]]
        name = "mixed"
        models = ["base", "vpred"]
        ratio = [0.7, 0.75]
        [[merge]]
        name = "more"
        method = "add_difference"
        models = ["mixed", "burnt", "base"]
        ratio = [0.05, 0.1]"""
    )
    values = ("--ratio", "more.ratio=0.1", "--ratio", "mixed=0.75")
    assert gridsearch("merge", "x.toml", *values, "-o", "fourth.safetensors", cwd=tmp_path).returncode == 0
    for name in ("again", "third", "fourth"):
        assert (tmp_path / f"{name}.safetensors").read_bytes() == made.read_bytes(), name

    wrong = gridsearch("merge", "made.safetensors", *flags[::-1][:2], "-o", "no.safetensors", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--model base=FILE" in wrong.stderr
    swapped = [flags[0].replace("0.safe", "1.safe"), *flags[1:]]
    wrong = gridsearch("merge", "made.safetensors", *swapped, "-o", "no.safetensors", cwd=tmp_path)
    assert "base is not the file that was merged" in wrong.stderr
    assert not (tmp_path / "no.safetensors").exists()


BLOCKS = {"default": 0.3, "IN04": 0.7, "out.attention": 0.1, "te": 0.5}
RECIPES = {
    "per block": ({"models": ["base", "vpred"], "ratio": BLOCKS},),
    "adapter": (
        {"name": "mixed", "models": ["base", "vpred"], "ratio": 0.5},
        {"method": "adapter", "models": ["mixed", "style"], "ratio": {"unet": 0.55, "te": 0.2}},
    ),
    "dora": (
        {"name": "mixed", "models": ["base", "vpred"], "ratio": 0.5},
        {"method": "adapter", "models": ["mixed", "dora"], "ratio": {"unet": 0.55, "te": 0.2}},
    ),
    "median": ({"method": "geometric_median", "models": ["base", "vpred", "burnt"]},),
    "ties in a chain": (
        {"name": "mixed", "models": ["vpred", "burnt"], "ratio": 0.2},
        {"method": "ties", "models": ["base", "mixed", "vpred"], "ratio": 0.9, "k": 0.5},
    ),
    "average": ({"method": "average", "models": ["base", "vpred", "burnt"], "weights": [0.5, 0.2, 0.3]},),
}


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("dora", "ties in a chain") else pytest.param(name, marks=pytest.mark.night)
        for name in RECIPES
    ],
)
def test_what_is_merged_live_is_what_is_exported_bit_for_bit(toy, lora, dora, tmp_path, name):
    what = experiment(toy, *RECIPES[name], adapters={"style": str(lora), "dora": str(dora)})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    merge_over(setup, setup.weights.terms(what))
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", Quiet())
    fresh = load_renderer(tmp_path / "m.safetensors", toy / "config", None, placement("cpu", "float32"))
    for key, pieces in fresh.live.items():
        for mine, theirs in zip(setup.renderer.live[key], pieces, strict=True):
            assert torch.equal(mine.view, theirs.view), key
    sampling = sampling_of(what.render, setup.parents)
    drawn = [next(iter(draw(r, cases_of(what.prompt), sampling, 1))) for r in (setup.renderer, fresh)]
    assert np.array_equal(drawn[0].pixels, drawn[1].pixels)


def test_an_adapter_adds_its_strength_times_up_times_down(toy, lora, tmp_path):
    step = {"method": "adapter", "models": ["base", "style"], "ratio": {"unet": 0.5, "te": 0.0}}
    export(
        merge_of_trial(experiment(toy, step, adapters={"style": str(lora)}), {}),
        tmp_path / "m.safetensors",
        Quiet(),
    )
    merged, base, parts = (load_file(p) for p in (tmp_path / "m.safetensors", toy / "base.safetensors", lora))
    name = "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    change = parts[f"{name}.lora_up.weight"] @ parts[f"{name}.lora_down.weight"]
    # strength 0.5, alpha 1, rank 2; the change is rounded to the file's half precision, and then the sum
    wanted = base[TO_Q].double() + 0.25 * change.double()
    rounding = 2.0**-11 * (wanted.abs() + 0.25 * change.abs()) + 2.0**-24
    assert ((merged[TO_Q].double() - wanted).abs() <= rounding).all()
    assert torch.equal(merged[TE_FC], base[TE_FC])
    log = json.loads((tmp_path / "m.merge.json").read_text("utf-8"))
    assert log["adapters"]["style"] == {
        "modules_matched": 2,
        "weights_changed": 2,
        "kinds": {"LoRA": 2},
        "unused_keys": [],
    }


KINDS = {
    "DoRA": {"lora_up.weight": (48, 2), "lora_down.weight": (2, 48), "dora_scale": (48, 1)},
    "OFT": {"oft_blocks": (8, 6, 6)},
    "GLoRA": {"a1.weight": (48, 2), "a2.weight": (2, 48), "b1.weight": (48, 2), "b2.weight": (2, 48)},
    "(IA)^3": {"weight": (48,), "on_input": ()},
}


@pytest.mark.parametrize("kind", ["LoRA", *KINDS])
def test_what_of_an_adapter_finds_no_place_is_told_where_it_is_merged(toy, lora, tmp_path, kind):
    listener = Noting()
    parts = load_file(lora)
    if kind != "LoRA":
        shapes = KINDS[kind]
        parts = {f"{NAMES[TO_Q]}.{part}": torch.full(shape, 0.1) for part, shape in shapes.items()}
    lost = "lora_te3_x" + next(iter(parts)).removeprefix(NAMES[TO_Q])
    save_file(parts | {lost: torch.ones(2, 2)}, tmp_path / "more.safetensors")
    step = {"method": "adapter", "models": ["base", "style"], "ratio": 0.5}
    what = experiment(toy, step, adapters={"style": str(tmp_path / "more.safetensors")})
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", listener)
    (note,) = listener.notes
    changed = "2 weights, 2 modules (2 LoRA)" if kind == "LoRA" else f"1 weight, 1 module (1 {kind})"
    assert note == f"The adapter style changes {changed}; 1 of its keys has no place, {lost} first."
    assert adapter_notes(open_weights(what, open_parents(what), what.render.config).adapters) == [note]


@pytest.mark.parametrize(
    ("ids", "chosen"),
    [
        (torch.arange(77).half() * 0.98, None),
        (torch.arange(77).bfloat16() * 0.98, None),
        (torch.arange(77).float() * 0.98, "float16"),
        (torch.arange(77).to(torch.float8_e4m3fn), None),
        (torch.zeros(77, dtype=torch.int64), "bfloat16"),
    ],
)
def test_position_ids_are_counted_and_not_copied(toy, tmp_path, ids, chosen):
    """Merging tools have made 0.98, 1.96, ... of them, which others read as 0, 1, 2, 3, 4 with gaps."""
    spoilt = load_file(toy / "base.safetensors") | {POSITION_IDS: ids[None].clone()}
    save_file(spoilt, tmp_path / "spoilt.safetensors")
    what = experiment(toy, {"models": ["base", "vpred"], "ratio": 0.5})
    what = what.model_copy(
        update={"models": {**what.models, "base": Model(path=tmp_path / "spoilt.safetensors")}}
    )
    export(replace(merge_of_trial(what, {}), dtype=chosen), tmp_path / "m.safetensors", Quiet())
    written = load_file(tmp_path / "m.safetensors")[POSITION_IDS]
    assert written.dtype == torch.int64
    assert torch.equal(written, torch.arange(77)[None])


def test_prompts_are_encoded_again_only_when_the_text_encoders_have_changed(toy, lora, tmp_path, monkeypatch):
    encoded = []
    encode = draw_module.encode
    monkeypatch.setattr(draw_module, "encode", lambda *given: encoded.append(given) or encode(*given))
    step = {
        "method": "adapter",
        "models": ["base", "style"],
        "ratio": {"unet": [0.0, 0.5, 1.0], "te": [0.0, 0.5]},
    }
    what = experiment(toy, step, adapters={"style": str(lora)})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    sampling = sampling_of(what.render, setup.parents)
    counts = []
    for unet, te in ((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5)):
        values = {"merged.ratio.unet": unet, "merged.ratio.te": te}
        merge_over(setup, setup.weights.terms(what.at(values)))
        list(draw(setup.renderer, cases_of(what.prompt), sampling, 1))
        counts.append(len(encoded))
    assert counts == [1, 1, 1, 2, 2]


def test_a_vae_of_its_own_is_taken_as_it_is(toy, tmp_path):
    weights = load_file(toy / "vpred.safetensors")
    own = {
        key.removeprefix(VAE): value.float() + 0.25 for key, value in weights.items() if key.startswith(VAE)
    }
    save_file(own, tmp_path / "vae.safetensors")
    step = {"models": ["base", "vpred"], "ratio": 0.5}
    what = experiment(
        toy, step, components={"vae": str(tmp_path / "vae.safetensors"), "text_encoders": "vpred"}
    )
    export(merge_of_trial(what, {}), tmp_path / "m.safetensors", Quiet())
    merged = load_file(tmp_path / "m.safetensors")
    for key, value in own.items():
        assert torch.equal(merged[VAE + key], value)
    assert torch.equal(merged[TE_FC], weights[TE_FC])
    done = gridsearch("merge", "m.merge.json", "-o", "again.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def broken(toy, tmp_path, **changes):
    """A copy of burnt with some tensors changed, and the experiment that merges it."""
    save_file(load_file(toy / "burnt.safetensors") | changes, tmp_path / "burnt.safetensors")
    models = settings(toy)["models"] | {"burnt": str(tmp_path / "burnt.safetensors")}
    return experiment(toy, {"models": ["base", "burnt"], "ratio": [0.0, 0.5]}, models=models)


def test_a_nan_in_a_model_is_found_before_the_night(toy, tmp_path):
    key = "model.diffusion_model.out.2.bias"
    what = broken(toy, tmp_path, **{key: torch.full((4,), float("nan"))})
    with pytest.raises(BadInput, match=f"{key} holds a NaN") as caught:
        run_experiment(what, FILE, tmp_path / "x", Budget(), Quiet())
    assert "burnt.safetensors" in caught.value.lines[1]
    assert not (tmp_path / "x" / "study.db").exists()


def test_stray_keys_are_tolerated_and_listed(toy, tmp_path):
    strays = {"denoiser.sigmas": torch.ones(1000), "model_ema.decay": torch.tensor(0.5)}
    what = broken(toy, tmp_path, **strays)
    first = experiment(
        toy, {"models": ["burnt", "base"], "ratio": 0.5}, models={n: m.path for n, m in what.models.items()}
    )
    export(merge_of_trial(first, {}), tmp_path / "m.safetensors", Quiet())
    assert not strays.keys() & load_file(tmp_path / "m.safetensors").keys()
    log = json.loads((tmp_path / "m.merge.json").read_text("utf-8"))
    assert log["left_out"] == ["denoiser.sigmas", "model_ema.decay", "v_pred", "ztsnr"]


def test_another_adapter_or_another_recipe_is_another_run(toy, lora, tmp_path):
    def go(trials, *what, **changes):
        run_experiment(with_adapter(toy, *what, **changes), FILE, tmp_path / "x", Budget(trials), Quiet())

    go(1, lora, [0.0, 0.5])
    other = tmp_path / "other.safetensors"
    save_file({key: value * 2 for key, value in load_file(lora).items()}, other)
    with pytest.raises(BadInput, match="the file of style"):
        go(2, other, [0.0, 0.5])
    with pytest.raises(BadInput, match="the merge steps"):
        go(2, lora, 0.5)
    with pytest.raises(BadInput, match="the merge steps"):
        go(2, lora, [0.0, 0.5], model="burnt")
    go(2, lora, [0.0, 0.25, 0.5])


def test_of_every_file_only_what_is_merged_is_read_through_and_that_once(toy, lora, tmp_path):
    told = {}

    class Told(Quiet):
        def reading(self, name, total):
            assert name not in told
            told[name] = [total, 0]
            return lambda read: told[name].__setitem__(1, told[name][1] + read)

    wide = {key: value.float() for key, value in load_file(toy / "vpred.safetensors").items()}
    save_file(wide, tmp_path / "vpred.safetensors")
    models = settings(toy)["models"] | {"vpred": str(tmp_path / "vpred.safetensors")}
    steps = (
        {"name": "mixed", "models": ["base", "vpred"], "ratio": 0.5},
        {"method": "adapter", "models": ["mixed", "style"], "ratio": 0.5},
    )
    what = experiment(
        toy, *steps, models=models, adapters={"style": str(lora)}, components={"text_encoders": "burnt"}
    )
    setup = load_setup(what, open_parents(what), tmp_path, Told())
    assert all(read == total for total, read in told.values())
    weights = load_file(toy / "base.safetensors")
    of = {
        part: sum(value.nbytes for key, value in weights.items() if key.startswith(part))
        for part in ("model.", "conditioner.")
    }
    assert told["base"][0] == sum(v.nbytes for v in weights.values())  # its own renders are the reference
    assert told["vpred"][0] == 2 * of["model."]  # its VAE and its text encoders are not used
    assert told["burnt"][0] == of["conditioner."]
    assert setup.live.greatest["style"].keys() == {TO_Q}
    assert (
        setup.residence.sources == told["vpred"][0] + told["burnt"][0] + told["base"][0] - of["conditioner."]
    )


def test_the_record_of_a_run_says_what_each_model_was(toy):
    what = experiment(toy, {"models": ["base", "vpred"], "ratio": 0.5})
    found = identify(open_parents(what), Quiet().hashing)["vpred"]
    assert found["sha256"] == sha256_of(toy / "vpred.safetensors")
    assert found["short_hash"] == found["sha256"][:10]
    assert (found["layout"], found["dtype"]) == ("single file, original keys", "F16")
    assert (found["prediction_type"], found["prediction_type_source"]) == (
        "v_prediction",
        "marker key v_pred",
    )
    assert found["prediction_type_conflicts"] == []
    assert found["metadata"]["modelspec.architecture"] == "stable-diffusion-xl-v1-base"


def test_what_is_not_merged_has_no_say_in_how_the_merge_is_drawn(toy):
    files = {"a": "base", "b": "base", "v": "vpred"}
    same = {"models": {name: str(toy / f"{file}.safetensors") for name, file in files.items()}}
    step = {"models": ["a", "b"], "ratio": 0.5}
    for changes in ({"score": {"references": ["v"]}}, {"components": {"vae": "v"}, "score": {}}):
        what = experiment(toy, step, **(same | changes))
        parents = open_parents(what)
        require_drawable(what.model_copy(update={"render": Render()}), parents)
        assert not sampling_of(what.render, parents).zero_terminal_snr


def test_prompts_are_encoded_again_after_a_merge_that_failed_half_way(toy, lora, tmp_path):
    what = with_adapter(toy, lora, {"unet": [0.0, 1e5], "te": [0.0, 0.5]})
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    sampling = sampling_of(what.render, setup.parents)

    def drawn(unet, te):
        merge_over(setup, setup.weights.terms(what.at({"merged.ratio.unet": unet, "merged.ratio.te": te})))
        return next(iter(draw(setup.renderer, cases_of(what.prompt), sampling, 1))).pixels

    before = drawn(0.0, 0.0)
    with pytest.raises(RunFailed, match="non-finite"):
        drawn(1e5, 0.5)
    after = drawn(0.0, 0.5)
    setup.renderer.encoded.clear()
    assert np.array_equal(after, drawn(0.0, 0.5))
    assert not np.array_equal(after, before)


@pytest.mark.night
def test_a_run_of_before_there_were_components_is_what_it_was(toy, tmp_path):
    """All of a model was merged then, the VAE too."""
    what = experiment(toy, {"models": ["base", "vpred"], "ratio": [0.0, 0.5]}, components={"vae": "merged"})
    run_experiment(what, FILE, tmp_path / "x", Budget(trials=1), Quiet())
    with store.open_study(tmp_path / "x") as study:
        facts = study.user_attrs["facts"]
        earlier = {k: v for k, v in facts["experiment"].items() if k not in ("components", "adapters")}
        study.set_user_attr(
            "facts", {k: v for k, v in facts.items() if k != "extras"} | {"experiment": earlier}
        )
    run_experiment(what, FILE, tmp_path / "x", Budget(trials=2), Quiet())
    with pytest.raises(BadInput, match="the components"):
        run_experiment(
            what.model_copy(update={"components": Components()}), FILE, tmp_path / "x", Budget(), Quiet()
        )


def test_a_search_over_every_block_can_be_exported(toy, tmp_path):
    ratios = {block: [0.25, 0.5] for block in SDXL.blocks}
    what = experiment(toy, {"models": ["base", "vpred"], "ratio": ratios})
    fixed = merge_of_trial(what, dict.fromkeys(what.searched(), 0.5))
    export(fixed, tmp_path / "m.safetensors", Quiet())
    assert fixed.title == "small at 20 values"
