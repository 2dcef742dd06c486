"""One trial against what is done by hand today, on the toy: `python -m benchmarks.trial`.

By hand: merge two files into a third, load that into a pipeline, draw prompt after prompt.
Here: write the merge over the live weights, draw in batches.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import tempfile
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from gridsearch.experiment import load_experiment
from gridsearch.merge.linear import merge_into
from gridsearch.parents import open_parents, sampling_of
from gridsearch.render.draw import draw
from gridsearch.render.schedulers import scheduler_for
from gridsearch.setup import load_setup

ROOT = Path(__file__).parent.parent
RATIOS = (0.3, 0.6, 0.9)


def main() -> None:
    logging.disable_progress_bar()
    experiment = load_experiment(ROOT / "experiments" / "toy.toml")
    setup = load_setup(experiment, open_parents(experiment), Path("unused"))
    sampling = sampling_of(experiment.render, setup.parents)
    rows = []
    for ratio in RATIOS:  # side by side, so that a busy machine slows both
        rows.append((*by_hand(setup, sampling, ratio), *here(setup, sampling, ratio)))
    names = ("merge and load, by hand", "draw, by hand", "merge, here", "draw, here")
    seconds = [min(column) for column in zip(*rows, strict=True)]
    for name, value in zip(names, seconds, strict=True):
        print(f"{name:<26}{value:8.3f} s")
    print(f"merge: {seconds[0] / seconds[2]:.0f} x as fast")
    print(f"draw:  {seconds[1] / seconds[3]:.2f} x as fast ({len(setup.cases)} images)")


def by_hand(setup, sampling, ratio: float) -> tuple[float, float]:
    """Seconds to merge through a file and load it, and to draw one image at a time."""
    began = time.perf_counter()
    first, second = (load_file(checkpoint.path) for checkpoint in setup.parents.checkpoints.values())
    merged = {key: torch.lerp(first[key].float(), second[key].float(), ratio).half() for key in first}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "merged.safetensors"
        save_file(merged, path)
        pipe = StableDiffusionXLPipeline.from_single_file(
            str(path),
            config=str(setup.experiment.render.config),
            local_files_only=True,
            add_watermarker=False,
        )
    pipe.scheduler = scheduler_for(sampling, dict(pipe.scheduler.config))
    pipe.set_progress_bar_config(disable=True)
    loaded = time.perf_counter()
    for case in setup.cases:
        pipe(
            case.text,
            generator=torch.Generator("cpu").manual_seed(case.seed),
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.cfg,
            width=sampling.width,
            height=sampling.height,
        )
    return loaded - began, time.perf_counter() - loaded


def here(setup, sampling, ratio: float) -> tuple[float, float]:
    """Seconds to merge over the live weights, and to draw in batches."""
    first, second = setup.parents.checkpoints
    began = time.perf_counter()
    merge_into(setup.renderer.live, setup.sources, {first: 1 - ratio, second: ratio})
    merged = time.perf_counter()
    list(draw(setup.renderer, setup.cases, sampling, setup.experiment.render.batch))
    return merged - began, time.perf_counter() - merged


if __name__ == "__main__":
    main()
