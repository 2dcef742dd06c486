"""The output of `gridsearch plan` and `gridsearch inspect`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from gridsearch.app.terminal.tables import show_rows
from gridsearch.app.terminal.text import escape, out, show_note
from gridsearch.base.words import duration, size


def show_plan(plan: Any) -> None:
    """Print what a run will do, and what it needs."""
    experiment = plan.experiment
    rows = [
        (
            name,
            checkpoint.path.name,
            size(checkpoint.bytes),
            ", ".join(checkpoint.dtypes),
            plan.parents.predictions[name].type,
            plan.parents.predictions[name].source,
        )
        for name, checkpoint in plan.parents.checkpoints.items()
    ]
    show_rows("models", ("name", "file", "size", "dtype", "predicts", "read from"), rows)
    table = Table(
        title=escape(f"plan for {experiment.name}"), box=box.SIMPLE, show_header=False, title_justify="left"
    )
    for step in experiment.merge:
        table.add_row(escape(step.name), escape(f"{step.method} of {step.inputs_text()}"))
    table.add_row("VAE", escape(_component_text(experiment.vae_source())))
    table.add_row("text encoders", escape(_component_text(experiment.components.text_encoders)))
    for name, values in plan.searched.items():
        table.add_row(escape(name), escape(_values_text(values)))
    for scorer in experiment.score.scorer:
        weighs = f"weight {scorer.weight:g}, {scorer.direction} is better" if scorer.weight else "a column"
        table.add_row(escape(scorer.name), weighs)
    for name, text in _search_rows(plan):
        table.add_row(name, escape(text))
    table.add_row("disk", _disk_text(plan.disk))
    memory = plan.memory
    table.add_row("models", f"{size(memory.residence.sources)}, {memory.residence}")
    if memory.device_free != memory.host_free:
        each = " on each" if len(plan.workers.gpus) > 1 else ""
        table.add_row("GPU memory", f"at most {size(memory.device)} of {size(memory.device_free)} free{each}")
    table.add_row("memory", f"at most {size(memory.host)} of {size(memory.host_free)} free")
    out.print(table)
    out.print(_settings_table(plan.settings))
    for warning in plan.warnings:
        show_note(warning)


def _search_rows(plan: Any) -> list[tuple[str, str]]:
    """Return how much is rendered, of what, and how long that takes."""
    search = plan.experiment.search
    apart = f"; {plan.held_out} cases are held out" if plan.held_out else ""
    about = "about " if search.sampler == "window" else ""
    also = f"{plan.references} references and {plan.checks} final checks"
    trials = _span(plan.fewest, plan.trials, "{:,}".format)
    span = _span(plan.fewest_seconds, plan.seconds, duration)
    race = "; a trial that cannot win is stopped early" if search.races() else ""
    return [
        ("sampler", f"{search.sampler}{race}"),
        ("trials", f"{about}{trials}, {plan.cases} cases each{apart}"),
        ("images", f"{about or 'at most '}{plan.images:,}, including {also}"),
        ("time", f"about {span}{_hands_text(plan.workers)} (from {plan.seconds_from})"),
    ]


def _hands_text(hands: Any) -> str:
    """Return the number of workers, where there are several."""
    if hands.workers == 1:
        return ""
    gpus = len(hands.gpus)
    on = f"{gpus} GPU{'s' if gpus > 1 else ''}" if gpus else "one CPU"
    return f" with {hands.workers} workers on {on}"


def _disk_text(disk: Any) -> str:
    """Return the space that is needed, in all and for each part."""
    names = {"database": "study.db", "report": "tables, report and sheet"}
    said = [f"{names.get(name, name)} ({size(count)})" for name, count in disk.parts().items() if count]
    there = f"; {size(disk.there)} of it is already there" if disk.there else ""
    return f"about {size(disk.total)} of {size(disk.free)} free: {', '.join(said)}{there}"


def _span(low: float, high: float, text: Callable[[float], str]) -> str:
    return text(high) if text(low) == text(high) else f"{text(low)} to {text(high)}"


def _settings_table(settings: Sequence[Mapping[str, str]]) -> Table:
    """Return a table of the render settings and where each value is from; the defaults share one line."""
    table = Table(title="how images are rendered", box=box.SIMPLE, show_header=False, title_justify="left")
    usual = [row for row in settings if row["source"] == "the default"]
    for row in settings:
        if row not in usual:
            table.add_row(escape(row["setting"]), escape(row["value"]), escape(row["source"]))
    defaults = ", ".join(f"{row['setting']} {row['value']}" for row in usual)
    table.add_row("the rest", escape(defaults), "the defaults")
    return table


def _component_text(source: str) -> str:
    return "merged" if source == "merged" else f"of {source}"


def _values_text(values: Any) -> str:
    if isinstance(values, tuple):
        return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    step = f" in steps of {values.step:g}" if values.step else ""
    return f"{values.low:g} to {values.high:g}{step}"


# -- inspect


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
    names = [title.replace("\\", "/").rpartition("/")[2] for title, _ in found]
    rows = [(name, *_facts(dict(said))) for name, (_, said) in zip(names, found, strict=True)]
    show_rows("side by side", ("file", "is", "predicts", "dtype", "size", "hash"), rows)


def _facts(said: Mapping[str, str]) -> tuple[str, ...]:
    return (
        said.get("architecture") or said.get("pipeline", ""),
        said.get("prediction type", "").partition(" ")[0],
        said.get("dtypes", "").partition(" ")[0],  # the first is that of most weights
        said.get("size", "").partition(",")[0],
        said.get("A1111 hash", ""),
    )
