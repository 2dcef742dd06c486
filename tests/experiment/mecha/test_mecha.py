"""Recipes of sd-mecha, written and read: sd-mecha itself is the oracle."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from gridsearch.base.errors import BadInput
from gridsearch.checkpoint.family import VAE
from gridsearch.checkpoint.ldm.keys import block_of
from gridsearch.checkpoint.sdxl.family import BLOCKS, SDXL
from gridsearch.experiment.mecha.read import read_mecha
from gridsearch.experiment.mecha.write import mecha_text
from gridsearch.experiment.recipe import Model, Recipe
from gridsearch.merge.engine.collapse import SUM, Node, terms_of
from gridsearch.merge.engine.methods import CHANGES, MADE_HERE
from tests.helpers.mecha import KEYS, furthest, our_weights, theirs

MODELS = {"a": "a.safetensors", "b": "b.safetensors", "c": "c.safetensors"}


def recipe(*steps, text_encoders="merged", vae="merged", models=MODELS):
    return Recipe(models=models, merge=steps, components={"text_encoders": text_encoders, "vae": vae})


def step(method, *models, name="merged", **numbers):
    return {"name": name, "method": method, "models": models, **numbers}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three small files of one origin, with differences of several sizes."""
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(1)
    base = {key: torch.randn(24, 36, generator=generator) for key in KEYS}
    for name, file in MODELS.items():
        own = {key: 0.1 * torch.randn(24, 36, generator=generator) for key in KEYS}
        tensors = {key: (base[key] + (own[key] if name != "a" else 0)).half() for key in KEYS}
        save_file(tensors, folder / file)
    return folder


def at(folder, ours):
    """The recipe on the files in a folder."""
    return ours.model_copy(
        update={"models": {name: Model(path=folder / m.path) for name, m in ours.models.items()}}
    )


PER_BLOCK = {"default": 0.3, "IN03-IN05": 0.7, "out": 0.1, "M00": 1.0, "OUT02": 0.0, f"{VAE}*": 0.45}
CASES = {
    "weighted_sum": recipe(step("weighted_sum", "a", "b", ratio=0.3)),
    "outside": recipe(step("weighted_sum", "a", "b", ratio=-0.4)),
    "chain": recipe(
        step("weighted_sum", "a", "b", ratio=0.3, name="s"), step("weighted_sum", "s", "c", ratio=0.25)
    ),
    "blocks": recipe(step("weighted_sum", "a", "b", ratio=PER_BLOCK)),
    "add_difference": recipe(step("add_difference", "a", "b", "c", ratio=0.7)),
    "difference_of_steps": recipe(
        step("add_difference", "a", "b", "c", ratio=PER_BLOCK, name="s"),
        step("add_difference", "s", "c", "a", ratio=0.5),
    ),
    "average": recipe(step("average", "a", "b", "c")),
    "weighted_average": recipe(step("average", "a", "b", "c", weights=[1, -2, 3.5])),
    "free_weights_of_one": recipe(step("average", "a", "b", weights=[0.25, 0.75], normalize=False)),
    "slerp": recipe(step("slerp", "a", "b", ratio=0.3)),
    "slerp_blocks": recipe(step("slerp", "a", "b", ratio=PER_BLOCK)),
    "cosine_a": recipe(step("cosine_a", "a", "b", ratio=0.3)),
    "cosine_b": recipe(step("cosine_b", "a", "b", ratio=0.3)),
    "train_difference": recipe(step("train_difference", "a", "b", "c", ratio=0.6)),
    "train_difference_blocks": recipe(step("train_difference", "a", "b", "c", ratio=PER_BLOCK)),
    "ties": recipe(step("ties", "a", "b", "c", ratio=0.7, k=0.3)),
    "ties_by_count": recipe(step("ties", "a", "b", "c", ratio=0.7, k=0.3, vote="count")),
    "ties_blocks": recipe(step("ties", "a", "b", "c", ratio=PER_BLOCK, k=0.3)),
    "dare_ties": recipe(step("dare_ties", "a", "b", "c", ratio=0.7, k=0.3, probability=0.5, seed=7)),
    "della": recipe(
        step("della", "a", "b", "c", k=0.5, probability=0.6, della_eps=0.3, seed=2**40, ranks="tensor")
    ),
    "della_median": recipe(
        step("della", "a", "b", "c", "a", k=1.0, probability=0.1, della_eps=-0.1, seed=3, ranks="tensor")
        | {"combine": "median", "rescale": False}
    ),
    "dare_stock": recipe(
        step("dare_ties", "a", "b", "c", ratio=0.7, k=0.3, probability=0.5, seed=7, combine="stock")
    ),
    "ties_median": recipe(step("ties", "a", "b", "c", k=0.3, combine="median", vote="count")),
    "ties_stock": recipe(step("ties", "a", "b", "c", ratio=0.7, combine="stock")),
    "model_stock": recipe(step("model_stock", "a", "b", "c", ratio=0.8, cosine="rows")),
    "geometric_median": recipe(step("geometric_median", "a", "b", "c")),
    "add_perpendicular": recipe(step("add_perpendicular", "a", "b", "c", ratio=0.7)),
    "perpendicular_steps": recipe(
        step("add_perpendicular", "a", "b", "c", ratio=PER_BLOCK, name="s"),
        step("add_perpendicular", "c", "s", "b", ratio=0.5),
    ),
    "low_rank": recipe(step("low_rank", "a", "b", ratio=0.7, rank=5)),
    "low_rank_of_steps": recipe(
        step("low_rank", "b", "a", ratio=PER_BLOCK, rank=3, name="s"),
        step("low_rank", "c", "s", rank=7),
    ),
    "tensor_sum": recipe(step("tensor_sum", "a", "b", ratio=0.3, offset=0.2)),
    "tensor_sum_blocks": recipe(step("tensor_sum", "a", "b", ratio=PER_BLOCK, offset=0.8)),
    "top_k_tensor_sum": recipe(step("top_k_tensor_sum", "a", "b", ratio=0.6)),
    "top_k_blocks": recipe(step("top_k_tensor_sum", "a", "b", ratio=PER_BLOCK)),
    "clamp": recipe(
        step("add_difference", "a", "b", "c", ratio=0.7, name="s"),
        step("clamp", "s", "a", "b", stiffness=0.25),
    ),
    "nested": recipe(
        step("slerp", "a", "b", ratio=0.4, name="s"),
        step("ties", "a", "s", "c", ratio=0.7, name="t"),
        step("weighted_sum", "t", "s", ratio=0.5),
    ),
    "lent_vae": recipe(step("weighted_sum", "a", "b", ratio=0.3), vae="b"),
    "lent_to_a_nonlinear": recipe(step("ties", "a", "b", "c"), vae="a", text_encoders="a"),
    "lent_by_two": recipe(
        step("weighted_sum", "a", "b", ratio={"unet": 0.3, "IN04": 0.5}), vae="b", text_encoders="c"
    ),
    "alias": recipe(
        step("weighted_sum", "a", "b", ratio=0.3, name="s"),
        step("weighted_sum", "a", "c", ratio=0.3, name="t"),
        step("average", "s", "t", weights=[1, 0]),
    ),
}


