"""The map of a pool as a picture: a labelled point for each model, near to those that it is like."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from PIL import Image, ImageDraw

from gridsearch.base.files import write_atomic
from gridsearch.report.colours import SLICE_COLOURS
from gridsearch.report.sheet.sheet import FAINT, INK, LINE, PAPER, font, wrap

WIDTH, HEIGHT, MARGIN = 1800, 1300, 110
TOP = 100  # pixels for the title
COLUMN = 480  # pixels for the list of names, where points have numbers
DOT, LETTERS, WIDEST = 6, 17, 320
GAP = 3  # pixels around a label
DIRECTIONS = 32  # in which a label is tried, at each of these distances from its point
NEAR_BY = (DOT + 6, 20, 30, 42)
ANYWHERE = (*NEAR_BY, 60, 85, 115, 150, 190, 240, 300)

Point = tuple[float, float]
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pin:
    """A point of the map: the models that lie there, and what its colour stands for."""

    names: tuple[str, ...]
    group: str
    at: Point


def write_map(path: Path, pins: Sequence[Pin], title: str, about: Sequence[str]) -> None:
    """Write the map as a PNG; both axes have one scale, and none has a meaning of its own.

    Names stand beside their points where there is room for all of them; otherwise points have numbers, which
    a list explains.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((30, 24), title, font=font(26), fill=INK)
    for row, line in enumerate(about):
        draw.text((30, 60 + 22 * row), line, font=font(16), fill=FAINT)
    names = [" = ".join(pin.names) for pin in pins]
    places = _on_paper([pin.at for pin in pins], WIDTH)
    labels = _labelled(list(zip(names, places, strict=True)), WIDTH, NEAR_BY)
    if not all(label.is_free for label in labels):
        places = _on_paper([pin.at for pin in pins], WIDTH - COLUMN)
        order = sorted(range(len(pins)), key=lambda i: names[i].lower())
        numbers = {i: str(number) for number, i in enumerate(order, 1)}
        named = [(numbers[i], at) for i, at in enumerate(places)]
        labels = _labelled(named, WIDTH - COLUMN, ANYWHERE)
        _list(draw, [(numbers[i], names[i]) for i in order])
    colours = _colours(pins)
    for label in labels:
        if math.dist(label.at, end := label.end) > DOT + GAP:
            draw.line((label.at, end), fill=LINE, width=2)
        draw.multiline_text(label.box[:2], label.text, font=font(LETTERS), fill=INK, spacing=2)
    for pin, (x, y) in zip(pins, places, strict=True):
        draw.ellipse((x - DOT, y - DOT, x + DOT, y + DOT), fill=colours[pin.group], outline=PAPER)
    _legend(draw, colours)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def _list(draw: ImageDraw.ImageDraw, numbered: Sequence[tuple[str, str]]) -> None:
    """Write the names of numbered points into a column, as large as they fit."""
    height = min(26.0, (HEIGHT - TOP - 60) / len(numbered))
    size = max(min(LETTERS, int(height * 0.75)), 8)
    for row, (number, name) in enumerate(numbered):
        y = TOP + row * height
        draw.text((WIDTH - COLUMN + 40, y), number, font=font(size), fill=FAINT, anchor="ra")
        text = wrap(name, COLUMN - 60, size, lines=1)[0]
        draw.text((WIDTH - COLUMN + 52, y), text, font=font(size), fill=INK)


def _colours(pins: Sequence[Pin]) -> dict[str, str]:
    groups = sorted({pin.group for pin in pins})
    return {group: SLICE_COLOURS[i % len(SLICE_COLOURS)] for i, group in enumerate(groups)}


def _legend(draw: ImageDraw.ImageDraw, colours: Mapping[str, str]) -> None:
    x = 30.0
    for group, colour in colours.items():
        draw.ellipse((x, HEIGHT - 36, x + 2 * DOT, HEIGHT - 36 + 2 * DOT), fill=colour)
        draw.text((x + 20, HEIGHT - 41), group, font=font(16), fill=FAINT)
        x += 50 + font(16).getlength(group)


def _on_paper(points: Sequence[Point], width: int) -> list[Point]:
    """Return the points in pixels of a picture of this width, as large as they fit."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    room_x, room_y = width - 2 * MARGIN, HEIGHT - TOP - 2 * MARGIN
    scale = min(room_x / max(max(xs) - min(xs), 1e-12), room_y / max(max(ys) - min(ys), 1e-12))
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    centre = TOP + MARGIN + room_y / 2
    return [(width / 2 + (x - middle_x) * scale, centre - (y - middle_y) * scale) for x, y in points]


# -- labels


@dataclass(frozen=True)
class _Label:
    """The text of a point, its box, and whether that covers nothing else."""

    at: Point
    text: str
    box: _Box
    is_free: bool

    @property
    def end(self) -> Point:
        """Return where a line from the point meets the box."""
        (x, y), (left, top, right, bottom) = self.at, self.box
        return min(max(x, left), right), min(max(y, top), bottom)


def _labelled(named: Sequence[tuple[str, Point]], width: int, reaches: Sequence[int]) -> list[_Label]:
    """Return the label of each point, as near to it as there is room; points in a crowd choose last."""
    taken: list[_Box] = [(x - DOT, y - DOT, x + DOT, y + DOT) for _, (x, y) in named]
    found = []
    for name, at in sorted(named, key=lambda one: _crowd(one[1], named)):
        lines = wrap(name, WIDEST, LETTERS, lines=3)
        long = max(font(LETTERS).getlength(line) for line in lines)
        places = _places(at, long, (LETTERS + 5) * len(lines), reaches)
        box, cost = _cheapest(places, taken, width)
        taken.append((box[0] - GAP, box[1] - GAP, box[2] + GAP, box[3] + GAP))
        found.append(_Label(at, "\n".join(lines), box, cost == 0))
    return found


def _crowd(at: Point, named: Sequence[tuple[str, Point]]) -> float:
    return sum(1 / (20 + math.dist(at, other)) for _, other in named)


def _cheapest(places: Iterator[_Box], taken: Sequence[_Box], width: int) -> tuple[_Box, float]:
    """Return the first box that covers nothing, or the one that covers least, and what it covers."""
    best, least = next(places), math.inf
    for box in chain([best], places):
        if (cost := _cost(box, taken, width)) < least:
            best, least = box, cost
        if not cost:
            break
    return best, least


def _places(at: Point, long: float, high: float, reaches: Sequence[int]) -> Iterator[_Box]:
    """Yield boxes around a point, the nearest first."""
    for reach in reaches:
        for step in range(DIRECTIONS):
            angle = 2 * math.pi * step / DIRECTIONS
            x = at[0] + reach * math.cos(angle) + long / 2 * (math.cos(angle) - 1)
            y = at[1] + reach * math.sin(angle) + high / 2 * (math.sin(angle) - 1)
            yield x, y, x + long, y + high


def _cost(box: _Box, taken: Sequence[_Box], width: int) -> float:
    """Return by how many pixels a label covers others or leaves the picture."""
    outside = max(10 - box[0], box[2] - width + 10, TOP - box[1], box[3] - HEIGHT + 50, 0)
    return sum(_common(box, other) for other in taken) + 100 * outside


def _common(one: _Box, other: _Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)
