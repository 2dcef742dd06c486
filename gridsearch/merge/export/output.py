"""The place of a merge: a new file, or one that holds a merge of the same experiment."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path

from gridsearch.base.errors import BadInput
from gridsearch.base.files import read_json_object
from gridsearch.checkpoint.header import open_checkpoint
from gridsearch.experiment.recipe import VAE_FILE
from gridsearch.merge.export.single import KEY, MOST_LOG, SingleMerge, read_record

MOST_NAME = 200  # bytes; a file system takes 255, and a part's and a log's names are longer


def log_path(output: Path) -> Path:
    """Return `best.merge.json` for `best.safetensors`."""
    return output.with_suffix(".merge.json")


def require_new_file(output: Path, merge: SingleMerge, force: bool = False) -> None:
    """Refuse a place that cannot be written to, a parent's own, and unless forced a file of something else.

    A merge that the same experiment made of the same files is replaced, and so is its log.
    """
    recipe = merge.recipe
    models = [path for model in recipe.models.values() for path in model.paths]
    inputs = [*models, *recipe.adapters.values(), recipe.vae_file()]
    require_writable(output, "A merge", filter(None, inputs), (".safetensors", ".mecha"))
    if force:
        return
    written = [output] if output.suffix == ".mecha" else [output, log_path(output)]
    if foreign := next((path for path in written if path.exists() and not _is_of(path, merge)), None):
        what = "This file already exists, and is not a merge of this experiment."
        raise BadInput(what, where=foreign, fix="Choose another name, or replace it with --force.")


def _is_of(path: Path, merge: SingleMerge) -> bool:
    """Return whether a checkpoint or a log is of the same experiment's merges, of the same files if known."""
    try:
        if path.suffix == ".json":
            text = json.dumps(read_json_object(path, MOST_LOG, "merge log").get("record"))
        else:
            text = open_checkpoint(path).metadata.get(KEY, "")
        record = read_record(text, path)
    except BadInput:
        return False
    recipe = merge.recipe
    names = {*recipe.used_models(), *recipe.merged_adapters(), *([VAE_FILE] if recipe.vae_file() else [])}
    return (
        record.title.split()[:1] == merge.title.split()[:1]
        and record.files.keys() == names
        and all(record.files[name] == merge.known.get(name, record.files[name]) for name in names)
    )


def require_writable(
    output: Path, what: str, inputs: Iterable[Path], suffixes: Collection[str] = (".safetensors",)
) -> None:
    """Refuse a place that cannot be written to, or the file of one of the inputs; `what` is to be written."""
    if not output.name:
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if output.suffix not in suffixes:
        better = output.with_suffix(".safetensors").name
        raise BadInput(f"{what} is written as .safetensors.", where=output, fix=f"Use -o {better}.")
    if output.is_dir():
        raise BadInput("This is a folder.", where=output, fix="Name a file in it.")
    if not output.resolve().parent.is_dir():
        raise BadInput("There is no such folder.", where=output.parent, fix="Make it first.")
    if len(output.name.encode()) > MOST_NAME:
        raise BadInput("The name is too long.", where=output, fix=f"{MOST_NAME} bytes are enough for a name.")
    read = {path.resolve() for path in inputs}
    if read & {output.resolve(), *output.resolve().parents}:  # a model may be a folder
        raise BadInput("This would replace a model that is read.", where=output, fix="Choose another name.")
