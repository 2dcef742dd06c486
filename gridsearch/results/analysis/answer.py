"""The findings of a run, as plain frozen data."""

from dataclasses import dataclass
from typing import Literal

from gridsearch.results.analysis.bradley_terry import Human
from gridsearch.results.analysis.window import Disagreement, Window

State = Literal["passed", "alarm", "not done"]  # of a check
Parameters = dict[str, bool | int | float | str | None]  # searched parameter -> value


@dataclass(frozen=True)
class RatioInterval:
    """Interval that holds the best ratio with confidence `level`, for other prompts of this kind too."""

    low: float
    high: float
    level: float
    prompts: int
    resamples: int


@dataclass(frozen=True)
class BestPlace:
    """Part of an interval: in this run of ratios the best lies with probability `chance`, there if at all."""

    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Plateau:
    """Ratios that draw as well: none of them differs from another by more than `margin` in the mean loss.

    Attributes:
        level: how sure that is.
        whole: this holds of all trials that survive, so that there is no best one to find.
        more_prompts: how many more of them would probably show a difference of `margin`; 0 where there are
            enough.
    """

    low: float
    high: float
    margin: float
    level: float
    whole: bool
    more_prompts: int


@dataclass(frozen=True)
class Elsewhere:
    """The expectation on other prompts: the share of sound images, its interval, and the mean loss.

    The recommended trial's own figures are those of having been chosen; these are not.
    """

    survived: float
    low: float
    high: float
    loss: float
    level: float


@dataclass(frozen=True)
class RatioChance:
    """Probability that a rendered ratio is as good as any; 0 of one that these prompts do not survive.

    As good: none has for all prompts a mean loss that is less by more than
    `gridsearch.results.analysis.optimum.MARGIN`.
    """

    ratio: float
    chance: float


@dataclass(frozen=True)
class Width:
    """Width of the interval with so many prompts."""

    prompts: int
    width: float


@dataclass(frozen=True)
class Doubt:
    """Uncertainty of the best place along a curve.

    Attributes:
        smoothed: the rendered ratio of the least expected loss.
        interval: of the best ratio, and the recommended one is inside it; None where it cannot be had.
        note: a plain sentence on what limits the interval; empty where nothing does.
        chances: of each rendered ratio, ascending, that it is as good as any; empty without an interval,
            and with two prompts.
        narrowing: the interval's width by the number of prompts, of several parts together; of the best
            slice alone.
        wanted_width: what was asked for, or else half of the present width.
        prompts_needed: how many prompts in all would reach it, at least as many as there are; None where none
            would.
        finest: the gap between the ratios about the best. No number of prompts tells more than that.
        places: the parts of the interval, where several runs of ratios may hold the best.
    """

    smoothed: float | None
    interval: RatioInterval | None
    note: str
    chances: tuple[RatioChance, ...] = ()
    narrowing: tuple[Width, ...] = ()
    wanted_width: float | None = None
    prompts_needed: int | None = None
    finest: float | None = None
    places: tuple[BestPlace, ...] = ()

    @property
    def width(self) -> float | None:
        """Width of the interval now, of its parts together."""
        return self.narrowing[-1].width if self.narrowing else None


@dataclass(frozen=True)
class Slice:
    """One curve: the trials that differ in the main parameter alone.

    Attributes:
        settings: the other searched parameters, fixed here (empty where there are none).
        trial, ratio: the recommended trial, always a rendered one, and its main parameter.
        parent: the model that this trial is, where it is no merge at all (ratio 0 or 1); otherwise None.
        survived, defect, images: that trial's share of `ok` images, mean defect, number of images.
        doubt: how sure the ratio is.
        window: None where less than the asked share survives even at the best.
        estimated: the ratios known from stopped trials alone, whose share is an estimate.
        disagreement: None where fewer than two prompts were drawn at three ratios; of the best slice alone.
        plateau: the ratios about the recommended one that draw as well; None where no other surely does.
        elsewhere: what to expect on other prompts; None for one prompt, or without a curve.
        others: the other windows, in which a ratio surely keeps as many of all prompts' images.
    """

    settings: Parameters
    trial: int
    ratio: float | None
    parent: str | None
    survived: float
    defect: float
    images: int
    doubt: Doubt
    window: Window | None
    estimated: tuple[float, ...] = ()
    disagreement: Disagreement | None = None
    plateau: Plateau | None = None
    elsewhere: Elsewhere | None = None
    others: tuple[Window, ...] = ()

    @property
    def interval(self) -> RatioInterval | None:
        return self.doubt.interval

    @property
    def note(self) -> str:
        return self.doubt.note