# Of each kind one at once; sd-mecha takes half a second for any recipe, and the others are for the nights.
QUICK = ("blocks", "difference_of_steps", "dare_ties", "lent_by_two")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.night) for name in CASES]
)
def test_sd_mecha_merges_what_is_written_to_the_same_weights(name, folder):
    ours = at(folder, CASES[name])
    merged = theirs(mecha_text(ours))
    assert set(KEYS) <= merged.keys()
    # nor does sd-mecha iterate the median to its end
    exact = not any(step.method in [*CHANGES, *MADE_HERE, "geometric_median"] for step in ours.merge)
    assert furthest(merged, our_weights(ours), exact) <= 1


OF_DIFFERENCES = """
merge "subtract" &1 &0
merge "subtract" &2 &0
merge "subtract" &2 &1
merge "weighted_sum" &3 &4 alpha=0.3
merge "scale" &4 alpha=0.5
merge "add_difference" &6 &5 alpha=0.4
merge "ties_sum" &3 &5 &4 vote_sgn=true
merge "geometric_median" &3 &4 &8
merge "add_difference" &9 &10 0.2
merge "truncate_rank" &11 rank=5 use_approximate_basis=false
merge "ties_sum_with_dropout" &12 &4 &4 probability=0.3 k=1.0 rescale=0.0 apply_median=true
merge "add_difference" &0 &13 0.8"""


@pytest.mark.night
def test_differences_of_differences_are_sd_mechas(folder):
    """From several models, summed, scaled, elected and cut before one is added; a dropout without a seed.

    All values are kept: which one is the last of a share may depend on rounding.
    """
    pytest.importorskip("sd_mecha")
    config = 'model_config="sdxl-sgm" merge_space="weight"'
    models = "\n".join(f'model "{folder / file}" {config}' for file in MODELS.values())
    text = f"version 0.1.0\n{models}{OF_DIFFERENCES}"
    (folder / "x.mecha").write_text(text)
    ours = our_weights(read_mecha(folder / "x.mecha"))
    assert furthest(theirs(text), ours, exact=False) <= 1


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_read_back_to_the_same_weights(name, tmp_path):
    path = tmp_path / "x.mecha"
    path.write_text(mecha_text(CASES[name]))
    back = read_mecha(path)
    assert {n: m.path for n, m in back.models.items()} == {n: tmp_path / MODELS[n] for n in back.models}
    same_terms(terms_of(CASES[name], KEYS), terms_of(back, KEYS))


