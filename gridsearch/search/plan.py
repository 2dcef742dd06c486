"""The plan of a run: its trials, images, disk, memory and time, known without rendering."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import torch

from gridsearch.base.errors import BadInput
from gridsearch.base.machine import LocalWorkers, free_memory
from gridsearch.base.words import size
from gridsearch.checkpoint.inspect import Hashing
from gridsearch.checkpoint.ldm.components import check_clip_skip, config_folder, load_tokenizers
from gridsearch.experiment.experiment import Experiment
from gridsearch.experiment.values import choices_of, usual_value
from gridsearch.merge.engine.shelf import has_room, shelves
from gridsearch.merge.engine.sources import Residence
from gridsearch.merge.parents import Parents
from gridsearch.merge.weights import (
    Reading,
    Weights,
    adapter_notes,
    open_weights,
    require_complete,
    residence_of,
)
from gridsearch.render.denoise.guidance.branches import branches
from gridsearch.render.denoise.hires import passes
from gridsearch.render.denoise.sampling import Sampling
from gridsearch.render.placement import placement, seconds_per_image
from gridsearch.results import store
from gridsearch.search.cases import Counts, counted
from gridsearch.search.disk import Disk, disk_of
from gridsearch.search.prepare import Prepared, check_experiment, notes_on, prepare_checked
from gridsearch.search.resume import has_grown
from gridsearch.search.samplers.expectation import probe_calls, probed_ratios
from gridsearch.search.trial.settings import provenance, sampling_of

USUAL_BATCH = 8  # where the run will find out what fits
ALONE = LocalWorkers(1, ())


@dataclass(frozen=True)
class Memory:
    """The most memory that the run's workers take of a device and of this machine, in bytes.

    On a CPU the two are one. Mapped files are not counted: the system lets go of them where it must.
    """

    device: int
    device_free: int
    host: int
    host_free: int
    residence: Residence


@dataclass(frozen=True)
class Plan(Counts):
    """The size of a run, and what it takes. Sizes in bytes, times in seconds."""

    experiment: Experiment
    parents: Parents
    searched: Mapping[str, object]
    disk: Disk
    memory: Memory
    workers: LocalWorkers  # the processes that draw
    ended: int  # trials that are in the folder already
    left: int  # trials still to do, at most
    device: str  # with which they do, and its precision
    seconds: float  # at most, were no trial stopped early
    fewest_seconds: float  # for the fewest trials
    seconds_from: str  # what the estimate rests on
    probed: int  # ratios that are asked for the references before any is drawn
    probe_images: float  # whose drawing takes as many UNet calls
    settings: list[dict[str, str]]  # of the images: setting, value, and where that is from
    shelf: Path | None  # the folder for what steps make, if memory has no room and the disk has
    warnings: list[str]


def make_plan(
    experiment: Experiment,
    folder: Path,
    timed: Reading | None = None,
    workers: LocalWorkers = ALONE,
    file: Path = Path("EXPERIMENT.toml"),
    hashing: Hashing = lambda *_: lambda _: None,
) -> Plan:
    """Check an experiment and say what it needs; where the folder holds its run, what is left of it.

    Where `timed` is to be told how the models are read, these are loaded and merged once, and one image is
    drawn and kept nowhere, to know the time; otherwise it is estimated.

    Args:
        file, hashing: as in `prepare`; both are for a folder that holds a run.

    Raises:
        BadInput: it could not run: a file, a setting, a scorer, the disk, the memory, or another experiment's
            run in the folder.
    """
    parents, standard = check_experiment(experiment)
    config = config_folder(experiment.render.config, experiment.its_family)
    check_clip_skip(config, max(choices_of(experiment.render.clip_skip)))
    require_complete(experiment, parents, config)
    weights = open_weights(experiment, parents, experiment.render.config)
    if experiment.render.config or experiment.render.vocabulary:  # the package's own are known to fit
        load_tokenizers(config, experiment.render.vocabulary)
    counts = counted(experiment)
    ended, left, checks = 0, counts.trials + counts.glances, counts.checks
    if store.has_study(folder):
        prepared = prepare_checked(experiment, parents, standard, file, folder, hashing)
        ended, left, checked = _progress(prepared)
        checks = max(checks - checked, 0)
    disk = disk_of(experiment, folder, counts)
    memory = _memory(experiment, weights, workers)
    _require_memory(memory)
    if timed:
        merge, image, source = _timed(experiment, parents, folder, timed)
    else:
        merge, image, source = _estimated(experiment, parents, folder)
    image *= 1 + judging_share(experiment, parents)
    probed, probe_images = len(probed_ratios(experiment)), probe_share(experiment, parents)
    probing = 0.0 if ended else probed * merge + probe_images * image
    whole = min(left, counts.trials)
    fewest = min(max(counts.fewest - ended, 0), left)
    others = checks + (0 if ended else counts.references)
    most = whole * counts.cases + left - whole + others
    least = fewest * counts.cases + others
    return Plan(
        **vars(counts),
        experiment=experiment,
        parents=parents,
        searched=experiment.searched(),
        disk=disk,
        memory=memory,
        workers=workers,
        device=placement(experiment.render.device, experiment.render.dtype).described(),
        ended=ended,
        left=left,
        seconds=probing + (left * merge + most * image) / workers.speedup,
        fewest_seconds=probing + (fewest * merge + least * image) / workers.speedup,
        seconds_from=source,
        probed=probed,
        probe_images=probe_images,
        settings=provenance(experiment, parents),
        shelf=shelves() if has_room(memory.residence.left_over) else None,
        warnings=notes_on(experiment, parents) + adapter_notes(weights.adapters),
    )


def _progress(prepared: Prepared) -> tuple[int, int, int]:
    """Return how many trials of a run have ended, how many are left, and the images of its checks so far.

    With more prompts than before, all trials are left.
    """
    earlier = prepared.earlier
    assert earlier is not None
    if has_grown(earlier.facts, prepared.facts):
        return 0, max(store.remaining(prepared.facts, earlier.trials), len(earlier.trials)), 0
    left = store.remaining(prepared.facts, earlier.trials, earlier.done)
    checked = sum(len(store.images_of(check)) for check in earlier.checks)
    return sum(trial.state in store.ENDED for trial in earlier.trials), left, checked


def _estimated(experiment: Experiment, parents: Parents, folder: Path) -> tuple[float, float, str]:
    """Return the seconds of a merge and of an image, and what is known of them.

    Measured where this folder has images already, otherwise estimated from the arithmetic it takes.
    """
    if store.has_study(folder):
        trials = store.read_study(folder).trials
        seconds = [row["seconds"] for trial in trials for row in store.images_of(trial)]
        if seconds:
            return 0.0, sum(seconds) / len(seconds), f"the {len(seconds):,} images drawn so far"
    source = "the UNet's arithmetic and this machine's speed; a guess within a factor of two or three"
    return 0.0, seconds_of_image(experiment, parents), source


def seconds_of_image(experiment: Experiment, parents: Parents) -> float:
    """Return a rough estimate of an image's seconds, from its arithmetic and this machine's speed."""
    render = experiment.render
    sampling = sampling_of(render, parents)
    shapes = {key: info.shape for key, info in parents.first.tensors.items()}
    batch = render.batch or USUAL_BATCH
    return statistics.fmean(
        seconds_per_image(shapes, replace(sampling, sampler=name), batch, render.device, render.dtype)
        for name in choices_of(render.sampler)
    )


def judging_share(experiment: Experiment, parents: Parents) -> float:
    """Return the seconds in which the parents judge an image, as a share of those in which it is drawn."""
    asked, sampling = experiment.score.content, sampling_of(experiment.render, parents)
    if asked is None:
        return 0.0
    drawing = _calls(sampling, *experiment.render.picture_size) * len(branches(sampling))
    return 2 * len(asked.levels) * len(experiment.reference_models()) / drawing


def probe_share(experiment: Experiment, parents: Parents) -> float:
    """Return of how many images the drawing takes as many UNet calls as the probe."""
    sampling = sampling_of(experiment.render, parents)
    return probe_calls(experiment) / _calls(sampling, sampling.width, sampling.height)


def _calls(sampling: Sampling, width: int, height: int) -> float:
    """Return the UNet calls of an image, a branch, as those at this size that take as long."""
    pixels = sum(one.calls * one.sampling.width * one.sampling.height for one in passes(sampling))
    return pixels / (width * height)


def _timed(
    experiment: Experiment, parents: Parents, folder: Path, listener: Reading
) -> tuple[float, float, str]:
    """Return the same, measured on the first case, drawn to its end with the middle of all that is searched.

    Alone in its batch and the first of all, so that the others will not take longer.
    """
    from gridsearch.render.draw import draw  # seconds of imports, which other plans are spared
    from gridsearch.search.trial.setup import load_setup, merge_over

    setup = load_setup(experiment, parents, folder, listener)
    fixed = experiment.at({name: usual_value(values) for name, values in experiment.searched().items()})
    began = perf_counter()
    merge_over(setup, setup.weights.terms(fixed), fixed)
    merged = perf_counter() - began
    sampling = sampling_of(fixed.render, parents.of(fixed))
    (drawn,) = draw(setup.renderer, setup.cases[:1], sampling, 1)
    return merged, drawn.seconds, "one image drawn now, alone; in batches it is faster"


def _memory(experiment: Experiment, weights: Weights, crew: LocalWorkers) -> Memory:
    """Sum up each worker's live weights as they draw, the sources where they are held, and room to merge.

    Of a mapped source, what is no view of its files counts too.
    """
    place = placement(experiment.render.device, experiment.render.dtype)
    elements = [math.prod(weights.infos[key].shape) for key in weights.merged]
    live = sum(elements) * place.dtype.itemsize
    free = free_memory(place.device)
    room = free_memory(place.device, crew.workers, crew.per_gpu)
    lies = residence_of(experiment, weights, place.device, room, live)
    merging = 2 * max(elements) * torch.float32.itemsize
    copied = crew.workers * sum(file.header.copied for file in weights.files.values())
    if place.device == "cuda":
        # the file is read into this machine's memory before it goes to the GPU
        host = crew.workers * (live + lies.pinned) + copied
        device = crew.per_gpu * (live + lies.on_gpu + lies.kept + merging)
        return Memory(device, free.gpu, host, free.host, lies)
    host = crew.workers * (live + lies.kept + merging) + copied
    return Memory(host, free.host, host, free.host, lies)


def _require_memory(memory: Memory) -> None:
    for what, needed, free in (
        ("memory", memory.host, memory.host_free),
        ("memory on the GPU", memory.device, memory.device_free),
    ):
        if needed > free:
            fix = 'Close other programs, use fewer workers, or set render.dtype = "bfloat16".'
            said = f"There is too little {what}: the run takes about {size(needed)}."
            raise BadInput(said, why=f"{size(free)} are free.", fix=fix)
