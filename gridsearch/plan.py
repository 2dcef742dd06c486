"""What a run will do, and whether it can, known without rendering."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from gridsearch import store
from gridsearch.drawing import provenance, sampling_of, usual_notes
from gridsearch.errors import BadInput
from gridsearch.experiment import Experiment
from gridsearch.judging import opened
from gridsearch.merge.sources import Residence
from gridsearch.parents import Parents, open_parents, require_mode, warnings_about
from gridsearch.prompt_notes import foreign_settings
from gridsearch.render.cases import cases_of
from gridsearch.render.components import check_clip_skip, component_folder, load_tokenizers
from gridsearch.render.cost import seconds_per_image
from gridsearch.render.pipeline import placement
from gridsearch.render.skeleton import check_file
from gridsearch.search.space import planned_trials
from gridsearch.setup import residence_of
from gridsearch.units import size
from gridsearch.values import choices_of
from gridsearch.weights import Weights, adapter_notes, open_weights

# A PNG of a drawn picture takes about this many bytes a pixel (1.1 to 1.9 on published SDXL renders).
PNG_BYTES_PER_PIXEL = 1.6
USUAL_BATCH = 8  # where the run will find out what fits


@dataclass(frozen=True)
class Memory:
    """What the run takes at most of the device's memory and of this machine's, in bytes.

    On a CPU the two are one. Mapped files are not counted: the system lets go of them where it must.
    """

    device: int
    device_free: int
    host: int
    host_free: int
    residence: Residence


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
    memory: Memory
    seconds: float
    seconds_from: str  # what the estimate rests on
    settings: list[dict[str, str]]  # of the images: setting, value, and where that is from
    warnings: list[str]

    @property
    def images(self) -> int:
        return self.trials * self.cases + self.references


def make_plan(experiment: Experiment, folder: Path) -> Plan:
    """Check an experiment and say what it needs.

    Raises:
        BadInput: it could not run: a file, a setting, a scorer, the disk or the memory.
    """
    parents = open_parents(experiment)
    require_mode(experiment, parents)
    opened(experiment.score)
    config = component_folder(experiment.render.config, experiment.render.vocabulary)
    check_clip_skip(config, max(choices_of(experiment.render.clip_skip)))
    check_file(parents.first.path, config)
    weights = open_weights(experiment, parents, experiment.render.config)
    load_tokenizers(config)  # says where a prompt would not be read as the model was trained
    trials, cases = planned_trials(experiment), len(cases_of(experiment.prompt))
    references = cases * len(experiment.reference_models())
    disk, disk_free = require_disk(experiment, folder)
    seconds, seconds_from = _seconds_per_image(experiment, parents, config, folder)
    plan = Plan(
        experiment=experiment,
        parents=parents,
        searched=experiment.searched(),
        trials=trials,
        cases=cases,
        references=references,
        disk=disk,
        disk_free=disk_free,
        memory=_memory(experiment, weights),
        seconds=seconds * (trials * cases + references),
        seconds_from=seconds_from,
        settings=provenance(experiment, parents),
        warnings=warnings_about(experiment, parents)
        + usual_notes(experiment.render)
        + foreign_settings(experiment)
        + adapter_notes(weights.adapters),
    )
    _require_memory(plan.memory)
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


def _seconds_per_image(
    experiment: Experiment, parents: Parents, config: Path, folder: Path
) -> tuple[float, str]:
    """Measured where this folder has images already, otherwise estimated from the arithmetic it takes."""
    if store.has_study(folder):
        trials = store.read_study(folder).trials
        seconds = [row["seconds"] for trial in trials for row in store.images_of(trial)]
        if seconds:
            return sum(seconds) / len(seconds), f"the {len(seconds):,} images drawn so far"
    render = experiment.render
    sampling = sampling_of(render, parents)
    estimate = seconds_per_image(config, sampling, render.batch or USUAL_BATCH, render.device, render.dtype)
    return estimate, "the UNet's arithmetic and this machine's speed; a guess within a factor of two or three"


def _memory(experiment: Experiment, weights: Weights) -> Memory:
    """The live copy of the weights, in the precision that draws, the sources where they are held, and room
    to merge the largest weight."""
    place = placement(experiment.render.device, experiment.render.dtype)
    elements = [math.prod(weights.infos[key].shape) for key in weights.merged]
    live = sum(elements) * place.dtype.itemsize
    lies = residence_of(experiment, weights, place.device, live)
    merging = 2 * max(elements) * torch.float32.itemsize
    host_free = psutil.virtual_memory().available
    if place.device == "cuda":
        device_free = torch.cuda.mem_get_info()[0]
        # the file is read into this machine's memory before it goes to the GPU
        return Memory(live + lies.on_gpu + merging, device_free, live + lies.pinned, host_free, lies)
    return Memory(live + merging, host_free, live + merging, host_free, lies)


def _require_memory(memory: Memory) -> None:
    for what, needed, free in (
        ("memory", memory.host, memory.host_free),
        ("memory on the GPU", memory.device, memory.device_free),
    ):
        if needed > free:
            raise BadInput(
                f"There is too little {what}: the run takes about {size(needed)}.",
                why=f"{size(free)} are free.",
                fix='Close other programs, or set render.dtype = "bfloat16".',
            )


def _existing(folder: Path) -> Path:
    """The nearest folder that is there: where a new one would be made."""
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.exists())
