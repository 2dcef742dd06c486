"""The command `explain`, and the half of `inspect` that looks at a folder of models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, command
from gridsearch.app.cli.documents import explained_dict, pool_dict
from gridsearch.base.errors import BadInput

if TYPE_CHECKING:  # it imports torch
    from gridsearch.merge.pool.pool import Pool

CsvFile = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table as CSV.")]


def names_of(paths: list[Path]) -> list[str]:
    """Return a short name for each file: without its ending, with its folder where two have one name.

    Raises:
        BadInput: a file is named twice.
    """
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    names = [str(path) if stems.count(stem) > 1 else stem for path, stem in zip(paths, stems, strict=True)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"{twice} is named twice.", fix="Name each model once.")
    return names


@command(
    "explain",
    "gridsearch explain merged.safetensors a.safetensors b.safetensors",
    "gridsearch explain merged.safetensors a.safetensors b.safetensors c.safetensors --csv ratios.csv",
)
def explain_command(
    merged: Annotated[Path, typer.Argument(metavar="MERGED", help="The merge.")],
    models: Annotated[list[Path], typer.Argument(metavar="A B ...", help="The models to explain it by.")],
    csv: CsvFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the ratios by which a merge was made, for every block.

    The merge is fitted by least squares as a weighted sum of the models. The weights need not add up to one,
    so a difference that was added is found too. The table shows what the sum leaves unexplained.
    """
    from gridsearch.checkpoint.ldm.model import open_model

    names = names_of(models)
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.merge.pool.explain import explain

        opened = {name: open_model(path) for name, path in zip(names, models, strict=True)}
        found = explain(open_model(merged), opened, progress)
    if csv:
        write_csv(csv, found.rows())
    if as_json:
        terminal.show_json(explained_dict(merged, found))
    else:
        terminal.show_explained(str(merged.name), found)


def write_csv(path: Path, rows: list[dict]) -> None:
    """Write rows as a CSV file that is safe in spreadsheets."""
    import pandas as pd

    from gridsearch.base.files import write_atomic
    from gridsearch.report.csv import to_csv

    write_atomic(path, to_csv(pd.DataFrame(rows)))


def inspect_pool(
    folder: Path, base: Path | None, csv: Path | None, picture: Path | None, as_json: bool
) -> None:
    """Read the models of a folder, and show how they relate."""
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.merge.pool.pool import survey_pool

        pool = survey_pool(folder, base, progress)
    if csv:
        write_csv(csv, pool.rows())
        write_csv(_pairs_file(csv), pool.pairs())
    if picture:
        _write_map(picture, folder, pool)
    if as_json:
        terminal.show_json(pool_dict(folder, pool))
        return
    terminal.show_pool(f"{len(pool.models)} models in {folder}", pool)
    if csv:
        terminal.say(f"Wrote {csv}, and {_pairs_file(csv).name} beside it with a row for each pair.")
    if picture:
        terminal.say(f"Wrote {picture}.")


def _pairs_file(csv: Path) -> Path:
    return csv.with_name(f"{csv.stem}-pairs{csv.suffix}")


def _write_map(path: Path, folder: Path, pool: "Pool") -> None:
    import numpy as np

    from gridsearch.merge.pool.relations import positions
    from gridsearch.merge.pool.remarks import outliers
    from gridsearch.report.pool_map import Pin, write_map

    if pool.main_part is None:
        fix = "Leave out --map, or name a folder with more models of one kind."
        raise BadInput(
            "There is nothing to draw a map of: no two models can be compared.", where=folder, fix=fix
        )
    own = pool.relations[pool.main_part]
    far = {name for name, *_ in outliers(own)}
    shown = [i for i, name in enumerate(own.names) if name not in far]
    points, wrong = positions(own.distance()[np.ix_(shown, shown)])
    predicts = {model.name: model.prediction.type for model in pool.models}
    pins: dict[tuple[float, float], list[str]] = {}
    for i, (x, y) in zip(shown, points.round(9).tolist(), strict=True):
        pins.setdefault((x, y), []).append(own.names[i])
    about = [
        f"By the distances of their {pool.main_part}, of which this plane misses {wrong:.0%} (mean square)."
    ]
    if far:
        about.append(f"Not shown, since too far from the others: {', '.join(sorted(far))}.")
    if left := len(pool.models) - len(own.names):
        about.append(f"Not shown, since of another kind: {left}.")
    title = f"{len(own.names)} models of {folder.resolve().name}"
    write_map(path, [Pin(tuple(n), predicts[n[0]], at) for at, n in pins.items()], title, about)
