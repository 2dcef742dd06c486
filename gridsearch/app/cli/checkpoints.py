"""The commands on checkpoints: `inspect` shows them; the others write files of them."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, Force, ModelFiles, Output, ResultsFolder, command, finished_results
from gridsearch.app.cli.documents import checkpoint_dict, extracted_dict, rebased_dict, written_dict
from gridsearch.app.cli.pool import inspect_pool
from gridsearch.base.errors import BadInput
from gridsearch.base.words import size

WrittenAs = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="TYPE",
        help="float16, bfloat16 or float32 for all weights. Default: that of the first model.",
    ),
]


@command(
    "inspect",
    "gridsearch inspect models/*.safetensors",
    "gridsearch inspect my-model.safetensors --json",
    "gridsearch inspect --pool models --base base.safetensors --csv pool.csv --map pool.png",
)
def inspect_command(
    checkpoints: Annotated[list[Path] | None, typer.Argument(metavar="CHECKPOINT...")] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Component configs, if the models are smaller than SDXL."),
    ] = None,
    pool: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Compare all models in a folder instead.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model from which a pool's changes are measured.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a pool's table as CSV, and one of its pairs.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--map", metavar="PNG", help="Draw a pool's models, who is near whom.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a checkpoint or a diffusers folder is: layout, dtypes, prediction type, hashes, metadata.

    The source of the prediction type is named, with anything that contradicts it. Several files are also
    compared side by side. With --pool, every model of a folder is read once: what it is, which are
    duplicates, which have broken values, and how far they are from one another.
    """
    if pool:
        if checkpoints or config:
            raise BadInput("--pool names all files; it takes neither others nor --config.", where=pool)
        inspect_pool(pool, base, csv, picture, as_json)
        return
    if base or csv or picture:
        raise BadInput("--base, --csv and --map are for --pool FOLDER.", fix="Name the folder of the models.")
    if not checkpoints:
        raise BadInput("There is nothing to inspect.", fix="Name a checkpoint, or a folder with --pool.")
    from gridsearch.checkpoint.families import family_of_folder
    from gridsearch.checkpoint.inspect import described, open_any, printable
    from gridsearch.checkpoint.ldm.components import config_folder

    opened = [open_any(path) for path in checkpoints]
    folder = config and config_folder(config, family_of_folder(config))
    found = []
    with terminal.ProgressBar(shown=not as_json) as progress:
        for checkpoint in opened:
            name, rows = printable(str(checkpoint.path)), described(checkpoint, progress.hashing, folder)
            found.append((name, rows))
            if not as_json:
                terminal.show_checkpoint(name, rows)
    if as_json:
        both = zip(opened, found, strict=True)
        terminal.show_json({"checkpoints": [checkpoint_dict(one, rows) for one, (_, rows) in both]})
    elif len(found) > 1:
        terminal.show_side_by_side(found)


@command(
    "merge",
    "gridsearch merge a.safetensors b.safetensors --ratio 0.5 -o merged.safetensors",
    "gridsearch merge experiments/toy.toml --ratio 0.6 -o merged.safetensors",
    "gridsearch merge best.merge.json -o again.safetensors",
    "gridsearch merge best.safetensors --model a=a.safetensors --model b=b.safetensors -o again.safetensors",
)
def merge_command(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE | MODEL...",
            help="An experiment (.toml), a merge log (.merge.json), a merged checkpoint (.safetensors), or "
            "an sd-mecha recipe (.mecha); or the models themselves.",
        ),
    ],
    output: Output,
    ratio: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]VALUE",
            help="The value of a searched ratio or of another searched parameter (repeatable).",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The method that merges models. Default: weighted_sum."),
    ] = None,
    prediction_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE", help="epsilon, v_prediction, sample or flow, if the source leaves it open."
        ),
    ] = None,
    model: ModelFiles = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Component configs for adapters, if the models are smaller than SDXL."
        ),
    ] = None,
    dtype: WrittenAs = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make one merge without a search, of models or of an experiment, or repeat one byte for byte.

    With -o NAME.mecha, only a recipe for sd-mecha is written and nothing is merged.
    """
    from gridsearch.merge.export.source import open_files, open_merge

    if len(sources) > 1:
        if model:
            raise BadInput("Models that are named themselves lie where they are.", fix="Leave --model out.")
        merge = open_files(sources, method or "weighted_sum", ratio or [], prediction_type, config)
    elif method:
        what, fix = "The source already says how it is merged.", "Leave --method out, or name the models."
        raise BadInput(what, where=sources[0], fix=fix)
    else:
        merge = open_merge(sources[0], ratio or [], prediction_type, model or [], config)
    _write_merge(merge, output, dtype, force, as_json)


@command("export", "gridsearch export results/toy -o best.safetensors")
def export_command(
    folder: ResultsFolder,
    output: Output,
    trial: Annotated[int | None, typer.Option(help="The trial's number. Default: the best trial.")] = None,
    model: ModelFiles = None,
    dtype: WrittenAs = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the merge of the best trial, or of a given one, as a checkpoint with a log beside it.

    With -o NAME.mecha, only a recipe for sd-mecha is written and nothing is merged.
    """
    results, answer = finished_results(folder)
    from gridsearch.search.export import of_trial, trial_to_export

    merge = of_trial(results, trial_to_export(results, answer, trial), model or [])
    _write_merge(merge, output, dtype, force, as_json)


