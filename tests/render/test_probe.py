"""The probe, against a UNet whose answer is known, and its gradient against finite differences."""

import numpy as np
import pytest
import torch

from gridsearch.render.cases import Case
from gridsearch.render.denoise.noised import levels_at, relative_error
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from gridsearch.render.probe import answers, ask, found_by, make_probe
from tests.helpers.settings import sampling

TIMESTEPS = (300, 650)
CASES = [Case("p1", "a ring", "", 7), Case("p2", "a moon", "", 8)]


@pytest.fixture(scope="module")
def base(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


@pytest.fixture(scope="module")
def probe(base):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    return make_probe(base, pictures, CASES)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "flow", "epsilon"])
def test_a_unet_that_predicts_a_share_of_the_truth_is_as_far_off_as_algebra_says(
    base, probe, prediction_type, monkeypatch
):
    settings = sampling(prediction_type=prediction_type)
    levels = levels_at(base.scheduler_config, settings, TIMESTEPS)
    kept = [(1 + at.noise**2) ** -0.5 for at in levels]
    pairs = [(a, (1 - a**2) ** 0.5) for a in kept]
    if prediction_type == "flow":
        pairs = [(a / (a + s), s / (a + s)) for a, s in pairs]
        assert [at.told for at in levels] == pytest.approx([1000 * s for _, s in pairs])
    truth = probe.latents.double(), probe.noise.double()
    share, asked = 1.0, []

    def predict(x, moment, **_):
        """The true output, times a share, for both branches of the guidance."""
        asked.append(float(moment))
        alpha, sigma = pairs[len(asked) - 1]
        clean, noise = (torch.cat([one, one]) for one in truth)
        output = {
            "v_prediction": alpha * noise - sigma * clean,
            "flow": noise - clean,
            "epsilon": noise,
        }[prediction_type]
        return [(share * output).float()]

    monkeypatch.setattr(base.pipe.unet, "forward", predict)
    for share in (1.0, 0.6):
        asked.clear()
        found = ask(base, probe, torch.stack([probe.latents] * 2, 1), settings, TIMESTEPS)
        assert asked == pytest.approx([at.told for at in levels])
        for place, (alpha, sigma) in enumerate(pairs):
            clean, noise = truth
            lost = 1 - share  # x0 as it is found is off by this much of the output
            off = {
                "v_prediction": sigma * lost * (alpha * noise - sigma * clean),
                "flow": sigma * lost * (noise - clean),
                "epsilon": sigma / alpha * lost * noise,
            }[prediction_type]
            variance = clean.var((2, 3), correction=0).mean(1)
            error = off.square().mean((1, 2, 3)) / variance
            spread = ((clean + off).var((2, 3), correction=0).mean(1) / variance).sqrt()
            assert found[:, place, 0] == pytest.approx(error.numpy(), rel=1e-4, abs=1e-8)
            assert found[:, place, 1] == pytest.approx(spread.numpy(), rel=1e-4)


def test_its_gradient_is_that_of_finite_differences_along_a_merge(base, probe):
    """The derivative by the ratio is the product of the gradient with the difference of the models."""
    settings = sampling(prediction_type="v_prediction", pag_scale=1.0)
    (at,) = levels_at(base.scheduler_config, settings, [650])
    torch.manual_seed(0)
    own = list(base.pipe.unet.parameters())
    first = [weights.detach().clone() for weights in own]
    change = [0.3 * torch.randn_like(weights) * weights for weights in first]

    def loss(ratio):
        with torch.no_grad():
            for weights, start, step in zip(own, first, change, strict=True):
                weights.copy_(start + ratio * step)
        return relative_error(found_by(base, probe, at, settings), probe.latents).mean()

    try:
        base.pipe.unet.requires_grad_(True)
        loss(0.4).backward()
        slope = sum(
            float((weights.grad.double() * step.double()).sum())
            for weights, step in zip(own, change, strict=True)
        )
        base.pipe.unet.requires_grad_(False)
        differences = (float(loss(0.41)) - float(loss(0.39))) / 0.02
    finally:
        base.pipe.unet.zero_grad()
        loss(0.0)
    assert slope == pytest.approx(differences, rel=0.01)


def test_parts_of_it_answer_as_the_whole(base, probe):
    settings = sampling()
    whole, parts = (answers(base, probe, settings, TIMESTEPS, batch) for batch in (None, 1))
    assert whole.shape == (2, 2, *probe.latents.shape[1:])
    assert torch.allclose(parts, whole, atol=1e-4)
