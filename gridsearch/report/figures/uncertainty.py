"""The figures of how sure the answer is: chances, what more prompts would change, how prompts differ."""

from html import escape

from gridsearch.base.words import one_line, shorten
from gridsearch.report.figures.style import (
    BEST_LINE,
    INTERVAL_FILL,
    WINDOW_FILL,
    band,
    bar_widths,
    best_line,
    plain_layout,
)
from gridsearch.results.analysis.answer import Answer, Slice
from gridsearch.results.results import Results

DOUBT = (
    "The best ratio depends on the prompts. These figures ask what other prompts of the same kind would say."
)
ALIVE, ODD, FAINT = "#009e73", "#d55e00", "#8a93a0"
ROW, ROOM = 24, 90  # px: a prompt's line, and the axis below


def doubt_figures(results: Results, answer: Answer, axis: str) -> list[dict]:
    """Of the best curve alone."""
    best = answer.best
    found = []
    if best.doubt.chances:
        found.append(_chances(best, axis))
    if best.doubt.narrowing:
        found.append(_narrowing(best, axis))
    if best.disagreement:
        found.append(_prompts(best, results, axis))
    return found


def _chances(best: Slice, axis: str) -> dict:
    places = [chance.ratio for chance in best.doubt.chances]
    layout = plain_layout(axis, "chance of being the best")
    layout["shapes"] = [band(best.interval.low, best.interval.high, INTERVAL_FILL), best_line(best.ratio)]
    layout["yaxis"] |= {"tickformat": ".0%"}
    bars = {
        "type": "bar",
        "x": places,
        "y": [chance.chance for chance in best.doubt.chances],
        "width": bar_widths(places),
        "marker": {"color": BEST_LINE, "line": {"width": 0}},
        "hovertemplate": f"{escape(axis)} %{{x}}<br>%{{y:.0%}}<extra></extra>",
    }
    return {
        "id": "chances",
        "title": "Chance of being the best",
        "about": f"Of the {axis}s rendered, how often each one wins when the prompts are drawn anew.",
        "wide": False,
        "along": True,
        "data": [bars],
        "layout": layout,
    }


def _narrowing(best: Slice, axis: str) -> dict:
    """Both axes by powers: the width shrinks like one over the square root of the prompts."""
    doubt, have = best.doubt, best.interval.prompts
    prompts = [width.prompts for width in doubt.narrowing]
    widths = [width.width for width in doubt.narrowing]
    needed = [doubt.prompts_needed] if (doubt.prompts_needed or 0) > have else []
    layout = plain_layout("prompts", "width of the interval")
    layout["xaxis"] |= {"type": "log", "tickvals": prompts + needed}
    layout["xaxis"]["ticktext"] = [str(count) for count in prompts + needed]
    wanted = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"width": 1, "dash": "dash"}}
    layout["shapes"] = [wanted | {"y0": doubt.wanted_width, "y1": doubt.wanted_width}]
    layout["annotations"] = [
        {
            "text": f"wanted: {doubt.wanted_width:.3g}",
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": doubt.wanted_width,
            "yanchor": "bottom",
            "showarrow": False,
        }
    ]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": prompts,
        "y": widths,
        "line": {"color": BEST_LINE, "width": 2.5},
        "marker": {"size": [12 if count == have else 7 for count in prompts]},
        "hovertemplate": "%{x} prompts: %{y:.3g} wide<extra></extra>",
    }
    ahead = line | {
        "x": [prompts[-1], *needed],
        "y": [widths[-1], doubt.wanted_width],
        "line": {"color": BEST_LINE, "width": 1.5, "dash": "dash"},
        "marker": {"size": [1, 12], "symbol": "circle-open"},
    }
    about = f"The large dot is this run's {have} prompts. {_ahead(best, axis)}"
    title = "What more prompts would change"
    figure = {"id": "narrowing", "title": title, "about": about, "wide": False, "along": False}
    return figure | {"data": [line, ahead] if needed else [line], "layout": layout}


def _ahead(best: Slice, axis: str) -> str:
    doubt = best.doubt
    if doubt.prompts_needed is None:
        return (
            f"No number of them narrows it to {doubt.wanted_width:.3g}: the {axis}s tried are "
            f"{doubt.finest:.3g} apart."
        )
    if doubt.prompts_needed <= best.interval.prompts:
        return "The interval is as narrow as asked, or as the spacing allows."
    return f"About {doubt.prompts_needed} would make the interval {doubt.wanted_width:.3g} wide."


def _prompts(best: Slice, results: Results, axis: str) -> dict:
    """A line per prompt from where to where it survives, and a dot at its own best."""
    views = best.disagreement.prompts
    texts = {str(row.prompt_id): one_line(row.prompt) for row in results.images.itertuples()}
    labels = [_label(view.prompt, texts) for view in views]
    rows = list(range(len(views)))
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [view.low, view.high],
            "y": [row, row],
            "line": {"color": ODD if view.stands_out else ALIVE, "width": 9},
            "opacity": 0.45,
            "hoverinfo": "skip",
        }
        for row, view in zip(rows, views, strict=True)
        if view.low is not None
    ]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [view.best for view in views],
            "y": rows,
            "text": [
                escape(f"{label}: best {view.best:g}") + (f"<br>{view.stands_out}" if view.stands_out else "")
                for label, view in zip(labels, views, strict=True)
            ],
            "hovertemplate": "%{text}<extra></extra>",
            "marker": {
                "size": 11,
                "color": [
                    ODD if view.stands_out else ALIVE if view.low is not None else FAINT for view in views
                ],
                "symbol": ["circle" if view.survives else "x" for view in views],
            },
        }
    )
    layout = plain_layout(axis, "")
    layout["shapes"] = [best_line(best.ratio)]
    if best.window:
        layout["shapes"].insert(0, band(best.window.low.inside, best.window.high.inside, WINDOW_FILL))
    ticks = [escape(shorten(label, 26)) for label in labels]
    layout["yaxis"] |= {"tickvals": rows, "ticktext": ticks, "range": [-0.7, len(rows) - 0.3]}
    layout["yaxis"]["rangemode"] = "normal"
    return {
        "id": "prompts",
        "title": "How the prompts differ",
        "about": "Each line is where one prompt survives, its dot where it is best. Orange ones stand out, "
        "and a cross does not survive at the recommended place.",
        "wide": True,
        "along": True,
        "height": ROOM + ROW * len(rows),
        "data": data,
        "layout": layout,
    }


def _label(prompt: str, texts: dict[str, str]) -> str:
    return f"{prompt}  {texts[prompt]}" if texts.get(prompt) else prompt
