"""The first experiment on some models: a commented file, written from what their headers say."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.base.words import duration
from gridsearch.checkpoint.ldm.components import config_folder
from gridsearch.checkpoint.ldm.model import open_model
from gridsearch.checkpoint.ldm.recognise import family_of, has_vae, require_known
from gridsearch.checkpoint.ldm.shapes import LATENT_SIDE, has_usual_size
from gridsearch.experiment.experiment import Experiment, parse_experiment
from gridsearch.merge.export.source import MOST_OF_A_STEM, model_names
from gridsearch.merge.parents import open_parents, require_drawable, same_models
from gridsearch.render.placement import placement
from gridsearch.search.cases import counted
from gridsearch.search.draft_text import ModelsFound, Wishes, draft_text
from gridsearch.search.plan import seconds_of_image

NIGHT = 8 * 3600.0  # seconds that a run may take
# Shares of the usual side, steps and seeds of a prompt, the best first; small images are drawn poorly.
SIZES = ((1.0, 28, 2), (1.0, 20, 2), (1.0, 20, 1), (0.75, 20, 1), (0.75, 16, 1), (0.5, 16, 1))


def find_models(paths: Sequence[Path], config: Path | None = None) -> ModelsFound:
    """Open the models; a BadInput where one is missing, broken, no SDXL model, or does not fit the others."""
    if len(paths) < 2:
        what, fix = "A merge takes two models or more.", "Name their files, the base first."
        raise BadInput(what, where=paths[0], fix=fix)
    models = dict(zip(model_names(paths), paths, strict=True))
    opened = {name: open_model(path) for name, path in models.items()}
    for checkpoint in opened.values():
        require_known(checkpoint)
    if same := same_models(opened):
        one, other = same[0]
        what = f"{one} and {other} hold the same bytes: there is nothing to merge."
        raise BadInput(what, where=opened[other].path, fix="Name two different models.")
    first = next(iter(opened.values()))
    if config is None and not has_usual_size(first):
        config = first.path.parent / "config"
        if not config.is_dir():
            what = f"This model is smaller than {family_of(first).title}."
            fix = (
                "Name the folder with its configs (unet/config.json, ...), as diffusers has it: --config DIR."
            )
            raise BadInput(what, where=first.path, fix=fix)
    lender = next((name for name, checkpoint in opened.items() if has_vae(checkpoint)), None)
    data = {
        "name": "x",
        "models": {name: str(path) for name, path in models.items()},
        "merge": [{"method": "average", "models": list(models)}],
        "components": {"vae": lender} if lender else {},
        "prompt": [{"text": ""}],
    }
    return ModelsFound(
        open_parents(parse_experiment(data, Path(), "the models")),
        config and config_folder(config, family_of(first)),
    )


def draft(found: ModelsFound, wishes: Wishes, file: Path) -> tuple[str, Experiment, str]:
    """Return the text of an experiment to be written to `file`, what it says, and how long it takes in words.

    The largest images of which a night has time for all.

    Raises:
        BadInput: a wish cannot be fulfilled, or a prompt file cannot be read.
    """
    place = placement("auto", "auto").described()
    for fitting in _sizes(found):
        text = draft_text(found, wishes, file, fitting)
        experiment = parse_experiment(tomllib.loads(text), file.resolve().parent, file)
        require_drawable(experiment, parents := open_parents(experiment))
        seconds = counted(experiment).images * seconds_of_image(experiment, parents)
        if seconds <= NIGHT:
            break
    return text, experiment, f"at most about {duration(seconds)} on {place}"


def _sizes(found: ModelsFound) -> Iterator[tuple[int, int, int]]:
    usual = int(found.family.usual["width"])
    if found.config is None:
        yield from ((int(usual * share), steps, seeds) for share, steps, seeds in SIZES)
        return
    unet = read_json_object(found.config / "unet" / "config.json", 1_000_000, "config")
    side = unet.get("sample_size")
    side = LATENT_SIDE * side if isinstance(side, int) else usual
    yield from ((side, 20, seeds) for seeds in (2, 1))


def usual_file(found: ModelsFound) -> Path:
    """Return `a-b.toml`, in the current folder, for models a and b."""
    name = "-".join(name.strip("_-") for name in found.parents.checkpoints)
    return Path(f"{name[: 2 * MOST_OF_A_STEM]}.toml")