def same_terms(one, other):
    for key in one:
        assert close(one[key], other[key]), key


def close(one, other):
    """Whether two sums are alike but for the last digits."""
    one, other = unfolded(one), unfolded(other)
    return one.keys() == other.keys() and all(
        one[name][1] == pytest.approx(other[name][1], rel=1e-9, abs=1e-12)
        and (isinstance(one[name][0], str) or all(map(close, one[name][0].inputs, other[name][0].inputs)))
        for name in one
    )


def key(source):
    """The identity of a source, whatever the last digits inside it are."""
    if not isinstance(source, Node):
        return source
    inputs = tuple(frozenset(unfolded(terms)) for terms in source.inputs)
    return source.method, tuple(sorted(source.numbers)), inputs


def unfolded(terms):
    """The sources of a sum and of the sums in it, with their weights, by what they are.

    Which of many are added first, and so the last digits, depends on the steps.
    """
    found = {}
    for source, weight in terms:
        is_sum = isinstance(source, Node) and source.method == SUM
        within = unfolded(source.inputs[0]) if is_sum else {key(source): (source, 1.0)}
        for name, (own, share) in within.items():
            found[name] = own, weight * share + (found[name][1] if name in found else 0.0)
    return {name: one for name, one in found.items() if abs(one[1]) > 1e-12}


# -- any recipe

NUMBER = st.floats(-2, 2).map(lambda x: x or 0.0)
TABLE = st.dictionaries(
    st.sampled_from(["unet", "in", "mid", "out", "IN03-IN05", *BLOCKS[1:-1], f"{VAE}*"]), NUMBER, max_size=6
).map(lambda blocks: {"default": 0.5, **blocks, "time": 0.25, "te": 0.25})
RATIO = NUMBER | TABLE
SHARE = st.floats(0, 1)
BLOCK_SHARES = st.dictionaries(st.sampled_from(["unet", "out", "IN03-IN05"]), SHARE).map(
    lambda blocks: {"default": 0.5, **blocks, "time": 0.25, "te": 0.25}
)
SHARE_RATIO = SHARE | BLOCK_SHARES
VOTE = st.sampled_from(["magnitude", "count"])
COMBINE = st.sampled_from(["mean", "median", "stock"])
ARGUMENTS = {
    "weighted_sum": (2, {"ratio": RATIO}),
    "add_difference": (3, {"ratio": RATIO}),
    "slerp": (2, {"ratio": RATIO}),
    "cosine_a": (2, {"ratio": RATIO}),
    "cosine_b": (2, {"ratio": RATIO}),
    "train_difference": (3, {"ratio": RATIO}),
    "ties": (3, {"ratio": RATIO, "k": SHARE, "vote": VOTE, "combine": COMBINE}),
    "dare_ties": (3, {"ratio": RATIO, "k": SHARE, "seed": st.integers(0, 2**63 - 1)}),
    "della": (
        3,
        {
            "ratio": RATIO,
            "probability": st.floats(0, 0.99),
            "della_eps": st.floats(-1, -0.01) | st.floats(0.01, 1),
            "rescale": st.booleans(),
            "combine": COMBINE,
            "ranks": st.just("tensor"),
        },
    ),
    "model_stock": (3, {"ratio": RATIO, "cosine": st.just("rows")}),
    "geometric_median": (3, {}),
    "add_perpendicular": (3, {"ratio": RATIO}),
    "low_rank": (2, {"ratio": RATIO, "rank": st.integers(1, 1000)}),
    "tensor_sum": (2, {"ratio": SHARE_RATIO, "offset": SHARE}),
    "top_k_tensor_sum": (2, {"ratio": SHARE_RATIO}),
    "clamp": (3, {"stiffness": SHARE}),
    "average": (3, {"weights": st.tuples(*[st.floats(0.1, 3)] * 3)}),
}


@st.composite
def recipes(draw):
    steps, known = [], list(MODELS)
    count = draw(st.integers(1, 4))
    for i in range(count):
        method = draw(st.sampled_from(sorted(ARGUMENTS)))
        number, arguments = ARGUMENTS[method]
        # The newest is always among the inputs, so that every step is used.
        models = [known[-1], *draw(st.permutations(known[:-1]))[: number - 1]]
        if len(models) == number:
            models = draw(st.permutations(models))
        numbers = {name: draw(values) for name, values in arguments.items()}
        name = "last" if i == count - 1 else f"s{i}"
        steps.append(step(method, *models, name=name, **numbers))
        known.append(name)
    return recipe(
        *steps,
        text_encoders=draw(st.sampled_from(["merged", "b"])),
        vae=draw(st.sampled_from(["merged", "c"])),
    )


