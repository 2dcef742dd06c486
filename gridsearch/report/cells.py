"""The cells of a grid of images: its pictures, columns, groups and rows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby, zip_longest

from gridsearch.render.cases import case_id
from gridsearch.report.few import spread


@dataclass(frozen=True)
class CaseRow:
    """A row: one prompt with one seed, and a value of the axis that goes down where there is one.

    If it is `held_out`, only the leaders are rendered.
    """

    prompt_id: str
    prompt: str
    seed: int
    held_out: bool = False
    label: str = ""  # the prompt without what all of them share
    setting: str = ""  # of the axis that goes down: "cfg 3.5"

    @property
    def id(self) -> str:
        """The row's key."""
        return " ".join(filter(None, (case_id(self.prompt_id, self.seed), self.setting)))

    @property
    def block(self) -> tuple[str, int | None]:
        """The rows that belong together: those of a prompt, or of one seed of it along an axis."""
        return self.prompt_id, self.seed if self.setting else None


@dataclass(frozen=True)
class StopPoint:
    """The step at which the rendering of an image was stopped, and the reason."""

    where: str  # "stopped at step 8 of 20"
    reason: str


@dataclass(frozen=True)
class Picture:
    """The image in a cell."""

    file: str  # relative to the results folder, as is `film`
    verdict: str
    reason: str
    defect: float
    stop: StopPoint | None = None  # where early abort stopped it, and why; None for a complete image
    film: str | None = None  # None where none was kept
    blur: float = math.nan  # px; NaN where it is undefined, as for `noise`
    noise: float = math.nan  # levels
    best: bool = False  # whether it alone of its column is recommended, where an axis goes down

    @property
    def said(self) -> str:
        """The verdict, its reason, and where it was stopped unless the reason says so."""
        words = f"{self.verdict}: {self.reason}" if self.reason else self.verdict
        stop = self.stop
        return words if stop is None or stop.where in words else f"{words}\n{stop.where}: {stop.reason}"


@dataclass(frozen=True)
class GridColumn:
    """A trial, or a parent's own renders."""

    heading: str  # the ratio, or the parent's name
    detail: tuple[str, ...]  # survivors and mean defect, or the parent's prediction type
    survived: float  # share of `ok` images
    pictures: dict[str, Picture]  # by case; a case without an image is absent
    value: float | None = None  # the main parameter; None for a parent, or where none was searched
    trial: int | None = None  # None for a parent
    best: bool = False  # whether it is recommended in its slice, and anything survives there
    alive: bool = True  # whether it is inside its slice's window
    missing: tuple[str, str] = ("not rendered", "")  # why those are, in a word or two and in full

    @property
    def name(self) -> str:
        """The heading in a sentence: a bare number of a trial would pass for a ratio."""
        return f"trial {self.heading}" if self.heading == str(self.trial) else self.heading

    @property
    def is_reference(self) -> bool:
        """Whether it has a parent's own renders."""
        return self.trial is None

    def why_missing(self, case: CaseRow) -> tuple[str, str]:
        """Return why a case has no image here; held-out cases need no reason."""
        return ("", "") if case.held_out else self.missing


@dataclass(frozen=True)
class Group:
    """Columns under one heading: the references, or one slice."""

    heading: str
    columns: tuple[GridColumn, ...]
    ranked: bool = False  # whether the best trial stands first, where there is no ratio to stand along

    @property
    def is_references(self) -> bool:
        """Whether it has the parents' own renders."""
        return self.columns[0].is_reference


@dataclass(frozen=True)
class Grid:
    """The rows, and the columns in their groups; a note where others are shown than were asked for."""

    cases: tuple[CaseRow, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    across: str = ""  # the value that was chosen for the columns, in words; empty for the main parameter
    down: str = ""  # and the one for the rows; empty where these are prompts alone

    @cached_property  # a large grid asks for them thousands of times
    def columns(self) -> tuple[GridColumn, ...]:
        """The columns of all groups."""
        return tuple(column for group in self.groups for column in group.columns)

    @property
    def spans(self) -> list[tuple[Group, range]]:
        """Each group with the places of its columns among those of all groups."""
        ends = accumulate(len(group.columns) for group in self.groups)
        return [(g, range(end - len(g.columns), end)) for g, end in zip(self.groups, ends, strict=True)]

    def first_of_prompt(self, row: int) -> bool:
        """Return whether a row is the first of its prompt, or along an axis of its seed."""
        return row == 0 or self.cases[row - 1].block != self.cases[row].block

    def first_held_out(self, row: int) -> bool:
        """Return whether a row is the first held-out one."""
        return self.cases[row].held_out and (row == 0 or not self.cases[row - 1].held_out)

    def sound_case(self, column: GridColumn) -> CaseRow:
        """Return a case that is sound in this column, or else the first one."""
        sound = [case for case in self.cases if (p := column.pictures.get(case.id)) and p.verdict == "ok"]
        return (sound or self.cases)[0]

    def along(
        self, trial: int | None, most: int, rivals: Sequence[int] = ()
    ) -> tuple[list[GridColumn], CaseRow | None]:
        """Return up to `most` columns of a trial's group, and a case that is sound in it.

        The trial and its rivals, as far as they leave half of the room, and others evenly along the ratio;
        or else the first of a ranking.
        """
        for group in self.groups:
            places = {column.trial: i for i, column in enumerate(group.columns)}
            if trial is not None and trial in places:
                kept = [places[one] for one in (trial, *rivals) if one in places][: max(most // 2, 1)]
                if group.ranked:
                    return [*group.columns[:most]], self.sound_case(group.columns[places[trial]])
                values = [i if c.value is None else c.value for i, c in enumerate(group.columns)]
                shown = [group.columns[i] for i in spread(values, most, kept)]
                return shown, self.sound_case(group.columns[places[trial]])
        return [], None


def turns(cases: Iterable[CaseRow]) -> list[tuple[CaseRow, ...]]:
    """Return the first case of every prompt, then every second one, and so on; along an axis each case."""
    cases = list(cases)
    if any(case.setting for case in cases):
        return [tuple(rows) for _, rows in groupby(cases, key=lambda case: case.block)]
    by_prompt: dict[str, list[CaseRow]] = {}
    for case in cases:
        by_prompt.setdefault(case.prompt_id, []).append(case)
    return [tuple(filter(None, turn)) for turn in zip_longest(*by_prompt.values())]
