"""What a run will do, and whether it can, known without rendering."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from gridsearch import store
from gridsearch.errors import BadInput
from gridsearch.experiment import Experiment
from gridsearch.parents import Parents, open_parents, samplings_of, usual_value, warnings_about
from gridsearch.render.cases import cases_of, cut_prompts
from gridsearch.render.components import component_folder, load_tokenizers
from gridsearch.render.cost import seconds_per_image
from gridsearch.render.pipeline import placement
from gridsearch.render.schedulers import scheduler_for
from gridsearch.render.skeleton import check_file
from gridsearch.search.space import planned_trials
from gridsearch.units import size

# A PNG of a drawn picture takes about this many bytes a pixel (1.1 to 1.9 on published SDXL renders).
PNG_BYTES_PER_PIXEL = 1.6


@dataclass(frozen=True)
class Plan:
    """What the run will do. Sizes in bytes, times in seconds."""

    experiment: Experiment
    parents: Parents
    searched: Mapping[str, object]
    trials: int
    cases: int
    references: int
    disk: int
    disk_free: int
    memory: int
    memory_free: int
    seconds: float
    seconds_from: str  # what the estimate rests on
    warnings: list[str]

    @property
    def images(self) -> int:
        return self.trials * self.cases + self.references


def make_plan(experiment: Experiment, folder: Path) -> Plan:
    """Check an experiment and say what it needs.

    Raises:
        BadInput: it could not run: a file, a setting, the disk or the memory.
    """
    parents = open_parents(experiment)
    config = component_folder(experiment.render.config, experiment.render.vocabulary)
    check_file(parents.first.path, config)
    tokenizer = load_tokenizers(config)["tokenizer"]
    scheduler = json.loads((config / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    for sampling in samplings_of(experiment, parents):
        scheduler_for(sampling, scheduler)  # says where a sampler and a mode do not go together
    trials, cases = planned_trials(experiment), len(cases_of(experiment.prompt))
    references = cases * len(experiment.reference_models())
    disk, disk_free = require_disk(experiment, folder)
    seconds, seconds_from = _seconds_per_image(experiment, config, folder)
    plan = Plan(
        experiment=experiment,
        parents=parents,
        searched=experiment.searched(),
        trials=trials,
        cases=cases,
        references=references,
        disk=disk,
        disk_free=disk_free,
        memory=_memory(experiment, parents),
        memory_free=_memory_free(experiment),
        seconds=seconds * (trials * cases + references),
        seconds_from=seconds_from,
        warnings=warnings_about(experiment, parents) + cut_prompts(experiment.prompt, tokenizer),
    )
    _require_memory(plan)
    return plan


def require_disk(experiment: Experiment, folder: Path) -> tuple[int, int]:
    """The bytes that the experiment's images take, and the bytes that are free.

    Raises:
        BadInput: the first is more than the second.
    """
    render = experiment.render
    models = planned_trials(experiment) + len(experiment.reference_models())
    images = models * len(cases_of(experiment.prompt))
    needed = int(images * render.width * render.height * PNG_BYTES_PER_PIXEL)
    free = shutil.disk_usage(_existing(folder)).free
    if needed > free:
        raise BadInput(
            f"The disk is too small: {images:,} images take about {size(needed)}.",
            where=_existing(folder),
            why=f"{size(free)} are free.",
            fix="Free some space, use --out on another disk, or search fewer ratios.",
        )
    return needed, free


def _seconds_per_image(experiment: Experiment, config: Path, folder: Path) -> tuple[float, str]:
    """Measured where this folder has images already, otherwise estimated from the arithmetic it takes."""
    if store.has_study(folder):
        _, trials = store.read_study(folder)
        seconds = [row["seconds"] for trial in trials for row in trial.user_attrs.get(store.IMAGES, ())]
        if seconds:
            return sum(seconds) / len(seconds), f"the {len(seconds):,} images drawn so far"
    render = experiment.render
    estimate = seconds_per_image(
        config,
        width=render.width,
        height=render.height,
        steps=usual_value(render.steps),
        guided=usual_value(render.cfg) > 1,
        batch=render.batch,
        device=render.device,
        dtype=render.dtype,
    )
    return estimate, "the UNet's arithmetic and this machine's speed; a guess within a factor of two or three"


def _memory(experiment: Experiment, parents: Parents) -> int:
    """The one live copy of the weights, in the precision that draws. The files are mapped, not loaded."""
    place = placement(experiment.render.device, experiment.render.dtype)
    elements = sum(math.prod(info.shape) for info in parents.first.tensors.values() if info.merges)
    return elements * place.dtype.itemsize


def _memory_free(experiment: Experiment) -> int:
    if placement(experiment.render.device, experiment.render.dtype).device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available


def _require_memory(plan: Plan) -> None:
    if plan.memory > plan.memory_free:
        raise BadInput(
            f"There is too little memory: the model takes about {size(plan.memory)}.",
            why=f"{size(plan.memory_free)} are free.",
            fix='Close other programs, or set render.dtype = "bfloat16".',
        )


def _existing(folder: Path) -> Path:
    """The nearest folder that is there: where a new one would be made."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.exists())