@dataclass(frozen=True)
class Figures:
    """Results of one trial on one set of prompts."""

    survived: float
    defect: float
    images: int
    prompts: int

    @property
    def sound(self) -> str:
        """The number of sound images in words, as `14 of 16`."""
        return f"{round(self.survived * self.images)} of {self.images}"


@dataclass(frozen=True)
class Rivals:
    """The recommended trial of a search over many values, compared with the others.

    Attributes:
        others: whole trials beside it.
        open: how many of them are not surely worse, nor known to be as good: these images cannot tell.
        prompts: how many have a say.
        more_prompts: how many more would probably tell half of those from it; None where nothing says.
    """

    others: int
    open: int
    prompts: int
    more_prompts: int | None


@dataclass(frozen=True)
class Confirmation:
    """One leader's figures on the prompts that chose it, and on the held-out prompts.

    `fell` is the p-value of its doing worse on the latter, not corrected for its having been chosen;
    `visible` how much larger the mean loss would have to be there to show in four of five cases, None where
    one prompt alone can show nothing.
    """

    trial: int
    selection: Figures
    held_out: Figures
    fell: float
    visible: float | None


@dataclass(frozen=True)
class Unmasked:
    """A winner by luck: `trial` won on the selection prompts, and `instead` is recommended.

    `named` is the winner in words, `reason` what the held-out prompts show of it, and `p` how probable that
    is where the winner won by merit.
    """

    trial: int
    instead: int
    reason: str
    p: float
    named: str = ""


@dataclass(frozen=True)
class SanityCheck:
    """One check of whether the run can be trusted, as a line of words."""

    name: str
    state: State
    text: str


@dataclass(frozen=True)
class Neighbour:
    """A trial near the recommended one; `distance` in ranges of the parameters, root mean square."""

    trial: int
    distance: float
    survived: float
    defect: float


@dataclass(frozen=True)
class FrontPoint:
    """A trial that no other beats on both blur and noise; `knee` is where giving up on either costs most."""

    trial: int
    blur: float | None
    noise: float | None
    survived: float
    knee: bool


@dataclass(frozen=True)
class Answer:
    """All findings of a run.

    Attributes:
        main: the numeric parameter along which the curves run; None where none was searched.
        parameters: all searched parameters of the best trial; empty where no trial is complete.
        slices: one per combination of the other parameters, best first; `best` is the first.
        tied: other trials as good: with 75% probability not worse than the best by more than a margin
            (`gridsearch.results.analysis.optimum.MARGIN`). None has more sound images than the best, unless
            held-out prompts or a person chose that one.
        finished: no trial is left to do.
        share: what a ratio must keep of its images to be in a window.
        stopped: how many trials were stopped before their end.
        given_up: the settings of the curves on which every trial was stopped.
        projection: hardly two trials differ in the main parameter alone, so there is one slice without
            settings, and neither interval nor window.
        neighbours: the trials nearest to the best, of a projection.
        rivals: how the best compares with the others, of a projection; None of another search.
        runner_up: the best trial of the next curve, where it ties or these images cannot tell it from the
            best, and it has at most one sound image fewer; None where that is not so.
        importances: parameter -> the share of the loss's variance that goes with it alone.
        front: the trials on the front of blur and noise, by blur; empty where these are not the goals.
        confirmed: the leaders on held-out prompts, the recommended one first.
        unmasked: the winner that held-out prompts show to be one by luck; None where none is.
        human: what a person preferred, who decides among the tied; None where none was asked.
        checks: whether the run can be trusted.
        composition: what the best is made of, as `55% base + 45% burnt`; empty where it is no such sum.
        weights: its ratios per block as supermerger's list; empty unless each block has one.
        sentence: the answer in words.
        file: what the recommended merge's file may be called; empty where nothing survives.
    """

    main: str | None
    parameters: Parameters
    slices: tuple[Slice, ...]
    tied: tuple[int, ...]
    complete: int
    planned: int
    finished: bool
    share: float
    stopped: int = 0
    given_up: tuple[Parameters, ...] = ()
    projection: bool = False
    neighbours: tuple[Neighbour, ...] = ()
    rivals: Rivals | None = None
    runner_up: int | None = None
    importances: tuple[tuple[str, float], ...] = ()
    front: tuple[FrontPoint, ...] = ()
    confirmed: tuple[Confirmation, ...] = ()
    unmasked: Unmasked | None = None
    human: Human | None = None
    checks: tuple[SanityCheck, ...] = ()
    composition: str = ""
    weights: str = ""
    sentence: str = ""
    file: str = ""

    @property
    def best(self) -> Slice | None:
        return self.slices[0] if self.slices else None

    @property
    def alarms(self) -> tuple[SanityCheck, ...]:
        return tuple(check for check in self.checks if check.state == "alarm")
