"""Where memory is short: smaller batches, then tiles; and a VAE that overflows is not believed."""

import copy

import numpy as np
import pytest
import torch

from gridsearch.render.cases import Case
from gridsearch.render.decode import decode, finite_rows
from gridsearch.render.denoise.sampling import SAMPLERS
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import placement
from tests.helpers.settings import sampling

CASES = [Case(f"p{seed}", "a circle", "", seed) for seed in range(1, 8)]


@pytest.fixture(scope="module")
def loaded(toy):
    return load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))


@pytest.fixture
def renderer(loaded):
    """One that a test may change."""
    return copy.deepcopy(loaded)


def fits(module, monkeypatch, most, name="forward"):
    """Let a module run out of memory over `most` images; returns the batches that it was asked for."""
    asked = []
    inner = getattr(module, name)

    def limited(x, *args, **kwargs):
        asked.append(len(x))
        if len(x) > most:
            raise torch.OutOfMemoryError("no room")
        return inner(x, *args, **kwargs)

    monkeypatch.setattr(module, name, limited)
    return asked


def test_a_batch_that_does_not_fit_is_halved_and_the_size_remembered(renderer, monkeypatch):
    expected = [d.pixels for d in draw(renderer, CASES, sampling(steps=2), batch=1)]
    asked = fits(renderer.pipe.unet, monkeypatch, most=4)  # two images, each with and without its prompt
    drawn = list(draw(renderer, CASES, sampling(steps=2)))
    assert [d.case for d in drawn] == CASES
    assert asked[:2] == [14, 6]
    assert set(asked[2:]) == {2}
    for found, wanted in zip(drawn, expected, strict=True):
        assert np.abs(found.pixels.astype(int) - wanted).max() <= 1
    asked.clear()
    list(draw(renderer, CASES, sampling(steps=2)))
    assert max(asked) == 2  # not tried again
    list(draw(renderer, CASES, sampling(steps=2, height=72)))
    assert max(asked) == 14  # another size may fit


def test_memory_that_another_program_had_for_a_while_is_used_again(renderer, monkeypatch):
    list(draw(renderer, CASES, sampling(steps=2)))
    with monkeypatch.context() as patched:
        fits(renderer.pipe.unet, patched, most=2)
        list(draw(renderer, CASES, sampling(steps=2)))
    asked = fits(renderer.pipe.unet, monkeypatch, most=99)
    list(draw(renderer, CASES, sampling(steps=2)))
    assert set(asked) == {14}


def test_an_image_that_does_not_fit_alone_is_an_error(renderer, monkeypatch):
    fits(renderer.pipe.unet, monkeypatch, most=1)
    with pytest.raises(torch.OutOfMemoryError):
        list(draw(renderer, CASES[:1], sampling(steps=2)))


def test_a_wanted_batch_is_kept_to(renderer, monkeypatch):
    asked = fits(renderer.pipe.unet, monkeypatch, most=99)
    list(draw(renderer, CASES, sampling(steps=2), batch=3))
    assert sorted(set(asked)) == [2, 6]


def test_decoding_is_halved_and_then_tiled(renderer, monkeypatch):
    vae = renderer.pipe.vae
    latents = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = decode(vae, latents)
        asked = fits(vae, monkeypatch, most=1, name="_decode")
        torch.testing.assert_close(decode(vae, latents), expected, atol=1e-5, rtol=0)
    assert asked == [4, 2, 1, 1, 2, 1, 1]


def test_one_image_too_large_is_decoded_in_tiles_also_by_a_vae_that_would_not_cut_it(renderer, monkeypatch):
    """SDXL's VAE itself cuts only what is larger than the 1024 px it was trained on."""
    vae = renderer.pipe.vae
    monkeypatch.setattr(vae, "tile_latent_min_size", 128)
    monkeypatch.setattr(vae, "tile_sample_min_size", 1024)
    inner, widths = vae.decoder.forward, []

    def limited(x, *args, **kwargs):
        widths.append(x.shape[-1])
        if x.shape[-1] > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return inner(x, *args, **kwargs)

    latents = torch.randn(1, 4, 16, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole = decode(vae, latents)
        monkeypatch.setattr(vae.decoder, "forward", limited)
        image = decode(vae, latents)
    assert image.shape == whole.shape == (1, 3, 128, 768)
    assert widths[0] == 96
    assert max(widths[1:]) <= 64
    assert (image - whole).abs().mean() < 0.05  # norms and attention see a part only
    assert not vae.use_tiling  # the next image may fit


def test_what_overflows_half_precision_is_decoded_once_more_in_full(renderer):
    """The first layer is scaled up, so that the norm after it has too much to take in half precision."""
    vae = renderer.pipe.vae
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    latents[1] *= 1e-6
    with torch.inference_mode():
        vae.decoder.conv_in.weight *= 8e4
        vae.decoder.conv_in.bias *= 8e4
        expected = decode(vae, latents)
        half = decode(vae.half(), latents)
    assert not finite_rows(vae.decoder.conv_in(latents[:1].half())).all()
    assert torch.isfinite(half).all()
    assert half.dtype == torch.float32
    assert (half - expected).abs().max() < 0.05


def test_every_sampler_draws_in_half_precision(toy):
    half = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "bfloat16"))
    for sampler in SAMPLERS:
        (drawn,) = draw(half, CASES[:1], sampling("v_prediction", sampler, 32, 32, steps=2))
        assert drawn.finite, sampler


def test_a_vae_is_kept_in_the_precision_that_is_asked_for(toy):
    for wanted, found in (("auto", torch.bfloat16), ("float32", torch.float32)):
        place = placement("cpu", "bfloat16")
        loaded = load_renderer(toy / "base.safetensors", toy / "config", None, place, vae_dtype=wanted)
        (drawn,) = draw(loaded, CASES[:1], sampling(steps=2))
        assert loaded.pipe.vae.dtype == found
        assert loaded.pipe.unet.dtype == torch.bfloat16
        assert drawn.finite
