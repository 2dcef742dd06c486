"""On a CUDA device: `pytest -m gpu`."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.leaks import experiment, watched
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.experiment.recipe import Recipe
from gridsearch.merge.engine.collapse import terms_of
from gridsearch.merge.engine.kept import Kept
from gridsearch.merge.engine.live import Live, merge_live
from gridsearch.merge.engine.sources import DTYPES, FileSource, Residence, placed
from gridsearch.render.cases import Case
from gridsearch.render.decode import _in_tiles, decode
from gridsearch.render.denoise.noise import SOURCES, Noise
from gridsearch.render.draw import draw
from gridsearch.render.pipeline import load_renderer
from gridsearch.render.placement import BatchSizes, placement
from gridsearch.render.watch import Recorder
from tests.helpers.settings import sampling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

CASES = [Case("p1", "a circle", "", seed) for seed in range(4)]
MANY = [Case("p1", "a circle", "", seed) for seed in range(32)]
SAMPLING = sampling("v_prediction", steps=8)
MIB = 2**20


@pytest.fixture
def load(toy):
    def renderer(name, dtype, **options):
        place = placement("cuda", dtype)
        return load_renderer(toy / f"{name}.safetensors", toy / "config", None, place, **options)

    return renderer


@pytest.fixture
def exact(monkeypatch):
    """float32 is float32: convolutions would otherwise round to TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def images(renderer, settings=SAMPLING, cases=CASES, batch=4):
    return np.stack([drawn.pixels for drawn in draw(renderer, cases, settings, batch)])


def mean_difference(some, others):
    return np.abs(some.astype(int) - others).mean()


def live_of(toy, renderer, where):
    """The toy's models, held where they are to lie, over a renderer's weights."""
    device = renderer.place.device
    infos = open_checkpoint(toy / "base.safetensors").tensors
    place = Residence(where, 0, True)
    sources = {
        name: placed(
            FileSource(open_checkpoint(toy / f"{name}.safetensors")), list(renderer.live), place, device
        )
        for name in ("base", "burnt", "vpred")
    }
    return Live(renderer.live, sources, {key: DTYPES[infos[key].dtype] for key in renderer.live})


def merge_to(live, renderer, name):
    """Write one model's weights over those that draw."""
    merge_live(live, dict.fromkeys(renderer.live, ((name, 1.0),)))
    renderer.encoded.clear()


# -- merging


