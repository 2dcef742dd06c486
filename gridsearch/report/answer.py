"""What a run found, as plain frozen data."""

from dataclasses import asdict, dataclass

from gridsearch.report.window import Window


@dataclass(frozen=True)
class Interval:
    """`low` to `high` holds the best ratio with confidence `level`, other prompts of this kind granted."""

    low: float
    high: float
    level: float
    prompts: int
    resamples: int


@dataclass(frozen=True)
class Slice:
    """One curve: the trials that differ in the main parameter alone.

    Attributes:
        settings: the other searched parameters, fixed here (empty where there are none).
        trial, ratio: the recommended trial, always a rendered one, and its main parameter.
        parent: the model that this ratio is, where it is no merge at all (ratio 0 or 1); otherwise None.
        survived, defect, images: that trial's share of `ok` images, mean defect, number of images.
        smoothed: where the smoothed curve is least; need not have been rendered.
        interval: of `smoothed`, and `ratio` is inside it; None where it cannot be had.
        note: a plain sentence on what limits the interval; empty where nothing does.
        window: None where less than the asked share survives even at the best.
    """

    settings: dict
    trial: int
    ratio: float | None
    parent: str | None
    survived: float
    defect: float
    images: int
    smoothed: float | None
    interval: Interval | None
    note: str
    window: Window | None


@dataclass(frozen=True)
class Answer:
    """What the run found.

    Attributes:
        main: the numeric parameter along which the curves run; None where none was searched.
        parameters: all searched parameters of the best trial; empty where no trial is complete.
        slices: one per combination of the other parameters, best first; `best` is the first.
        tied: other trials that cannot be told from the best.
        complete, planned: numbers of trials.
        finished: no trial is left to do.
        share: what a ratio must keep of its images to be in a window.
        sentence: the answer in words.
    """

    main: str | None
    parameters: dict
    slices: tuple[Slice, ...]
    tied: tuple[int, ...]
    complete: int
    planned: int
    finished: bool
    share: float
    sentence: str = ""

    @property
    def best(self) -> Slice | None:
        return self.slices[0] if self.slices else None

    def to_dict(self) -> dict:
        """Nested plain Python values, for JSON."""
        return asdict(self)
