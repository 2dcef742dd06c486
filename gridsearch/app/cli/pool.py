"""The command `explain`, and the half of `inspect` that looks at a folder of models."""

from pathlib import Path
from typing import Annotated

import typer

from gridsearch.app import terminal
from gridsearch.app.cli.app import AsJson, command
from gridsearch.app.cli.documents import explained_dict
from gridsearch.base.errors import BadInput

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

    The merge is taken for a sum of the models, whose weights need not add up to one (so a difference that was
    added is found too), by least squares. What such a sum leaves unexplained is said.
    """
    from gridsearch.checkpoint.ldm.model import open_model

    names = names_of(models)
    with terminal.ProgressBar(shown=not as_json) as progress:
        progress.loading()
        from gridsearch.merge.pool.explain import explain

        opened = {name: open_model(path) for name, path in zip(names, models, strict=True)}
        found = explain(open_model(merged), opened, progress)
    if csv:
        _write_csv(csv, found.rows())
    if as_json:
        terminal.show_json(explained_dict(merged, found))
    else:
        terminal.show_explained(str(merged.name), found)


def _write_csv(path: Path, rows: list[dict]) -> None:
    import pandas as pd

    from gridsearch.base.files import write_atomic
    from gridsearch.report.csv import to_csv

    write_atomic(path, to_csv(pd.DataFrame(rows)))
