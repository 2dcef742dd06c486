"""One trial against what is done by hand today.

    python -m benchmarks.trial [EXPERIMENT.toml]

By hand: merge two files into a third, load that into a plain pipeline, draw prompt after prompt. Here: write
the merge over the live weights, draw in batches, score, record. Both have the same settings, and as many
threads as the renderer sets; nothing is given up early. They are measured in turn, and the best of each
counts. On a CPU drawing is measured in the process's own seconds, so that other programs do not count.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from benchmarks.quiet import Quiet
from gridsearch.checkpoint.ldm.components import config_folder, load_tokenizers
from gridsearch.experiment.experiment import Experiment, load_experiment
from gridsearch.merge.parents import Parents, open_parents
from gridsearch.render.cases import Case
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.denoise.schedulers import scheduler_for
from gridsearch.render.draw import draw
from gridsearch.render.placement import placement
from gridsearch.score.measure import read_image
from gridsearch.search.trial.settings import sampling_of
from gridsearch.search.trial.setup import Setup, load_setup, with_references
from gridsearch.search.trial.trial import run_trial

TOY = Path(__file__).parent.parent / "experiments" / "toy.toml"
RATIOS = (0.3, 0.9, 0.6)  # of a round each; by hand there is only the last
Seconds = dict[str, float]


def main(path: Path, compiled: bool = False) -> None:
    """Print the seconds of each part, by hand and here, and their ratios.

    Args:
        compiled: whether to draw with torch.compile too.
    """
    experiment = _with(load_experiment(path), early_abort=0.0, compile=False)
    parents = open_parents(experiment)
    sampling = sampling_of(experiment.render, parents)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        eager = compare(experiment, parents, sampling, Path(folder))
        if compiled:
            compare_compiled(_with(experiment, compile=True), parents, Path(folder), eager)


def compare(experiment: Experiment, parents: Parents, sampling: Sampling, folder: Path) -> float:
    """Print all but what compiling gives; the seconds that a trial draws for."""
    # By hand first, so that what is loaded after it finds its room in the memory that is left.
    pipe, merging = by_hand(experiment, parents, RATIOS[-1], folder / "merged.safetensors")
    beside = _allocated()
    setup = _setup(experiment, parents, folder)
    clock = time.process_time if setup.renderer.place.device == "cpu" else time.perf_counter
    rounds = []
    for number, ratio in enumerate(RATIOS):
        _forget_peak()
        trial = here(number, setup, ratio)
        peak = _peak() - beside
        batch = setup.renderer.batches.size(sampling, experiment.render.batch)
        began = clock()
        pictures = drawn_by_hand(pipe, setup.cases, sampling)
        middle = clock()
        drawn_by_hand(pipe, setup.cases, sampling, batch)
        spent = {BY_HAND: middle - began, BY_HAND_TOGETHER: clock() - middle}
        rounds.append({**trial, **spent, TOGETHER: together(setup, sampling, clock)})
    alone = singly(setup, sampling, clock)  # once, so it is held against the round right before it
    best = {part: min(one[part] for one in rounds) for part in rounds[0]}
    images, batch = len(setup.cases), min(len(setup.cases), batch)
    difference = _difference(folder, len(RATIOS) - 1, setup.cases, pictures)

    print(_device(setup))
    print(f"by hand  merge and load {merging:.3f} s")
    print("here     " + "  ".join(f"{part} {best[part]:.3f} s" for part in PARTS))
    print(f"merge: {merging / best['merge']:.0f} x as fast (the models are {setup.residence})")
    print(f"draw {images} images: by hand {best[BY_HAND]:.2f} s, here {best[TOGETHER]:.2f} s")
    print(f"  {best[BY_HAND] / best[TOGETHER]:.2f} x as fast {TOGETHER} of {batch}")
    print(f"  {best[BY_HAND_TOGETHER] / best[TOGETHER]:.2f} x as fast as diffusers' calls of as many images")
    for part in SINGLY:
        print(f"  {rounds[-1][BY_HAND] / alone[part]:.2f} x as fast {part}")
    print(f"the pictures differ by {difference:.3f} of 255")
    overhead = (best["merge"] + best["rest"]) / best["render"]
    print(f"overhead of a trial: {overhead:.1%} of its render time")
    if _on_gpu():
        print(f"peak GPU memory: {peak / 1e9:.2f} GB, without {beside / 1e9:.2f} GB of the pipeline by hand")
    return best["render"]


def compare_compiled(experiment: Experiment, parents: Parents, folder: Path, eager: float) -> None:
    """Print what torch.compile gives. It compiles for each new batch size: in the first two rounds."""
    torch.cuda.empty_cache()
    setup = _setup(experiment, parents, folder)
    seconds = [here(number, setup, ratio)["render"] for number, ratio in enumerate((*RATIOS, *RATIOS))]
    usual = min(seconds[2:])
    print(f"compiled: {eager / usual:.2f} x as fast as not, after {sum(seconds[:2]) - 2 * usual:.0f} s of it")


# -- here

PARTS = ("merge", "render", "rest", "score")
BY_HAND, BY_HAND_TOGETHER, TOGETHER = "by hand", "by hand in batches", "in batches"
SINGLY = ("one at a time, each prompt encoded once", "one at a time, every prompt encoded for every image")
Clock = Callable[[], float]


def here(number: int, setup: Setup, ratio: float) -> Seconds:
    """Seconds of a trial's parts.

    `rest` is neither merging nor drawing: waiting for scores and PNGs, which another thread makes meanwhile,
    and bookkeeping. `score` is that thread's.
    """
    parameters = dict.fromkeys(setup.experiment.searched(), ratio)
    spent = Counter()
    began = time.perf_counter()
    for batch in run_trial(setup, parameters, setup.cases, f"images/t{number:04}_", lambda *_: None):
        spent.update(batch.seconds)
    rest = time.perf_counter() - began - spent["merge"] - spent["render"]
    return {**spent, "rest": rest}


def together(setup: Setup, sampling: Sampling, clock: Clock) -> float:
    """Seconds to draw the images as a trial does."""
    setup.renderer.encoded.clear()
    began = clock()
    list(draw(setup.renderer, setup.cases, sampling, setup.experiment.render.batch))
    return clock() - began


def singly(setup: Setup, sampling: Sampling, clock: Clock) -> Seconds:
    """Seconds of the same images without batches: with an embedding that is kept, and without."""
    renderer = setup.renderer
    renderer.encoded.clear()
    began = clock()
    list(draw(renderer, setup.cases, sampling, batch=1))
    kept = clock() - began
    began = clock()
    for case in setup.cases:
        renderer.encoded.clear()
        list(draw(renderer, [case], sampling, batch=1))
    return dict(zip(SINGLY, (kept, clock() - began), strict=True))


def _setup(experiment: Experiment, parents: Parents, folder: Path) -> Setup:
    return with_references(load_setup(experiment, parents, folder, Quiet()), [])


def _with(experiment: Experiment, **settings: Any) -> Experiment:
    return experiment.model_copy(update={"render": experiment.render.model_copy(update=settings)})


# -- by hand


def by_hand(
    experiment: Experiment, parents: Parents, ratio: float, path: Path
) -> tuple[StableDiffusionXLPipeline, float]:
    """A plain pipeline with the merge, and the seconds to merge through a file and load it."""
    render = experiment.render
    place = placement(render.device, render.dtype)
    began = time.perf_counter()
    config = config_folder(render.config)
    first, second = (load_file(checkpoint.path) for checkpoint in parents.checkpoints.values())
    save_file({key: mixed(first[key], second[key], ratio) for key in first}, path)
    del first, second
    pipe = StableDiffusionXLPipeline.from_single_file(
        str(path),
        config=str(config),
        local_files_only=True,
        add_watermarker=False,
        torch_dtype=place.dtype,
        **load_tokenizers(config, render.vocabulary),
    ).to(place.device)
    loaded = time.perf_counter() - began
    pipe.scheduler = scheduler_for(sampling_of(render, parents), dict(pipe.scheduler.config))
    pipe.set_progress_bar_config(disable=True)
    return pipe, loaded


def drawn_by_hand(
    pipe: StableDiffusionXLPipeline, cases: Sequence[Case], sampling: Sampling, batch: int = 1
) -> list[np.ndarray]:
    """The pixels (H, W, 3), so many images a call.

    A call takes the negative prompts of all images or of none: where one of several has none, it is encoded
    as an empty text instead of zeros, which takes as long.
    """
    pictures: list[np.ndarray] = []
    for first in range(0, len(cases), batch):
        part = cases[first : first + batch]
        negatives = [case.negative for case in part]
        drawn = pipe(
            [case.text for case in part],
            negative_prompt=negatives if any(negatives) else None,
            generator=[torch.Generator("cpu").manual_seed(case.seed) for case in part],
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.cfg,
            guidance_rescale=sampling.cfg_rescale,
            width=sampling.width,
            height=sampling.height,
        )
        pictures += map(np.asarray, drawn.images)
    return pictures


def mixed(first: torch.Tensor, second: torch.Tensor, ratio: float) -> torch.Tensor:
    return torch.lerp(first, second, ratio) if first.is_floating_point() else first


def _difference(folder: Path, number: int, cases: Sequence[Case], pictures: Sequence[np.ndarray]) -> float:
    """The mean difference of a trial's pictures from those drawn by hand, in 8-bit levels."""
    ours = [read_image(folder / "images" / f"t{number:04}_{case.id}.png") for case in cases]
    return float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(ours, pictures, strict=True)]))


# -- measuring


def _on_gpu() -> bool:
    return torch.cuda.is_available()


def _allocated() -> int:
    return torch.cuda.memory_allocated() if _on_gpu() else 0


def _forget_peak() -> None:
    if _on_gpu():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    return torch.cuda.max_memory_allocated() if _on_gpu() else 0


def _device(setup: Setup) -> str:
    device = setup.renderer.pipe.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "diffusers"))
    return f"{name}, {setup.renderer.place}, {versions}"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TOY)