@command(
    "extract",
    "gridsearch extract base.safetensors tuned.safetensors --rank 32 -o style.safetensors",
    "gridsearch extract base.safetensors tuned.safetensors --rank 128 --energy 0.95 -o style.safetensors",
)
def extract_command(
    base: Annotated[Path, typer.Argument(metavar="UNTUNED", help="The checkpoint before the training.")],
    tuned: Annotated[Path, typer.Argument(metavar="TUNED", help="The checkpoint after it.")],
    output: Output,
    rank: Annotated[int, typer.Option(min=1, help="The rank of every layer, at most.")] = 32,
    conv_rank: Annotated[
        int | None, typer.Option(min=1, help="The same for 3x3 convolutions. Default: --rank.")
    ] = None,
    energy: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="The share of a layer's change after which its rank ends."),
    ] = 1.0,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="float16, bfloat16 or float32.")] = "float16",
    seed: Annotated[int, typer.Option(min=0, help="The seed of the random projections.")] = 0,
    force: Force = False,
    config: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Component configs of models smaller than SDXL.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the difference of two checkpoints as a LoRA, in kohya's layout.

    What a LoRA cannot change (norms, biases, embeddings, the VAE) is left out. The output says how
    much of the change the file holds.
    """
    from gridsearch.merge.dtypes import checked_dtype
    from gridsearch.merge.export.output import require_writable

    checked_dtype(dtype)
    require_writable(output, "An adapter", (base, tuned))
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.merge.export.extract import EXTRACTED, Cut, extract_adapter

        _require_replaceable(output, EXTRACTED, force)
        cut = Cut(rank, conv_rank or rank, energy, seed)
        found = extract_adapter(base, tuned, output, cut, dtype, config, progress)
    if as_json:
        terminal.show_json(extracted_dict(output, found))
        return
    for line in found.lines():
        terminal.say(line)
    terminal.say(f"Wrote {output} ({size(output.stat().st_size)}, SHA-256 {found.sha256}).")


@command(
    "rebasin",
    "gridsearch rebasin b.safetensors --to a.safetensors -o b-rebased.safetensors",
)
def rebasin_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The checkpoint whose units are moved.")],
    to: Annotated[Path, typer.Option(metavar="MODEL", help="The checkpoint that it is to be merged with.")],
    output: Output,
    force: Force = False,
    config: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Component configs of models smaller than SDXL.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the units of a checkpoint's layers in the order of another's, before a merge (Git Re-Basin).

    The model draws the same images as before. Models trained from one base have their units in one order
    already: then nothing is written, and the command says so.
    """
    from gridsearch.merge.export.output import require_writable

    require_writable(output, "A checkpoint", (model, to))
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.merge.export.rebasin import REBASED, rebase

        _require_replaceable(output, REBASED, force)
        found = rebase(model, to, output, config, progress)
    if as_json:
        terminal.show_json(rebased_dict(output, found))
        return
    for line in found.lines():
        terminal.say(line)
    if found.sha256:
        terminal.say(f"Wrote {output} ({size(output.stat().st_size)}, SHA-256 {found.sha256}).")


def _require_replaceable(output: Path, mark: str, force: bool) -> None:
    """Refuse to replace a file that the command of this mark did not write."""
    from gridsearch.merge.export.export import is_made_by

    if output.exists() and not force and not is_made_by(output, mark):
        what = "This file already exists, and this command did not write it."
        raise BadInput(what, where=output, fix="Choose another name, or replace it with --force.")


def _write_merge(fixed, output: Path, dtype: str | None, force: bool, as_json: bool) -> None:
    from gridsearch.merge.dtypes import checked_dtype
    from gridsearch.merge.export.output import log_path, require_new_file
    from gridsearch.merge.export.source import write_recipe

    fixed = replace(fixed, dtype=checked_dtype(dtype) or fixed.dtype)
    require_new_file(output, fixed, force)
    sha256 = log = None
    if output.suffix == ".mecha":
        write_recipe(fixed, output)
    else:
        with terminal.ProgressBar(shown=not as_json) as progress:
            progress.loading()
            from gridsearch.merge.export.export import export

            sha256, log = export(fixed, output, progress), log_path(output)
    if as_json:
        terminal.show_json(written_dict(output, sha256, log))
    elif log is None:
        terminal.say(f"Wrote {output}, a recipe for sd-mecha; nothing was merged.")
    else:
        terminal.say(f"Wrote {output} ({size(output.stat().st_size)}, SHA-256 {sha256}).")
        terminal.say(f"To make it again: gridsearch merge {shlex.quote(str(log))} -o FILE.")
