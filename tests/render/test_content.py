"""How much of its prompt a model finds in a picture, against the arithmetic done by hand."""

import sys

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler

from gridsearch.render.cases import Case
from gridsearch.render.content import OTHER_NOISE, prompt_gains
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from tests.helpers.settings import sampling

LEVELS = (120, 600)


def load(toy, name):
    return load_renderer(toy / f"{name}.safetensors", toy / "config", None, placement("cpu", "float32"))


@pytest.fixture(scope="module")
def base(toy):
    return load(toy, "base")


@pytest.fixture(scope="module")
def drawn(toy):
    """Pictures that the toy was trained on the like of, and the name of the shape in each."""
    sys.path.append(str(toy))
    import data

    pictures, labels = data.draw(24, seed=99)
    return pictures, [data.CAPTIONS[label] for label in labels]


def by_hand(renderer, picture, case, prediction_type):
    """The difference of the two errors, one call of the UNet at a time, summed up in float64."""
    v, flow = prediction_type == "v_prediction", prediction_type == "flow"
    config = dict(renderer.scheduler_config) | {"rescale_betas_zero_snr": v}
    kept = EulerDiscreteScheduler.from_config(config).alphas_cumprod.double()
    pipe = renderer.pipe
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    clean = pipe.vae.encode(pixels).latent_dist.mean.double() * pipe.vae.config.scaling_factor
    tokens, _, pooled, _ = pipe.encode_prompt(case.text, device="cpu", do_classifier_free_guidance=False)
    source, found = torch.Generator().manual_seed(case.seed + OTHER_NOISE), []
    for level in LEVELS:
        noise = torch.randn(clean.shape[1:], generator=source).double()
        alpha, sigma = kept[level].sqrt(), (1 - kept[level]).sqrt()
        if flow:  # as much noise for the signal
            alpha, sigma = alpha / (alpha + sigma), sigma / (alpha + sigma)
        x = alpha * clean + sigma * noise
        errors = []
        for scale in (0, 1):  # without the prompt all is zeros
            output = pipe.unet(
                x.float(),
                1000 * sigma if flow else torch.tensor(level),
                tokens * scale,
                added_cond_kwargs={
                    "text_embeds": pooled * scale,
                    "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]]),
                },
            ).sample.double()
            predicted = x + alpha * output if flow else alpha * output + sigma * x if v else output
            errors.append(float((predicted - noise).square().mean()))
        found.append(errors[0] - errors[1])
    return float(np.mean(found))


@pytest.mark.parametrize(
    ("name", "prediction_type"), [("base", "epsilon"), ("vpred", "v_prediction"), ("flow", "flow")]
)
def test_it_is_the_error_that_the_prompt_saves(toy, drawn, name, prediction_type):
    renderer, cases = load(toy, name), [Case("p1", "a ring", "", 7), Case("p2", "a moon", "blurry", 8)]
    settings = sampling(prediction_type=prediction_type, zero_terminal_snr=prediction_type == "v_prediction")
    found = prompt_gains(renderer, drawn[0][:2], cases, settings, LEVELS)
    with torch.inference_mode():
        expected = [
            by_hand(renderer, picture, case, prediction_type)
            for picture, case in zip(drawn[0][:2], cases, strict=True)
        ]
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_picture_has_more_of_its_own_prompt_than_of_another(base, drawn):
    pictures, captions = drawn
    own, other = (
        np.array(prompt_gains(base, pictures, cases, sampling(), (200, 400)))
        for cases in (
            [Case("p", caption, "", seed) for seed, caption in enumerate(captions)],
            [Case("p", caption, "", seed) for seed, caption in enumerate([*captions[1:], captions[0]])],
        )
    )
    assert own.mean() > 0 > other.mean()


def test_it_does_not_depend_on_the_batch_nor_on_the_memory_that_is_free(base, drawn, monkeypatch):
    cases = [Case("p", caption, "", seed) for seed, caption in enumerate(drawn[1][:5])]
    whole = prompt_gains(base, drawn[0][:5], cases, sampling(), (200,))
    alone = prompt_gains(base, drawn[0][:5], cases, sampling(), (200,), batch=1)
    inner, asked = base.pipe.unet.forward, []

    def limited(x, *args, **kwargs):
        asked.append(len(x))
        if len(x) > 4:
            raise torch.OutOfMemoryError("no room")
        return inner(x, *args, **kwargs)

    monkeypatch.setattr(base.pipe.unet, "forward", limited)
    halved = prompt_gains(base, drawn[0][:5], cases, sampling(), (200,))
    assert asked == [10, 6, 4, 4, 2]
    assert alone == pytest.approx(whole, abs=1e-6)
    assert halved == pytest.approx(whole, abs=1e-6)