@pytest.mark.parametrize("where", ["gpu", "pinned", "mapped"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_live_merge_at_an_end_draws_what_the_parent_draws(toy, load, dtype, where):
    renderer = load("base", dtype)
    before = images(renderer)
    live = live_of(toy, renderer, where)
    merge_to(live, renderer, "burnt")
    assert np.array_equal(images(renderer), images(load("burnt", dtype)))
    merge_to(live, renderer, "base")
    assert np.array_equal(images(renderer), before)


@pytest.mark.parametrize(
    "terms", [(("base", 0.55), ("burnt", 0.45)), (("base", 0.5), ("burnt", 0.3), ("vpred", 0.2))]
)
def test_wherever_the_models_lie_the_merge_is_the_same_and_that_of_the_cpu(toy, load, terms):
    merged = {}
    for where in ("gpu", "pinned", "mapped"):
        renderer = load("base", "float16")
        merge_live(live_of(toy, renderer, where), dict.fromkeys(renderer.live, terms))
        merged[where] = {key: piece.view.cpu() for key, (piece, *_) in renderer.live.items()}
    cpu = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float16"))
    infos = open_checkpoint(toy / "base.safetensors").tensors
    sources = {name: FileSource(open_checkpoint(toy / f"{name}.safetensors")) for name, _ in terms}
    dtypes = {key: DTYPES[infos[key].dtype] for key in cpu.live}
    merge_live(Live(cpu.live, sources, dtypes), dict.fromkeys(cpu.live, terms))
    for key, (piece, *_) in cpu.live.items():
        assert torch.equal(merged["gpu"][key], merged["pinned"][key])
        assert torch.equal(merged["gpu"][key], merged["mapped"][key])
        # a fused multiply-add rounds once where the CPU may round twice: a few last bits
        differ = (merged["gpu"][key].half() != piece.view.half()).double().mean()
        assert differ <= 0.01


@pytest.mark.parametrize("method", ["slerp", "ties", "dare_ties", "train_difference", "isotropic"])
def test_what_is_kept_or_made_anew_wherever_the_models_lie_is_the_merge_of_the_cpu(toy, load, method):
    models = ["base", "burnt"] if method == "slerp" else ["base", "burnt", "vpred"]

    def merges(live):
        """Both of two ratios, of which the second finds what the first has kept."""
        found = []
        for ratio in (0.3, 0.6):
            step = {"method": method, "models": models, "ratio": ratio}
            files = {name: f"{name}.safetensors" for name in models}
            recipe = Recipe(models=files, merge=[step], components={"vae": "merged"})
            merge_live(live, terms_of(recipe, list(live.parts)))
            found.append({key: piece.view.cpu() for key, (piece, *_) in live.parts.items()})
        return found

    cpu = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float16"))
    expected = merges(live_of(toy, cpu, "mapped"))
    seen = []
    for where in ("gpu", "pinned", "mapped"):
        for room in (0, 2**30):
            live = live_of(toy, load("base", "float16"), where)
            seen.append(merges(replace(live, kept=Kept(room))))
    for others in seen:
        for first, other, on_cpu in zip(seen[0], others, expected, strict=True):
            for key, weights in other.items():
                assert torch.equal(first[key], weights)
                differ = (weights.half() != on_cpu[key].half()).double().mean()
                assert differ <= 0.02  # sums in another order: last bits, and elections that they decide


def test_what_is_compiled_draws_with_the_weights_that_are_merged_later(toy, load, exact):
    compiled = load("base", "float32", compiled=True)
    assert mean_difference(images(compiled), images(load("base", "float32"))) < 1
    merge_to(live_of(toy, compiled, "gpu"), compiled, "burnt")
    with torch._dynamo.config.patch(error_on_recompile=True):
        merged = images(compiled)
    assert mean_difference(merged, images(load("burnt", "float32"))) < 1


# -- noise and the loop


@pytest.mark.parametrize("rng", SOURCES)
def test_new_noise_on_the_gpu_is_that_of_the_seed_on_the_cpu(rng):
    shape, seeds = (4, 8, 8), (5, 2**31 + 1)
    sources = [SOURCES[rng](seed) for seed in seeds]
    with Noise(seeds, rng):
        for dtype in (torch.float32, torch.float16, torch.float32):
            drawn = torch.randn((len(seeds), *shape), device="cuda", dtype=dtype)
            expected = torch.stack([source.draw(shape) for source in sources]).to(dtype)
            assert drawn.device.type == "cuda"
            assert torch.equal(drawn.cpu(), expected)


@pytest.mark.parametrize("sampler", ["euler", "euler_a", "dpmpp_2m_sde", "dpmpp_sde", "lcm"])
def test_the_device_changes_an_image_by_rounding_only(toy, load, exact, sampler):
    settings = sampling("epsilon", sampler, steps=8)
    cpu = load_renderer(toy / "base.safetensors", toy / "config", None, placement("cpu", "float32"))
    assert mean_difference(images(cpu, settings), images(load("base", "float32"), settings)) < 1


class Strict(Recorder):
    """From the end of the first call to that of the last, what waits for the GPU is an error."""

    def see(self, call, level, x0):
        super().see(call, level, x0)
        torch.cuda.set_sync_debug_mode("default" if call == self._calls - 1 else "error")


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setattr("gridsearch.render.draw.Recorder", Strict)
    yield
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "ddim", "euler_a", "dpmpp_sde"])
@pytest.mark.parametrize("changes", [{}, {"cfg_rescale": 0.7, "pag_scale": 3.0}])
def test_no_step_waits_for_the_gpu(load, request, sampler, changes):
    renderer, settings = load("base", "float16"), sampling("v_prediction", sampler, steps=8, **changes)
    before = images(renderer, settings)
    request.getfixturevalue("strict")  # only now: what is done once for all may wait
    assert np.array_equal(images(renderer, settings), before)


# -- memory


