"""Tables on the terminal: of a plan, of checkpoints, of scores."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich import box
from rich.measure import Measurement
from rich.table import Table

from gridsearch.app.terminal.text import escape, out, show_note
from gridsearch.base.words import duration, size
from gridsearch.score.metrics import GOALS


def show_rows(
    title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()
) -> None:
    """Print a table of short texts; where the terminal is too narrow, a block for each row.

    The columns in `spare` are left out first, in that order, as far as the others need their room.
    """
    for left_out in range(len(spare) + 1):
        kept = [i for i, heading in enumerate(headings) if heading not in spare[:left_out]]
        table = _plain_table(title, [headings[i] for i in kept], [[row[i] for i in kept] for row in rows])
        if _fits(table):
            out.print(table)
            if left_out:
                out.print(f"[dim]left out here, for lack of room: {escape(', '.join(spare[:left_out]))}[/]")
            break
    else:
        width = max(map(len, headings))
        out.print(f"[italic]{escape(title)}[/]")
        for first, *others in rows:
            out.print(f"  [bold]{escape(first)}[/]", soft_wrap=True)
            for heading, text in zip(headings[1:], others, strict=True):
                out.print(f"    [dim]{heading.ljust(width)}[/]  {escape(text)}", soft_wrap=True)
    out.print()


def _plain_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(
        title=escape(title),
        title_justify="left",
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _fits(table: Table) -> bool:
    unlimited = out.options.update(width=10_000)  # wide enough for any table
    return Measurement.get(out, unlimited, table).maximum <= out.width


def show_models(parents: Any) -> None:
    """Print the models of a merge, and what was read of them."""
    rows = []
    for name, checkpoint in parents.checkpoints.items():
        predicts = parents.predictions[name]
        dtypes = ", ".join(checkpoint.dtypes)
        rows.append((name, checkpoint.title, size(checkpoint.bytes), dtypes, predicts.type, predicts.source))
    show_rows("models", ("name", "file", "size", "dtype", "predicts", "read from"), rows)


def show_plan(plan: Any) -> None:
    """Print what a run will do, and what it needs. The settings that are the defaults share one line."""
    show_models(plan.parents)
    look: Any = {"box": box.SIMPLE, "show_header": False, "title_justify": "left"}
    table = Table(title=escape(f"plan for {plan.experiment.name}"), **look)
    for name, text in (*_merge_rows(plan), *_search_rows(plan)):
        table.add_row(escape(name), escape(text))
    out.print(table)
    table = Table(title="how images are rendered", **look)
    usual = [row for row in plan.settings if row["source"] == "the default"]
    for row in plan.settings:
        if row not in usual:
            table.add_row(escape(row["setting"]), escape(row["value"]), escape(row["source"]))
    defaults = ", ".join(f"{row['setting']} {row['value']}" for row in usual)
    table.add_row("the rest", escape(defaults), "the defaults")
    out.print(table)
    for warning in plan.warnings:
        show_note(warning)


def show_forecast(name: str, made: Any, notes: Sequence[str]) -> None:
    """Print what the merge of a recipe reads, takes and needs."""
    table = Table(title=escape(f"plan for {name}"), title_justify="left", box=box.SIMPLE, show_header=False)
    checkpoints, steps = made.parents.checkpoints, made.recipe.merge
    predicts = sorted({p.type for p in made.parents.merged_predictions.values()})
    counts = Counter(step.method for step in steps)
    vae, encoders = made.recipe.vae_source(), made.recipe.components.text_encoders
    rows = {
        "models": f"{len(checkpoints)}, which predict {' and '.join(predicts)}",
        "steps": ", ".join(f"{count} {method}" for method, count in counts.items()),
        "VAE": vae if vae == "merged" else f"of {vae}",
        "text encoders": encoders if encoders == "merged" else f"of {encoders}",
        "reading": f"{size(made.read)} of weights once, and once before for their SHA-256 what of the "
        f"{size(made.files)} of files has changed",
        "writing": size(made.written),
        "time": f"about {duration(made.seconds)} of arithmetic on {made.threads} "
        f"thread{'s' if made.threads > 1 else ''}, and that of reading (measured on the shapes of "
        f"{made.sampled:.0%} of the weights)",
        "memory": f"about {size(made.memory)} beside the program",
    }
    for label, text in rows.items():
        table.add_row(label, escape(text))
    out.print(table)
    for note in (*notes, *made.notes):
        show_note(note)


def _merge_rows(plan: Any) -> Iterator[tuple[str, str]]:
    experiment = plan.experiment
    for step in experiment.merge:
        yield step.name, f"{' or '.join(step.methods())} of {step.inputs_text()}"
    vaes, encoders = experiment.vae_sources(), experiment.components.text_encoders
    yield "VAE", " or ".join(vae if vae == "merged" else f"of {vae}" for vae in vaes)
    yield "text encoders", encoders if encoders == "merged" else f"of {encoders}"
    for name, values in plan.searched.items():
        if isinstance(values, tuple):
            yield name, ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)
        else:
            step = f" in steps of {values.step:g}" if values.step else ""
            yield name, f"{values.low:g} to {values.high:g}{step}"
    for scorer in experiment.score.scorer:
        weights = [scorer.weight, *scorer.prompt_weights.values()]
        span = " to ".join(f"{weight:g}" for weight in sorted({min(weights), max(weights)}))
        weighs = f"weight {span}, {scorer.direction} is better" if any(weights) else "a column"
        weighs += f", of {len(scorer.prompts)} prompts" if scorer.prompts else ""
        yield scorer.name, weighs
    if content := experiment.score.content:
        judges, levels = ", ".join(experiment.reference_models()), ", ".join(map(str, content.levels))
        yield "content", f"judged by {judges} at timesteps {levels}; weight {content.weight:g}"
    if experiment.score.second_look:
        yield "second look", "by EfficientNet-Lite0, beside the gate"
    if experiment.score.features:
        yield "features", str(experiment.score.features)


def _search_rows(plan: Any) -> Iterator[tuple[str, str]]:
    search, hands = plan.experiment.search, plan.workers
    race = "; a trial that cannot win is stopped early" if search.races() else ""
    yield "sampler", f"{search.sampler}{race}"
    about = "about " if search.sampler == "window" else ""
    trials = _span(plan.fewest, plan.trials, "{:,}".format)
    glances = f", then up to {plan.glances} glances of one image" if plan.glances else ""
    yield "trials", f"{about}{trials} of {plan.cases} images{glances}"
    if plan.held_out:
        yield "held out", f"{plan.held_out} images of each leader, to check the answer with"
    if plan.probed:
        share = plan.probe_images / plan.cases
        yield "probe", f"{plan.probed} merges, before any is drawn, with the UNet calls of {share:.1f} trials"
    if plan.ended:
        left = f"at most {plan.left:,} are left" if plan.left else "none is left"
        yield "so far", f"{plan.ended:,} trials are done; {left}"
    also = f"{plan.references} references and {plan.checks} final checks"
    yield "images", f"{about or 'at most '}{plan.images:,}, including {also}"
    gpus = len(hands.gpus)
    on = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "one CPU"
    crew = f" with {hands.workers} workers on {on}" if hands.workers != 1 else ""
    yield "device", plan.device
    span = _span(plan.fewest_seconds, plan.seconds, duration)
    if plan.seconds:
        yield "time", f"about {span}{crew} (from {plan.seconds_from})"
    disk, memory = plan.disk, plan.memory
    names = {"database": "study.db", "report": "tables, report and sheet"}
    said = [f"{names.get(name, name)} ({size(count)})" for name, count in disk.parts().items() if count]
    there = f"; {size(disk.there)} of it is already there" if disk.there else ""
    yield "disk", f"about {size(disk.total)} of {size(disk.free)} free: {', '.join(said)}{there}"
    lies = memory.residence
    yield "models", f"{size(lies.sources)}, {lies}"
    if lies.changes:
        where = f"kept in {plan.shelf}" if plan.shelf else "made in each trial, for lack of room"
        rest = f"; {size(lies.left_over)} {where}" if lies.left_over else ""
        yield "changes", f"{size(lies.kept)} made once and kept in memory{rest}"
    if memory.device_free != memory.host_free:
        each = " on each" if len(plan.workers.gpus) > 1 else ""
        yield "GPU memory", f"at most {size(memory.device)} of {size(memory.device_free)} free{each}"
    yield "memory", f"at most {size(memory.host)} of {size(memory.host_free)} free"


def _span(low: float, high: float, text: Callable[[float], str]) -> str:
    return text(high) if text(low) == text(high) else f"{text(low)} to {text(high)}"


def show_checkpoint(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Print all facts of a file. Lines are not folded, so that a hash can be copied whole."""
    out.print(f"[bold]{escape(title)}[/]", soft_wrap=True)
    labels = [label for label, _ in rows]
    inner = {label for label in labels if label.startswith(" ")}  # a column of their own
    for label, value in rows:
        width = max(len(other) for other in labels if (other in inner) == (label in inner))
        words = value.replace("\n", "\n" + " " * (width + 4))
        out.print(f"  [dim]{escape(label.ljust(width))}[/]  {escape(words)}", soft_wrap=True)
    out.print()


