"""Figures of how sure the answer is: chances, what more prompts would change, how prompts differ."""

from collections.abc import Iterator, Sequence
from html import escape

from gridsearch.base.words import prompt_labels, shorten
from gridsearch.report.figures import figure as draw
from gridsearch.report.figures.figure import Figure, Shown, adds_figures
from gridsearch.results.analysis.answer import Doubt, RatioInterval
from gridsearch.results.analysis.optimum import MARGIN
from gridsearch.results.analysis.window import PromptView

ALIVE, ODD, FAINT = "#009e73", "#d55e00", "#8a93a0"
PROMPT, AXIS = 24, 90  # px: the height of a prompt's line, and of the axis below


@adds_figures
def certainty_figures(shown: Shown) -> Iterator[Figure]:
    """Yield the figures of the best slice."""
    doubt = shown.best.doubt
    if doubt.interval and doubt.chances:
        yield _chances(shown, doubt.interval)
    if doubt.interval and doubt.narrowing:
        yield _narrowing(doubt, doubt.interval.prompts, shown.axis)
    if shown.best.disagreement:
        yield _prompts(shown, shown.best.disagreement.prompts)


def _chances(shown: Shown, interval: RatioInterval) -> Figure:
    axis, chances = shown.axis, shown.best.doubt.chances
    words = draw.hover(f"{escape(axis)} %{{x}}", "%{y:.0%}")
    ratios, heights = [one.ratio for one in chances], [one.chance for one in chances]
    bars = draw.bars(ratios, heights, draw.BEST_LINE, hovertemplate=words)
    shapes = [draw.band(interval.low, interval.high, draw.INTERVAL_FILL), draw.best_line(shown.best.ratio)]
    layout = draw.plain_layout(axis, "chance of being as good as any", shapes)
    layout["yaxis"] |= {"tickformat": ".0%"}
    about = (
        f"How probable it is of each rendered {axis} that, for all prompts, no other is better "
        f"by more than {MARGIN:g} of the loss."
    )
    return Figure("certainty", "chances", "Chance of being as good as any", about, [bars], layout, along=True)


def _narrowing(doubt: Doubt, have: int, axis: str) -> Figure:
    """Return the interval's width by prompts; it shrinks like one over the square root of their number."""
    prompts = [width.prompts for width in doubt.narrowing]
    widths = [width.width for width in doubt.narrowing]
    needed = [doubt.prompts_needed] if doubt.prompts_needed and doubt.prompts_needed > have else []
    wanted = doubt.wanted_width or 0.0
    layout = draw.plain_layout("prompts", "width of the interval")
    ticks = prompts + needed
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [str(count) for count in ticks]}
    draw.add_level(layout, wanted, f"wanted: {wanted:.3g}")
    known = draw.scatter(
        prompts,
        widths,
        "lines+markers",
        line={"color": draw.BEST_LINE, "width": 2.5},
        marker={"size": [12 if count == have else 7 for count in prompts]},
        hovertemplate=draw.hover("%{x} prompts: %{y:.3g} wide"),
    )
    ahead = known | {
        "x": [prompts[-1], *needed],
        "y": [widths[-1], wanted],
        "line": {"color": draw.BEST_LINE, "width": 1.5, "dash": "dash"},
        "marker": {"size": [1, 12], "symbol": draw.HOLLOW},
    }
    about = f"The large dot is this run's {have} prompts. {_ahead(doubt, have, axis)}"
    data = [known, ahead] if needed else [known]
    return Figure("certainty", "narrowing", "What more prompts would change", about, data, layout)


def _ahead(doubt: Doubt, have: int, axis: str) -> str:
    if doubt.prompts_needed is None:
        return (
            f"No number of prompts narrows the interval to {doubt.wanted_width:.3g}: the {axis}s tried are "
            f"{doubt.finest:.3g} apart."
        )
    if doubt.prompts_needed <= have:
        return "The interval is as narrow as you asked for, or as the spacing allows."
    return f"About {doubt.prompts_needed} prompts would make the interval {doubt.wanted_width:.3g} wide."


def _prompts(shown: Shown, views: Sequence[PromptView]) -> Figure:
    """Return a line per prompt over the ratios at which it survives, with a dot at its own best."""
    images = shown.results.images.drop_duplicates("prompt_id")
    own = prompt_labels(images["prompt"])
    texts = {str(row.prompt_id): own[row.prompt] for row in images.itertuples()}
    labels = ["  ".join(filter(None, (view.prompt, texts.get(view.prompt)))) for view in views]
    colours = [ODD if view.stands_out else ALIVE if view.low is not None else FAINT for view in views]
    rows = range(len(views))
    lines = [
        draw.scatter(
            [view.low, view.high],
            [row, row],
            "lines",
            line={"color": colours[row], "width": 9},
            opacity=0.45,
            hoverinfo="skip",
        )
        for row, view in enumerate(views)
        if view.low is not None
    ]
    said = [
        escape(f"{label}: best {view.best:g}") + (f"<br>{view.stands_out}" if view.stands_out else "")
        for label, view in zip(labels, views, strict=True)
    ]
    symbols = ["circle" if view.survives else "x" for view in views]
    dots = draw.scatter(
        [view.best for view in views],
        rows,
        text=said,
        hovertemplate=draw.hover("%{text}"),
        marker={"size": 11, "color": colours, "symbol": symbols},
    )
    layout = draw.plain_layout(shown.axis, "", [draw.best_line(shown.best.ratio)])
    if window := shown.best.window:
        layout["shapes"].insert(0, draw.band(window.low.inside, window.high.inside, draw.WINDOW_FILL))
    ticks = {"tickvals": list(rows), "ticktext": [escape(shorten(label, 26)) for label in labels]}
    layout["yaxis"] |= ticks | {"range": [-0.7, len(rows) - 0.3], "rangemode": "normal"}
    about = (
        "Each line shows where a prompt survives, its dot where it is best. Orange prompts stand out, and a "
        f"cross marks a prompt that does not survive at the recommended {shown.axis}."
    )
    title, height = "How the prompts differ", AXIS + PROMPT * len(rows)
    data = [*lines, dots]
    return Figure("certainty", "prompts", title, about, data, layout, wide=True, height=height, along=True)
