"""Figures of how sure the answer is: chances, what more prompts would change, how prompts differ."""

from collections.abc import Iterator
from html import escape

from gridsearch.base.words import one_line, shorten
from gridsearch.report.figures.figure import (
    BEST_LINE,
    HOLLOW,
    INTERVAL_FILL,
    WINDOW_FILL,
    Figure,
    Shown,
    add_level,
    band,
    bars,
    best_line,
    hover,
    plain_layout,
    scatter,
)
from gridsearch.results.analysis.answer import Slice

ALIVE, ODD, FAINT = "#009e73", "#d55e00", "#8a93a0"
PROMPT, AXIS = 24, 90  # px: the height of a prompt's line, and of the axis below


def figures_of(shown: Shown) -> Iterator[Figure]:
    """Yield the figures of the best slice."""
    best = shown.answer.best
    if best.doubt.chances:
        yield _chances(best, shown.axis)
    if best.doubt.narrowing:
        yield _narrowing(best, shown.axis)
    if best.disagreement:
        yield _prompts(best, shown)


def _chances(best: Slice, axis: str) -> Figure:
    chances = best.doubt.chances
    words = hover(f"{escape(axis)} %{{x}}", "%{y:.0%}")
    data = [
        bars([one.ratio for one in chances], [one.chance for one in chances], BEST_LINE, hovertemplate=words)
    ]
    shapes = [band(best.interval.low, best.interval.high, INTERVAL_FILL), best_line(best.ratio)]
    layout = plain_layout(axis, "chance of being the best", shapes)
    layout["yaxis"] |= {"tickformat": ".0%"}
    about = f"How often each rendered {axis} wins when the prompts are drawn again with replacement."
    return Figure("certainty", "chances", "Chance of being the best", about, data, layout, along=True)


def _narrowing(best: Slice, axis: str) -> Figure:
    """Return the interval's width by prompts; it shrinks like one over the square root of their number."""
    doubt, have = best.doubt, best.interval.prompts
    prompts = [width.prompts for width in doubt.narrowing]
    widths = [width.width for width in doubt.narrowing]
    needed = [doubt.prompts_needed] if (doubt.prompts_needed or 0) > have else []
    layout = plain_layout("prompts", "width of the interval")
    ticks = prompts + needed
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [str(count) for count in ticks]}
    add_level(layout, doubt.wanted_width, f"wanted: {doubt.wanted_width:.3g}")
    data = [
        scatter(
            prompts,
            widths,
            "lines+markers",
            line={"color": BEST_LINE, "width": 2.5},
            marker={"size": [12 if count == have else 7 for count in prompts]},
            hovertemplate=hover("%{x} prompts: %{y:.3g} wide"),
        )
    ]
    if needed:
        data.append(
            data[0]
            | {
                "x": [prompts[-1], *needed],
                "y": [widths[-1], doubt.wanted_width],
                "line": {"color": BEST_LINE, "width": 1.5, "dash": "dash"},
                "marker": {"size": [1, 12], "symbol": HOLLOW},
            }
        )
    about = f"The large dot is this run's {have} prompts. {_ahead(best, axis)}"
    return Figure("certainty", "narrowing", "What more prompts would change", about, data, layout)


def _ahead(best: Slice, axis: str) -> str:
    doubt = best.doubt
    if doubt.prompts_needed is None:
        return (
            f"No number of prompts narrows the interval to {doubt.wanted_width:.3g}: the {axis}s tried are "
            f"{doubt.finest:.3g} apart."
        )
    if doubt.prompts_needed <= best.interval.prompts:
        return "The interval is as narrow as you asked for, or as the spacing allows."
    return f"About {doubt.prompts_needed} prompts would make the interval {doubt.wanted_width:.3g} wide."


def _prompts(best: Slice, shown: Shown) -> Figure:
    """Return a line per prompt over the ratios at which it survives, with a dot at its own best."""
    views = best.disagreement.prompts
    texts = {str(row.prompt_id): one_line(row.prompt) for row in shown.results.images.itertuples()}
    labels = ["  ".join(filter(None, (view.prompt, texts.get(view.prompt)))) for view in views]
    rows = range(len(views))
    data = [
        scatter(
            [view.low, view.high],
            [row, row],
            "lines",
            line={"color": ODD if view.stands_out else ALIVE, "width": 9},
            opacity=0.45,
            hoverinfo="skip",
        )
        for row, view in enumerate(views)
        if view.low is not None
    ]
    data.append(
        scatter(
            [view.best for view in views],
            rows,
            text=[
                escape(f"{label}: best {view.best:g}") + (f"<br>{view.stands_out}" if view.stands_out else "")
                for label, view in zip(labels, views, strict=True)
            ],
            hovertemplate=hover("%{text}"),
            marker={
                "size": 11,
                "color": [
                    ODD if view.stands_out else ALIVE if view.low is not None else FAINT for view in views
                ],
                "symbol": ["circle" if view.survives else "x" for view in views],
            },
        )
    )
    layout = plain_layout(shown.axis, "", [best_line(best.ratio)])
    if best.window:
        layout["shapes"].insert(0, band(best.window.low.inside, best.window.high.inside, WINDOW_FILL))
    ticks = [escape(shorten(label, 26)) for label in labels]
    layout["yaxis"] |= {"tickvals": list(rows), "ticktext": ticks, "range": [-0.7, len(rows) - 0.3]}
    layout["yaxis"]["rangemode"] = "normal"
    about = (
        "Each line shows where a prompt survives, its dot where it is best. Orange prompts stand out, and a "
        f"cross marks a prompt that does not survive at the recommended {shown.axis}."
    )
    height = AXIS + PROMPT * len(rows)
    return Figure(
        "certainty",
        "prompts",
        "How the prompts differ",
        about,
        data,
        layout,
        wide=True,
        height=height,
        along=True,
    )
