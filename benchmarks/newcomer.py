"""A newcomer's path, timed: clone, `make demo`, open the report, export, draw with plain diffusers.

    python -m benchmarks.newcomer [REPOSITORY]

Everything happens in an empty clone in a temporary folder, with an environment of its own. The exported file
is drawn from by a pipeline of diffusers alone, one image after the other, and held against the best trial's
images.
"""

import os

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ["HF_HUB_OFFLINE"] = "1"

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
from diffusers.utils import logging
from PIL import Image
from playwright.sync_api import sync_playwright
from torch import Generator, set_num_threads

PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def main(repository: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary) / "gridsearch"
        began = time.perf_counter()
        with timed("clone"):
            subprocess.run(["git", "clone", "-q", repository, clone], check=True)
        with timed("make demo, the installation in it"):
            subprocess.run(["make", "demo"], cwd=clone, check=True, stdout=subprocess.DEVNULL)
        results, exported = clone / "results" / "toy", clone / "best.safetensors"
        with timed("open the report"):
            title, painted = opened(results / "report.html")
        with timed("export"):
            command = shlex.split("gridsearch export results/toy -o best.safetensors")
            command[0] = str(clone / ".venv" / "bin" / command[0])
            subprocess.run(command, cwd=clone, check=True, stdout=subprocess.DEVNULL)
        print(f"altogether {time.perf_counter() - began:.0f} s; the page says: {title}")
        print(f"its first paint came after {painted:.0f} ms")
        compare(results, exported, clone / "experiments" / "toy" / "config")


@contextmanager
def timed(name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)


def opened(report: Path) -> tuple[str, float]:
    """The page's title, and the milliseconds until it showed anything."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(report.as_uri())
        page.wait_for_function(PAINTED)
        found = page.title(), page.evaluate(PAINTED)
        browser.close()
    return found


def compare(results: Path, exported: Path, config: Path) -> None:
    """Print how far plain diffusers' pictures of the exported file are from those of the run."""
    logging.disable_progress_bar()
    set_num_threads(1)  # more would wait for one another: the models are tiny
    best = json.loads((results / "best.json").read_text())
    images = pd.read_csv(results / "images.csv")
    images = images[(images["role"] == "search") & images["stopped"].isna()]
    pipe, render = plain_pipeline(exported, config, best), best["recipe"]["render"]
    differences = []
    for row in images[images["trial"] == best["trial"]].itertuples():
        drawn = pipe(
            row.prompt,
            generator=Generator().manual_seed(row.seed),
            num_inference_steps=render["steps"],
            guidance_scale=render["cfg"],
            width=render["width"],
            height=render["height"],
        ).images[0]
        kept = np.asarray(Image.open(results / row.file).convert("RGB"), dtype=int)
        differences.append(np.abs(np.asarray(drawn, dtype=int) - kept).max())
    worst = max(differences)
    print(f"plain diffusers draws the {len(differences)} images of the exported file within {worst} of 255")


def plain_pipeline(exported: Path, config: Path, best: dict) -> StableDiffusionXLPipeline:
    """Do what a user of diffusers would write; the scheduler is told what the file's own metadata says."""
    pipe = StableDiffusionXLPipeline.from_single_file(
        str(exported), config=str(config), local_files_only=True, add_watermarker=False
    )
    pipe.scheduler = EulerDiscreteScheduler.from_config(
        pipe.scheduler.config,
        prediction_type=best["recipe"]["render"]["prediction_type"],
        rescale_betas_zero_snr=best["recipe"]["render"]["zero_terminal_snr"],
        timestep_spacing="trailing",
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[1]))
