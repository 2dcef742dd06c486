"""Every method agrees with sd-mecha's own merge, and the robust ones outvote a model that is far off."""

import pytest
import sd_mecha
import torch
from safetensors.torch import save_file
from sd_mecha.extensions import merge_methods

from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.evaluate import evaluate
from gridsearch.merge.engine.linear import new_buffer
from gridsearch.merge.engine.sources import FileSource
from tests.helpers.methods import WHOLE

SHAPES = {
    "model.diffusion_model.input_blocks.0.0.weight": (8, 4, 3, 3),
    "model.diffusion_model.input_blocks.0.0.bias": (8,),
    "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight": (16, 12),
    "model.diffusion_model.output_blocks.5.0.emb_layers.1.weight": (10, 6),
    "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (12,),
    "first_stage_model.decoder.conv_in.weight": (4, 2, 3, 3),
}
KEYS = tuple(SHAPES)
PARTS = {"vae": "merged"}  # sd-mecha merges the VAE like all else


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three models, b and c near a."""
    folder = tmp_path_factory.mktemp("models")
    generator = torch.Generator().manual_seed(0)
    a = {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
    save_file(a, folder / "a.safetensors")
    for name in "bc":
        near = {key: x + 0.3 * torch.randn(x.shape, generator=generator) for key, x in a.items()}
        save_file(near, folder / f"{name}.safetensors")
    return folder


def ours(folder, *steps):
    models = {name: folder / f"{name}.safetensors" for name in "abc"}
    recipe = Recipe(models=models, merge=steps, components=PARTS)
    sources = {name: FileSource(open_checkpoint(path)) for name, path in models.items()}
    terms = terms_of(recipe, KEYS)
    return {key: evaluate(terms[key], key, sources, torch.float32, new_buffer()) for key in KEYS}


def theirs(node):
    merged = {}
    sd_mecha.merge(
        node,
        output=merged,
        merge_dtype=torch.float32,
        output_dtype=torch.float32,
        threads=1,
        strict_mandatory_keys=False,
    )
    return merged


def plus(a, difference, alpha):
    """The public `add_difference` cannot take a merge in 1.1.8; the method behind it can."""
    return merge_methods.resolve("add_difference")(a, difference, alpha=alpha)


def dare(*differences, **numbers):
    return sd_mecha.ties_sum_with_dropout(*differences, seed=7, apply_stock=True, vote_sgn=True, **numbers)


def from_a(b, c, a):
    return sd_mecha.subtract(b, a), sd_mecha.subtract(c, a)


AB, ABC = ["a", "b"], ["a", "b", "c"]
BLOCKS = {"BASE": 0.9, "IN00": 0.1, "M00": 0.4, "OUT05": 0.7, "VAE": 0.25}
METHODS = {
    "weighted_sum": ({"models": AB, "ratio": 0.3}, lambda a, b, c: sd_mecha.weighted_sum(a, b, alpha=0.3)),
    "add_difference": (
        {"models": ABC, "ratio": 0.1},
        lambda a, b, c: plus(a, sd_mecha.subtract(b, c), 0.1),
    ),
    "average": ({"models": ABC}, lambda a, b, c: sd_mecha.n_average(a, b, c)),
    "slerp": ({"models": AB, "ratio": 0.3}, lambda a, b, c: sd_mecha.slerp(a, b, alpha=0.3)),
    "train_difference": (
        {"models": ABC, "ratio": 0.8},
        lambda a, b, c: plus(a, sd_mecha.subtract(b, c), sd_mecha.train_difference_mask(a, b, c, alpha=0.8)),
    ),
    "cosine_a": ({"models": AB, "ratio": 0.3}, lambda a, b, c: sd_mecha.add_cosine_a(a, b, alpha=0.3)),
    "cosine_b": ({"models": AB, "ratio": 0.3}, lambda a, b, c: sd_mecha.add_cosine_b(a, b, alpha=0.3)),
    "ties": (
        {"models": ABC, "ratio": 0.7, "k": 0.4},
        lambda a, b, c: plus(a, sd_mecha.ties_sum(*from_a(b, c, a), k=0.4, vote_sgn=True), 0.7),
    ),
    "dare_ties": (
        {"models": ABC, "ratio": 0.7, "k": 0.8, "probability": 0.5, "seed": 7},
        lambda a, b, c: plus(a, dare(*from_a(b, c, a), probability=0.5, k=0.8), 0.7),
    ),
    "della": (
        {
            "models": ABC,
            "ratio": 0.7,
            "k": 0.8,
            "probability": 0.5,
            "seed": 7,
            "della_eps": 0.2,
            "ranks": "tensor",
        },
        lambda a, b, c: plus(a, dare(*from_a(b, c, a), probability=0.5, k=0.8, della_eps=0.2), 0.7),
    ),
    "model_stock": (
        {"models": ABC, "ratio": 1.0, "cosine": "rows"},
        lambda a, b, c: plus(a, sd_mecha.model_stock(*from_a(b, c, a)), 1.0),
    ),
    "geometric_median": ({"models": ABC}, lambda a, b, c: sd_mecha.geometric_median(a, b, c)),
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_agrees_with_sd_mecha(folder, method):
    step, node = METHODS[method]
    models = [sd_mecha.model(str(folder / f"{name}.safetensors"), config="sdxl-sgm") for name in "abc"]
    merged, expected = ours(folder, {"method": method} | step), theirs(node(*models))
    for key in KEYS:
        # sd-mecha ends the median's iteration in float32, before it has converged
        near = 1e-3 if method == "geometric_median" else 1e-6
        torch.testing.assert_close(merged[key], expected[key], rtol=1e-5, atol=near)
    a = FileSource(open_checkpoint(folder / "a.safetensors"))
    assert not any(torch.equal(merged[key], a.tensor(key)) for key in KEYS)  # something was merged


def test_ratios_per_block_agree_with_sd_mecha(folder):
    models = [sd_mecha.model(str(folder / f"{name}.safetensors"), config="sdxl-sgm") for name in "ab"]
    blocks = sd_mecha.convert(sd_mecha.literal(BLOCKS, config="sdxl-supermerger_blocks"), models[0])
    expected = theirs(sd_mecha.weighted_sum(*models, alpha=blocks))
    ratio = {name if name != "VAE" else "vae": value for name, value in BLOCKS.items()}
    merged = ours(folder, {"models": AB, "ratio": ratio})
    for key in KEYS:
        torch.testing.assert_close(merged[key], expected[key], rtol=1e-5, atol=1e-6)


def test_a_dare_that_drops_nothing_is_ties():
    """So the flag that sd-mecha 1.1.8 reads the wrong way round is given the right way round."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(20, 30, generator=generator) for _ in range(4)]
    numbers = {"ratio": 0.8, "k": 0.3, "vote": "magnitude"}
    dropped = WHOLE["dare_ties"](*tensors, **numbers, probability=0.0, seed=1)
    torch.testing.assert_close(dropped, WHOLE["ties"](*tensors, **numbers))


@pytest.mark.parametrize("method", ["geometric_median"])
def test_a_far_model_among_a_dozen_is_outvoted(method):
    """Eleven models that differ by 1% and one that is something else: the mean follows it, the median not."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(64, 64, generator=generator)
    cluster = [centre + 0.01 * torch.randn(64, 64, generator=generator) for _ in range(11)]
    far = 10 * torch.randn(64, 64, generator=generator)
    spread = 0.01 * 64  # how far each of the cluster is from its centre
    mean = sum([*cluster, far]) / 12
    robust = WHOLE[method](*cluster, far)
    assert torch.dist(mean, centre) > 50 * spread
    assert torch.dist(robust, centre) < spread