AVERAGE_OF_MANY = recipe(
    step("clamp", "c", "a", "b", name="s0", stiffness=0.0),
    step("top_k_tensor_sum", "s0", "a", name="s1", ratio=0.5),
    step("average", "s1", "a", "b", name="last", weights=(1.0, 1.0, 2.0)),
)


@given(ours=recipes())
@example(ours=AVERAGE_OF_MANY)
def test_any_recipe_comes_back(ours, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.mecha"
    path.write_text(mecha_text(ours))
    back = read_mecha(path)
    same_terms(terms_of(ours, KEYS), terms_of(back, KEYS))


# -- what cannot be written


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (recipe(step("weighted_sum", "a", "b", ratio={"low": 0, "high": 1})), "nothing left to search"),
        (recipe(step("weighted_sum", "a", "b", ratio={"default": 0.5, "attention": 0.4})), "'attention'"),
        (recipe(step("weighted_sum", "a", "b", ratio={"default": 0.5, "IN04.resnet": 0.4})), "IN04.resnet"),
        (recipe(step("weighted_sum", "a", "b", ratio={"default": 0.5, "*.bias": 0.4})), r"\*.bias"),
        (recipe(step("weighted_sum", "a", "b", ratio={"default": 0.5, "te": 0.4})), "for all of BASE"),
        (recipe(step("weighted_sum", "a", "b", ratio={"unet": 0.5})), "leave BASE out"),
        (recipe(step("average", "a", "b", weights=[1, 1], normalize=False)), "add up to 1"),
        (recipe(step("model_stock", "a", "b", "c")), 'Set cosine = "rows"'),
        (recipe(step("della", "a", "b", "c")), 'Set ranks = "tensor"'),
        (recipe(step("dare_linear", "a", "b")), "'dare_linear' cannot be written"),
        (recipe(step("breadcrumbs", "a", "b")), "'breadcrumbs' cannot be written"),
        (recipe(step("karcher", "a", "b")), "'karcher' cannot be written"),
        (recipe(step("isotropic", "a", "b")), "'isotropic' cannot be written"),
        (recipe(step("top_k_tensor_sum", "a", "b", ratio=0.5, offset=0.1)), "with an offset"),
        (recipe(step("pick", "a", "b", ratio=0.5)), "'pick' cannot be written"),
        (recipe(step("weighted_sum", "a", "b", ratio=0.5), vae="own.safetensors"), "whole checkpoint"),
        (
            Recipe(
                models=MODELS, adapters={"l": "l.safetensors"}, merge=[step("adapter", "a", "l", ratio=1)]
            ),
            "adapter",
        ),
        (
            recipe(step("weighted_sum", "a", "b", ratio=0.5), models={"a": "x=1.safetensors", "b": "b"}),
            "path",
        ),
        (recipe(step("weighted_sum", "a", "b", ratio=0.5), models={"a": "x\ny", "b": "b"}), "path"),
        (recipe(step("weighted_sum", "a", "b", ratio=0.5), models={"a": "x\udc80", "b": "b"}), "path"),
    ],
)
def test_what_sd_mecha_has_no_words_for_is_refused(ours, words):
    with pytest.raises(BadInput, match=words):
        mecha_text(ours)


def test_paths_keep_their_quotes_and_backslashes(tmp_path):
    sd_mecha = pytest.importorskip("sd_mecha")
    models = {"a": 'odd "name" with \\.safetensors', "b": "# 日本語　&0.safetensors"}
    text = mecha_text(recipe(step("weighted_sum", "a", "b", ratio=0.5), models=models))
    node = sd_mecha.deserialize(text)
    assert [str(model.path) for model in node.bound_args.args[:2]] == list(models.values())
    (tmp_path / "x.mecha").write_text(text, encoding="utf-8")
    (tmp_path / models["a"]).touch()  # or the backslash would be one of Windows'
    back = read_mecha(tmp_path / "x.mecha")
    assert [model.path for model in back.models.values()] == [tmp_path / name for name in models.values()]


@pytest.mark.night
def test_the_toy_checkpoints_are_merged_alike(toy):
    models = {name: toy / f"{name}.safetensors" for name in ("base", "vpred", "burnt")}
    ours = recipe(
        step("add_difference", "base", "vpred", "burnt", ratio=0.4, name="s"),
        step("slerp", "s", "burnt", ratio=0.3),
        models=models,
        vae="vpred",
    )
    with safe_open(models["base"], framework="pt") as file:
        keys = [key for key in file.keys() if file.get_slice(key).get_dtype() == "F16"]  # noqa: SIM118
    assert {block_of(key, SDXL) for key in keys} > set(BLOCKS)
    assert furthest(theirs(mecha_text(ours)), our_weights(ours, keys)) <= 1