def show_side_by_side(found: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> None:
    """Print a row for each file with what tells them apart: whether they fit, and what they predict."""
    rows = []
    for title, facts in found:
        said = dict(facts)
        row = [title.replace("\\", "/").rpartition("/")[2]]
        row.append(said.get("architecture") or said.get("pipeline", ""))
        row.append(said.get("prediction type", "").partition(" ")[0])
        row.append(said.get("dtypes", "").partition(" ")[0])  # the first is that of most weights
        row.append(said.get("size", "").partition(",")[0])
        row.append(said.get("A1111 hash", ""))
        rows.append(row)
    show_rows("side by side", ("file", "is", "predicts", "dtype", "size", "hash"), rows)


def show_scores(table: Any) -> None:
    """Print a table of whole images, and one of each grid's cells. Few columns leave room for the reasons."""
    shown = ["verdict", "defect", *GOALS, "reason"]
    is_cell = table["column"].notna()
    if not is_cell.all():
        _show_table(table.loc[~is_cell, ["image", *shown]])
    for image, cells in table[is_cell].groupby("image", sort=False):
        place = ["z", "row", "column"] if cells["z"].notna().any() else ["row", "column"]
        _show_table(cells[[*place, *shown]], title=image)


def _show_table(table: Any, title: str | None = None) -> None:
    """Print a pandas table; numbers have three digits, and a missing value is left empty."""
    from pandas import isna
    from pandas.api.types import is_numeric_dtype

    shown = Table(title=title and escape(title), box=box.SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name in table.columns:
        is_text = not is_numeric_dtype(table[name])
        shown.add_column(
            escape(str(name)), justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text
        )
    for row in table.itertuples(index=False):
        texts = (f"{value:.3g}" if isinstance(value, float) else escape(str(value)) for value in row)
        shown.add_row(*("" if isna(value) else text for value, text in zip(row, texts, strict=True)))
    out.print(shown)
