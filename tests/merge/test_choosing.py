"""Which model or adapter is merged, searched like a number: live, exported and made again, on the toy."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gridsearch.app.live_report import write_results
from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.ldm.keys import is_vae
from gridsearch.experiment.experiment import parse_experiment
from gridsearch.merge.export.export import export
from gridsearch.merge.export.options import chosen_values
from gridsearch.merge.export.single import merge_of_trial
from gridsearch.merge.export.source import open_merge, write_recipe
from gridsearch.merge.parents import open_parents, require_drawable, warnings_about
from gridsearch.merge.weights import keys_read
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.results.results import load_results
from gridsearch.search.budget import Budget
from gridsearch.search.export import of_trial
from gridsearch.search.plan import make_plan
from gridsearch.search.run import run_experiment
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import load_setup, merge_over
from tests.helpers.small_run import FILE, Quiet
from tests.merge.toy_steps import experiment, settings

VAE_BIAS = "first_stage_model.decoder.conv_in.bias"


def assert_live_is_exported(what, parameters, setup, path, toy):
    """The live weights at these parameters, against a separate merge of the same, loaded fresh."""
    fixed = what.at(parameters)
    merge_over(setup, setup.weights.terms(fixed), fixed)
    export(merge_of_trial(what, parameters), path, Quiet())
    fresh = load_renderer(path, toy / "config", None, placement("cpu", "float32"))
    for key, pieces in fresh.live.items():
        for mine, theirs in zip(setup.renderer.live[key], pieces, strict=True):
            assert torch.equal(mine.view, theirs.view), (parameters, key)


@pytest.mark.night
def test_every_choice_merges_to_what_it_alone_would(toy, lora, tmp_path):
    """The first model's VAE goes with it, and of two adapters only the chosen one has a part."""
    own = load_file(toy / "vpred.safetensors")
    own[VAE_BIAS] = own[VAE_BIAS] + 0.25
    save_file(own, tmp_path / "vpred.safetensors")
    save_file({key: -2 * value for key, value in load_file(lora).items()}, tmp_path / "other.safetensors")
    what = experiment(
        toy,
        {"name": "mixed", "models": [["base", "vpred"], "burnt"], "ratio": 0.5},
        {"method": "adapter", "models": ["mixed", ["style", "other"]], "ratio": 0.5},
        models=settings(toy)["models"] | {"vpred": str(tmp_path / "vpred.safetensors")},
        adapters={"style": str(lora), "other": str(tmp_path / "other.safetensors")},
    )
    assert what.searched() == {"mixed.model_a": ("base", "vpred"), "merged.model_b": ("style", "other")}
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    read = keys_read(what, setup.weights)
    assert VAE_BIAS in read["vpred"]
    assert VAE_BIAS not in read["burnt"]
    for a in ("vpred", "base"):
        for b in ("style", "other"):
            parameters = {"mixed.model_a": a, "merged.model_b": b}
            assert_live_is_exported(what, parameters, setup, tmp_path / f"{a}-{b}.safetensors", toy)
            record = json.loads((tmp_path / f"{a}-{b}.merge.json").read_text("utf-8"))["record"]
            assert set(record["files"]) == {a, "burnt", b}
    assert load_file(tmp_path / "vpred-style.safetensors")[VAE_BIAS].equal(own[VAE_BIAS])