@pytest.fixture
def heavy():
    """Lets each latent that a UNet is given take so many bytes of the GPU, for as long as the call lasts."""
    hooks, ballast = [], []

    def make(renderer, bytes_per_latent):
        def load_up(_, args):
            ballast.append(torch.empty(len(args[0]) * bytes_per_latent, dtype=torch.uint8, device="cuda"))

        unet = renderer.pipe.unet
        hooks.append(unet.register_forward_pre_hook(load_up))
        hooks.append(unet.register_forward_hook(lambda *_: ballast.clear()))

    yield make
    ballast.clear()
    for hook in hooks:
        hook.remove()
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def allow(more):
    """Let this process have so many bytes beyond those it holds."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)


def test_what_a_first_image_took_says_how_many_fit(load, heavy, monkeypatch):
    renderer, sizes = load("base", "float16"), []
    free, _ = torch.cuda.mem_get_info()
    heavy(renderer, free // 20)  # ten images, each with and without its prompt
    monkeypatch.setattr(BatchSizes, "halved", lambda *_: pytest.fail("it did not fit"))
    renderer.pipe.unet.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0]) // 2))
    assert len(images(renderer, cases=MANY[:20], batch=None)) == 20
    assert sizes[0] == 1
    assert 7 <= max(sizes) <= 9  # 85% of ten, less what the model itself takes


@pytest.mark.parametrize("batch", [None, 32])
def test_a_batch_that_does_not_fit_is_halved_and_none_is_lost(load, heavy, batch):
    renderer = load("base", "float16")
    before = images(renderer, cases=MANY, batch=8)
    renderer = replace(renderer, batches=BatchSizes(torch.device("cuda"), is_tiny=True))
    heavy(renderer, 64 * MIB)
    allow(1536 * MIB)  # twelve images, each with and without its prompt
    found = images(renderer, cases=MANY, batch=batch)
    assert mean_difference(found, before) < 1
    assert 4 <= renderer.batches.size(SAMPLING, None) <= 12


def test_not_even_one_image_that_fits_is_an_error(load, heavy):
    renderer = load("base", "float16")
    heavy(renderer, 64 * MIB)
    allow(64 * MIB)
    with pytest.raises(torch.OutOfMemoryError):
        images(renderer, batch=None)


def test_a_vae_that_finds_no_room_goes_on_in_parts_and_in_tiles(load, monkeypatch):
    vae, in_tiles = load("base", "float16").pipe.vae, []

    def noted(*args):
        in_tiles.append(len(args[1]))
        return _in_tiles(*args)

    monkeypatch.setattr("gridsearch.render.decode._in_tiles", noted)
    latents = torch.randn((4, 4, 128, 128), generator=torch.Generator().manual_seed(1)).to("cuda")
    with torch.inference_mode():
        expected = decode(vae, latents[:1]).cpu()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        decode(vae, latents)
        taken = torch.cuda.max_memory_allocated() - before
        try:
            allow(taken * 2 // 5)  # one of four, not two
            halved = decode(vae, latents)
            assert not in_tiles
            allow(taken // 8)  # not even one
            tiled = decode(vae, latents[:1])
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert halved.shape[0] == 4
    torch.testing.assert_close(halved[:1].cpu(), expected, atol=1e-3, rtol=1e-3)
    assert in_tiles == [1]
    assert not vae.use_tiling
    assert tiled.shape == expected.shape
    assert torch.isfinite(tiled).all()


# -- the VAE's precision


def test_a_vae_that_overflows_in_half_precision_stays_in_float32(load):
    renderer = load("base", "float16")
    wanted = torch.float32 if renderer.pipe.vae.config.force_upcast else torch.float16
    list(draw(renderer, CASES, SAMPLING, batch=4))
    assert renderer.pipe.vae.dtype == wanted
    assert renderer.pipe.unet.dtype == torch.float16


def test_what_overflows_a_half_precision_vae_is_decoded_in_float32(load):
    vae = load("base", "float16", vae_dtype="float16").pipe.vae
    vae.decoder.conv_in.weight.mul_(3e4)  # the norms after it take no notice of the scale, float16 does
    latents = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1)).to("cuda")
    with torch.inference_mode():
        inner = latents.half() / vae.config.scaling_factor
        assert not torch.isfinite(vae.decode(inner, return_dict=False)[0]).all()
        images = decode(vae, latents)
        expected = decode(copy.deepcopy(vae).float(), latents)
    assert torch.isfinite(images).all()
    assert vae.dtype == torch.float16
    torch.testing.assert_close(images.float(), expected, atol=0.01, rtol=0.01)


# -- a long run


def test_a_run_keeps_no_memory_of_the_gpu_and_no_file():
    ten, sixty = watched(experiment(60, "cuda"), {10, 60})
    assert ten.gpu > MIB
    assert sixty.gpu == ten.gpu
    assert sixty.files == ten.files
