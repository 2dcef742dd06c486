"""One trial against what is done by hand today.

    python -m benchmarks.trial [EXPERIMENT.toml]

By hand: merge two files into a third, load that into a pipeline, draw prompt after prompt. Here: write the
merge over the live weights, draw in batches, score, record. Both are measured side by side in one run.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import logging
from safetensors.torch import load_file, save_file

from benchmarks.quiet import Quiet
from gridsearch.drawing import sampling_of
from gridsearch.experiment import load_experiment
from gridsearch.parents import open_parents
from gridsearch.render.components import component_folder
from gridsearch.render.schedulers import scheduler_for
from gridsearch.setup import Setup, load_setup, with_references
from gridsearch.trial import run_trial

TOY = Path(__file__).parent.parent / "experiments" / "toy.toml"
RATIOS = (0.3, 0.6, 0.9)


def main(path: Path) -> None:
    """Print the seconds of each part, by hand and here, and their ratios."""
    experiment = load_experiment(path)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_setup(experiment, open_parents(experiment), Path(folder), Quiet())
        setup = with_references(loaded, [])
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        # Side by side and the best of each, so that a busy machine slows both.
        ours = [here(number, setup, ratio) for number, ratio in enumerate(RATIOS)]
        theirs = [by_hand(setup, ratio, Path(folder) / "merged.safetensors") for ratio in RATIOS]
    images = len(setup.cases)
    ours = {part: min(seconds[part] for seconds in ours) for part in ours[0]}
    theirs = {part: min(seconds[part] for seconds in theirs) for part in theirs[0]}
    device = setup.renderer.pipe.device
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores")
    for name, parts in (("by hand", theirs), ("here", ours)):
        print(f"{name:<8}", "  ".join(f"{part} {seconds:.3f} s" for part, seconds in parts.items()))
    print(f"merge: {theirs['merge and load'] / ours['merge']:.0f} x as fast")
    print(f"draw:  {theirs['render'] / ours['render']:.2f} x as fast ({images} images)")
    overhead = (ours["merge"] + ours["score"] + ours["rest"]) / ours["render"]
    print(f"overhead of a trial: {overhead:.1%} of its render time")
    if device.type == "cuda":
        print(f"peak GPU memory: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB")


def here(number: int, setup: Setup, ratio: float) -> dict[str, float]:
    """Seconds of a trial's parts; `rest` is what is none of them: PNGs, bookkeeping."""
    parameters = dict.fromkeys(setup.experiment.searched(), ratio)
    began = time.perf_counter()
    outcome = run_trial(number, parameters, setup, lambda *_: None)
    rest = time.perf_counter() - began - sum(outcome.seconds.values())
    return {**outcome.seconds, "rest": rest}


def by_hand(setup: Setup, ratio: float, path: Path) -> dict[str, float]:
    """Seconds to merge through a file and load it, and to draw one image at a time."""
    render, live = setup.experiment.render, setup.renderer.pipe
    began = time.perf_counter()
    first, second = (load_file(checkpoint.path) for checkpoint in setup.parents.checkpoints.values())
    save_file({key: mixed(first[key], second[key], ratio) for key in first}, path)
    del first, second
    pipe = StableDiffusionXLPipeline.from_single_file(
        str(path),
        config=str(component_folder(render.config, render.vocabulary)),
        local_files_only=True,
        add_watermarker=False,
        torch_dtype=live.unet.dtype,
    ).to(live.device)
    loaded = time.perf_counter()
    sampling = sampling_of(render, setup.parents)
    pipe.scheduler = scheduler_for(sampling, dict(pipe.scheduler.config))
    pipe.set_progress_bar_config(disable=True)
    for case in setup.cases:
        pipe(
            case.text,
            generator=torch.Generator("cpu").manual_seed(case.seed),
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.cfg,
            width=sampling.width,
            height=sampling.height,
        )
    return {"merge and load": loaded - began, "render": time.perf_counter() - loaded}


def mixed(first: torch.Tensor, second: torch.Tensor, ratio: float) -> torch.Tensor:
    return torch.lerp(first, second, ratio) if first.is_floating_point() else first


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TOY)