@pytest.mark.night
def test_a_search_among_models_is_kept_exported_and_made_again(toy, tmp_path):
    step = {"models": ["base", ["burnt", "vpred"]], "ratio": [0.25, 0.5]}
    what = experiment(toy, step)
    run_experiment(what, FILE, tmp_path / "x", Budget(), Quiet())
    results = load_results(tmp_path / "x")
    trials = results.trials
    assert list(trials["merged.model_b"]) == ["burnt", "vpred", "burnt", "vpred"]
    assert list(trials["ratio"]) == [0.25, 0.25, 0.5, 0.5]
    made = tmp_path / "made.safetensors"
    export(of_trial(results, 3, []), made, Quiet())

    alone = merge_of_trial(experiment(toy, step | {"models": ["base", "vpred"], "ratio": 0.5}), {})
    export(alone, tmp_path / "alone.safetensors", Quiet())
    exported, merged = load_file(made), load_file(tmp_path / "alone.safetensors")
    assert exported.keys() == merged.keys()
    assert all(exported[key].equal(merged[key]) for key in merged)

    models = "".join(f'{name} = "{toy}/{name}.safetensors"\n' for name in ("base", "burnt", "vpred"))
    (tmp_path / "x.toml").write_text(
        f"""name = "small"
        render = {{ prediction_type = "v_prediction" }}
        prompt = [{{ text = "x" }}]
        [models]
        {models}
        [[merge]]
        models = ["base", ["burnt", "vpred"]]
        ratio = [0.25, 0.5]"""
    )
    again = open_merge(tmp_path / "x.toml", ["merged.model_b=vpred", "merged=0.5"])
    export(again, tmp_path / "again.safetensors", Quiet())
    assert (tmp_path / "again.safetensors").read_bytes() == made.read_bytes()
    write_recipe(again, tmp_path / "again.mecha")
    assert "burnt" not in (tmp_path / "again.mecha").read_text("utf-8")

    longer = experiment(toy, step | {"models": ["base", ["burnt", "vpred", "base"]]})
    with pytest.raises(BadInput, match="the merge steps"):  # a list of words may not change
        run_experiment(longer, FILE, tmp_path / "x", Budget(), Quiet())


def test_a_model_is_named_on_the_command_line_from_its_list(toy):
    what = experiment(toy, {"models": ["base", ["burnt", "vpred"]], "ratio": [0.25, 0.5]})
    assert chosen_values(what, ["merged.model_b=vpred", "merged=0.3"]) == {
        "ratio": 0.3,
        "merged.model_b": "vpred",
    }
    with pytest.raises(BadInput) as caught:
        chosen_values(what, ["merged.model_b=vpredd", "ratio=0.3"])
    assert "The nearest is 'vpred'; there are burnt, vpred." in str(caught.value)
    with pytest.raises(BadInput, match="cannot be used"):
        chosen_values(what, ["merged.model_b=vpred", "ratio=vpred"])
    alone = experiment(toy, {"models": ["base", ["burnt", "vpred"]], "ratio": 0.5})
    assert chosen_values(alone, ["burnt"]) == {"merged.model_b": "burnt"}


def test_one_of_each_list_is_a_reference_and_all_are_opened(toy):
    what = experiment(toy, {"models": ["base", ["burnt", "vpred"]], "ratio": 0.5}, score={})
    assert what.reference_models() == ("base", "burnt")
    assert what.merged_models() == what.used_models() == ("base", "burnt", "vpred")
    assert set(open_parents(what).checkpoints) == {"base", "burnt", "vpred"}
    assert what.at({"merged.model_b": "vpred"}).merged_models() == ("base", "vpred")


def test_how_a_trial_is_drawn_follows_from_the_models_it_chose(toy, tmp_path):
    weights = load_file(toy / "vpred.safetensors")
    save_file({k: v for k, v in weights.items() if k != "ztsnr"}, tmp_path / "old.safetensors")
    what = experiment(
        toy,
        {"models": ["base", ["old", "vpred"]], "ratio": 0.5},
        models=settings(toy)["models"] | {"old": str(tmp_path / "old.safetensors")},
    )
    parents = open_parents(what)
    require_drawable(what, parents)
    drawn = {}
    for name in ("old", "vpred"):
        fixed = what.at({"merged.model_b": name})
        drawn[name] = sampling_of(fixed.render, parents.of(fixed))
        assert (
            drawn[name].zero_terminal_snr == merge_of_trial(what, {"merged.model_b": name}).zero_terminal_snr
        )
    assert (drawn["old"].zero_terminal_snr, drawn["vpred"].zero_terminal_snr) == (False, True)
    assert any("Of old, vpred only some were trained" in text for text in warnings_about(what, parents))
    open_mode = what.model_copy(update={"render": what.render.model_copy(update={"prediction_type": None})})
    with pytest.raises(BadInput, match="predict different things"):
        require_drawable(open_mode, parents)


