"""The metrics of a picture in one table: what each is, how it is shown, and what healthy pictures have of it.

None of them alone says whether a picture is good: one side of each is a way to break, and so is the other.
`gridsearch.score.measure` takes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from math import exp, log, nan, sqrt
from typing import Any


@dataclass(frozen=True)
class Scale:
    """The scale on which a metric is compared, where healthy pictures scatter evenly to both sides."""

    forward: Callable[[float], float]  # metric -> scale
    back: Callable[[float], float]
    typical: float  # of healthy SDXL pictures at large, in the metric's unit
    spread: float  # standard deviation of healthy pictures at large, on the scale
    spread_in_run: float  # the same for one model's pictures of a handful of prompts


def _logarithmic(offset: float, typical: float, spread: float, spread_in_run: float) -> Scale:
    """A scale on which ratios count, not differences; below about `offset` nothing counts."""
    return Scale(lambda x: log(x + offset), lambda y: exp(y) - offset, typical, spread, spread_in_run)


def _linear(typical: float, spread: float, spread_in_run: float) -> Scale:
    return Scale(lambda x: x, lambda y: y, typical, spread, spread_in_run)


@dataclass(frozen=True)
class Metric:
    """Everything about a metric but how it is measured."""

    meaning: str  # one line of Markdown for the documentation
    unit: str = ""
    source: str = ""  # the publication that the measure is from
    scale: Scale | None = None  # how it is compared with healthy pictures; None keeps it out of the defect
    column: bool = False  # whether the tables show it
    percent: bool = False  # whether it is shown as a percentage
    rises: bool = False  # along a merge ratio, from under- to over-cooked; the dial is made of these
    figure: tuple[str, str] | None = None  # title and explanation of its figure in the report

    def text(self, value: float) -> str:
        """Return a value as a sentence shows it: `4%`, `52`, `0.6`."""
        if self.percent:
            return f"{value:.0%}"
        return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _metric(meaning: str, unit: str = "", **more: Any) -> Any:
    return field(metadata={"metric": Metric(meaning, unit, **more)})


# The typical values and spreads are rounded from healthy cells of published SDXL merge grids, and the
# spreads at large made wide enough for photographs. None is tuned to a single picture: 300 random draws
# of all of them, typical values within 15% and spreads within 25%, changed no verdict on those grids.
@dataclass(frozen=True)
class Metrics:
    """The measures of one picture. Undefined is nan: a flat picture has no blur, not a good one."""

    blur: float = _metric(
        "width of the strongest edges, as a Gaussian's σ: a sharp step reads 0.4, a flat picture has none",
        "pixels",
        source="after Marziliano et al. 2002",
        scale=_logarithmic(0.0, 0.6, 0.35, 0.2),
        column=True,
        figure=(
            "Blur",
            "The width of edges in pixels. A blank image has no edges, so no value: less is not better.",
        ),
    )
    noise: float = _metric(
        "σ of the grain in the flattest fifth of the blocks, at two scales",
        "8-bit levels",
        source="Immerkær 1996",
        scale=_logarithmic(0.5, 0.25, 0.6, 0.4),
        column=True,
        figure=("Noise", "Grain in the flattest areas, in brightness levels. Blank images have the least."),
    )
    contrast: float = _metric(
        "standard deviation of luma",
        "8-bit levels",
        scale=_logarithmic(1.0, 52.0, 0.45, 0.25),
        column=True,
        rises=True,
        figure=("Contrast", "The spread of brightness. Pale images have little, burnt ones much."),
    )
    clipped: float = _metric(
        "share of channel values at most 8 or at least 247",
        "0 to 1",
        # A square root, because shares near 0 differ by little and matter much.
        scale=Scale(sqrt, lambda y: max(y, 0.0) ** 2, 0.02, 0.15, 0.1),
        column=True,
        percent=True,
        rises=True,
        figure=("Clipped", "The share of colour values at the dark or bright end. It rises as images burn."),
    )
    colourfulness: float = _metric(
        "spread and distance from grey: 0 is grey, about 60 vivid, over 100 garish",
        source="Hasler and Süsstrunk 2003",
        scale=_logarithmic(10.0, 32.0, 0.6, 0.35),
        column=True,
        rises=True,
    )
    entropy: float = _metric(
        "entropy of the luma histogram", "bits, 0 to 8", scale=_linear(7.3, 0.8, 0.5), column=True
    )
    detail: float = _metric(
        "share of blocks that hold something: their luma varies by over 4 levels",
        "0 to 1",
        scale=_linear(0.7, 0.25, 0.15),
        percent=True,
    )
    autocorrelation: float = _metric(
        "correlation of neighbouring pixels, the lower of across and down",
        "-1 to 1",
        # How far from perfect correlation, as a ratio.
        scale=Scale(lambda x: -log(1.01 - x), lambda y: 1.01 - exp(-y), 0.95, 0.6, 0.4),
    )
    brightness: float = _metric("mean luma", "8-bit levels")
    side: float = _metric("square root of the area that was measured, at most 512", "pixels")
    # The gate looks at these too (see `looks`). Details are the root mean squares of a Haar transform.
    white: float = _metric(
        "share of pixels that are white in a flat place, as paper is", "0 to 1", percent=True
    )
    black: float = _metric(
        "share of pixels that are black in a flat place, as a night is", "0 to 1", percent=True
    )
    clipped_picture: float = _metric(
        "share of channel values that are clipped, those of flat white and black left out",
        "0 to 1",
        percent=True,
    )
    clipped_detail: float = _metric(
        "share of channel values that are clipped where the picture is not flat", "0 to 1", percent=True
    )
    clipped_colour: float = _metric(
        "share of channel values that are clipped in pixels of a colour", "0 to 1", percent=True
    )
    primaries: float = _metric("share of pixels with a channel at either end", "0 to 1", percent=True)
    ragged: float = _metric(
        "how much of a border what clips has: pairs of neighbours of which one clips, per pixel", "0 to 2"
    )
    darkest: float = _metric("luma below which 2% of the pixels lie", "8-bit levels")
    brightest: float = _metric("luma above which 2% of the pixels lie", "8-bit levels")
    saturation: float = _metric("mean difference of the largest and the least channel", "8-bit levels")
    flat: float = _metric("share of places whose luma spans at most 8 levels", "0 to 1", percent=True)
    shapes: float = _metric(
        "share of the contrast that lies in large shapes, between 8 × 8 blocks", "0 to 1", percent=True
    )
    roughness: float = _metric(
        "how much the means of 16 × 16 blocks change from one to the next: 1 is as by chance",
        "0 to 2",
        source="after von Neumann 1941",
    )
    coherence: float = _metric("how far edges run one way within 8 px: 1 is straight", "0 to 1")
    colour_shapes: float = _metric(
        "share of the colours' deviation that lies in large shapes, between 8 × 8 blocks",
        "0 to 1",
        percent=True,
    )
    middle_tones: float = _metric("share of pixels with a luma of 40 to 215", "0 to 1", percent=True)
    edge_length: float = _metric(
        "mean size of the connected edges, each weighed by its size; 1 is a line across the picture", "sides"
    )
    edge_colour: float = _metric("how much more saturated pixels on edges are than others", "8-bit levels")
    steep: float = _metric(
        "share of pixels that differ by over 20 levels from the next", "0 to 1", percent=True
    )
    detail_2: float = _metric("details of 2 px", "8-bit levels")
    detail_4: float = _metric("details of 4 px", "8-bit levels")
    detail_8: float = _metric("details of 8 px", "8-bit levels")
    detail_32: float = _metric("details of 32 px", "8-bit levels")
    quiet_2: float = _metric("details of 2 px in the quietest tenth of the blocks", "8-bit levels")
    quiet_4: float = _metric("details of 4 px in the quietest tenth of the blocks", "8-bit levels")
    quiet_8: float = _metric("details of 8 px in the quietest tenth of the blocks", "8-bit levels")
    evenness_4: float = _metric("how evenly details of 4 px are spread: 0 is evenly", "ln")
    evenness_8: float = _metric("how evenly details of 8 px are spread: 0 is evenly", "ln")
    sparseness_4: float = _metric("how rare details of 4 px are: noise has 0.5, lines have 4", "ln")
    colour_4: float = _metric("details of 4 px of colour", "8-bit levels")
    colour_quiet_4: float = _metric(
        "details of 4 px of colour in the quietest tenth of the blocks", "8-bit levels"
    )
    colour_quiet_8: float = _metric(
        "details of 8 px of colour in the quietest tenth of the blocks", "8-bit levels"
    )

    second_look: float = field(
        default=nan,
        metadata={
            "metric": Metric("what the second look, where it is asked, says of its odds to be broken", "ln")
        },
    )

    @property
    def loudness(self) -> float:
        """The product of what a burn raises: clipping off flat white and black, colour and contrast.

        Any of these alone is a style. Grey counts as a little colour.
        """
        return self.clipped_picture * (self.colourfulness + 20) * self.contrast


METRICS: dict[str, Metric] = {field.name: field.metadata["metric"] for field in fields(Metrics)}
METRIC_SCALES = {name: metric.scale for name, metric in METRICS.items() if metric.scale}
METRIC_COLUMNS = tuple(name for name, metric in METRICS.items() if metric.column)
# Titles and explanations of the figures along the ratio, those of metrics that rise along it first.
CHARTED = {
    name: figure
    for name in sorted(METRICS, key=lambda name: not METRICS[name].rises)
    if (figure := METRICS[name].figure)
}
GOALS = ("blur", "noise")  # what a search for two goals minimises side by side

UNDEFINED = Metrics(**dict.fromkeys(METRICS, nan))  # of a render that was not finite