def test_models_that_take_the_first_place_in_turn_must_be_kept_alike(toy, tmp_path):
    wide = {key: value.float() for key, value in load_file(toy / "vpred.safetensors").items()}
    save_file(wide, tmp_path / "wide.safetensors")
    models = settings(toy)["models"] | {"wide": str(tmp_path / "wide.safetensors")}
    open_parents(experiment(toy, {"models": ["base", ["burnt", "wide"]], "ratio": 0.5}, models=models))
    with pytest.raises(BadInput, match="differ in precision") as caught:
        open_parents(experiment(toy, {"models": [["base", "wide"], "burnt"], "ratio": 0.5}, models=models))
    assert "is F16 in base and F32 in wide" in str(caught.value)


WRONG = {
    "no such model": (["a", ["b", "bb"]], "uses 'bb', which is not a known model", "'b'"),
    "a step in a list": (["a", ["b", "first"]], "'first' is a step", "only name models"),
    "an adapter in a list": (["a", ["b", "style"]], "is an adapter", 'method = "adapter"'),
    "twice": (["a", ["b", "b"]], "merge[1].models[1]", "listed twice"),
    "none": (["a", []], "merge[1].models[1]", "at least 1"),
    "a table": (["a", {"x": "b"}], "merge[1].models[1]", "a list of values"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_list_is_told_what_where_and_how_to_mend(case):
    models, what, fix = WRONG[case]
    with pytest.raises(BadInput) as caught:
        parse_experiment(
            {
                "name": "x",
                "models": {name: f"{name}.safetensors" for name in ("a", "b", "c")},
                "adapters": {"style": "style.safetensors"},
                "merge": [
                    {"name": "first", "models": ["a", "b"], "ratio": 0.5},
                    {"models": models, "ratio": 0.5},
                    {"name": "last", "models": ["merged", "first"], "ratio": 0.5},
                ],
                "prompt": [{"text": "t"}],
            },
            Path(),
            "x.toml",
        )
    assert what in str(caught.value)
    assert fix in str(caught.value)
    assert len(caught.value.lines) <= 4


def other_vae(toy: Path, path: Path, shift: float, dtype: torch.dtype = torch.float16) -> str:
    """A VAE's own file, the toy's with another bias, in the original layout without its prefix."""
    prefix = VAE_BIAS.partition(".")[0] + "."
    own = {k.removeprefix(prefix): v for k, v in load_file(toy / "vpred.safetensors").items() if prefix in k}
    own = {key: value.to(dtype) for key, value in own.items()}
    own["decoder.conv_in.bias"] += shift
    save_file(own, path)
    return str(path)


@pytest.mark.night
def test_every_method_and_vae_of_a_choice_merges_to_what_it_alone_would(toy, tmp_path):
    """A wide VAE's file is not rounded to the models' precision, and the merged one is."""
    wide = other_vae(toy, tmp_path / "wide.safetensors", 0.1, torch.float32)
    own = load_file(toy / "vpred.safetensors")
    own[VAE_BIAS] = own[VAE_BIAS] + 0.25
    save_file(own, tmp_path / "vpred.safetensors")
    what = experiment(
        toy,
        {
            "models": ["base", "burnt", "vpred"],
            "method": ["ties", "add_difference", "average"],
            "ratio": {"default": 0.5, "vae": 0.25},
            "k": 0.3,
        },
        models=settings(toy)["models"] | {"vpred": str(tmp_path / "vpred.safetensors")},
        components={"vae": [wide, "vpred", "merged"]},
    )
    setup = load_setup(what, open_parents(what), tmp_path, Quiet())
    read = keys_read(what, setup.weights)
    assert all(VAE_BIAS in read[name] for name in ("base", "burnt", "vpred", wide))
    assert all(is_vae(key) for key in read[wide])
    wide_name = "wide.safetensors"
    for method, vae in zip(
        ("ties", "add_difference", "average", "average", "average"),
        (wide_name, "vpred", "merged", wide_name, "vpred"),
        strict=True,
    ):
        parameters = {"merged.method": method, "components.vae": vae}
        assert_live_is_exported(what, parameters, setup, tmp_path / f"{method}-{vae}.safetensors", toy)
    kept = {vae: load_file(tmp_path / f"average-{vae}.safetensors")[VAE_BIAS] for vae in ("vpred", "merged")}
    kept["wide"] = load_file(tmp_path / "average-wide.safetensors.safetensors")[VAE_BIAS]
    assert [kept[name].dtype for name in ("wide", "vpred", "merged")] == [torch.float32, *[torch.float16] * 2]
    assert not kept["vpred"].equal(kept["merged"])


@pytest.mark.night
def test_a_search_among_words_is_planned_run_resumed_and_exported(toy, tmp_path):
    """Two methods, one with a share of its own; two VAEs, samplers and unconditional embeddings."""
    first, second = (other_vae(toy, tmp_path / f"{name}.safetensors", 0.3 * i) for i, name in enumerate("xy"))
    tables = {
        "render": settings(toy)["render"] | {"sampler": ["Euler a", "DDIM"], "unconditional": ["empty"]},
        "components": {"vae": [first, second]},
    }
    step = {"models": ["base", "burnt", "vpred"], "method": ["ties", "model_stock"], "k": [0.2, 0.5]}
    what = experiment(toy, step, **tables)
    plan = make_plan(what, tmp_path / "x")
    assert plan.trials == 12  # (2 shares of ties + 1 of model_stock) x 2 VAEs x 2 samplers
    assert set(plan.parents.extras) == {"x.safetensors", "y.safetensors"}
    assert [row["value"] for row in plan.settings if row["setting"] == "sampler"] == ["searched"]
    assert "The references are rendered at sampler euler_a." in plan.warnings

    run_experiment(what, FILE, tmp_path / "x", Budget(trials=5), Quiet())
    assert not load_results(tmp_path / "x").finished
    (tmp_path / "moved").mkdir()
    for name in "xy":
        (tmp_path / f"{name}.safetensors").rename(tmp_path / "moved" / f"{name}.safetensors")
    tables["components"] = {"vae": [str(tmp_path / "moved" / f"{name}.safetensors") for name in "xy"]}
    run_experiment(experiment(toy, step, **tables), FILE, tmp_path / "x", Budget(), Quiet())
    results = load_results(tmp_path / "x")
    trials = results.trials
    assert results.finished
    assert len(trials) == 12
    names = ["merged.method", "merged.k", "components.vae", "render.sampler", "render.unconditional"]
    assert list(results.parameters) == names
    assert len(trials.groupby(names)) == 12
    assert set(trials["components.vae"]) == {"x.safetensors", "y.safetensors"}
    weights = results.images.groupby(["merged.method", "merged.k", "components.vae"])["weights"].nunique()
    assert (weights == 1).all()
    assert results.images["weights"].nunique() == 6
    assert results.images["digest"].nunique() == len(results.images)

    write_results(tmp_path / "x", sheets=False)
    best = json.loads((tmp_path / "x" / "best.json").read_text("utf-8"))
    (fixed,) = best["recipe"]["merge"]
    assert fixed["method"] == best["parameters"]["merged.method"]
    assert ("k" in fixed) == (fixed["method"] == "ties")
    assert best["recipe"]["components"]["vae"].endswith(best["parameters"]["components.vae"])
    assert best["recipe"]["render"]["sampler"] == best["parameters"]["render.sampler"]
    assert set(best["extras"]) == {"x.safetensors", "y.safetensors"}

    chosen = (trials["merged.method"] == "model_stock") & (trials["components.vae"] == "y.safetensors")
    number = int(trials[chosen]["trial"].iloc[0])
    moved = f"vae={tmp_path / 'moved' / 'y.safetensors'}"
    export(of_trial(results, number, [moved]), tmp_path / "made.safetensors", Quiet())
    alone = {"models": ["base", "burnt", "vpred"], "method": "model_stock"}
    one = experiment(toy, alone, components={"vae": str(tmp_path / "moved" / "y.safetensors")})
    export(merge_of_trial(one, {}), tmp_path / "alone.safetensors", Quiet())
    made, wanted = load_file(tmp_path / "made.safetensors"), load_file(tmp_path / "alone.safetensors")
    assert all(made[key].equal(wanted[key]) for key in wanted)

    other_vae(toy, tmp_path / "moved" / "y.safetensors", 0.9)
    with pytest.raises(BadInput, match="vae is not the file that was merged"):
        export(of_trial(results, number, [moved]), tmp_path / "again.safetensors", Quiet())
    with pytest.raises(BadInput, match=r"the file of y\.safetensors"):
        run_experiment(experiment(toy, step, **tables), FILE, tmp_path / "x", Budget(), Quiet())
