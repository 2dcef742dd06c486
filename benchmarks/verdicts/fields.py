"""Random fields and compositions that the drawn styles are made of; all placed in shares of the side."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator
Size = tuple[int, int]  # height and width
Drawing = Callable[[Size, Rng], np.ndarray]  # -> float (H, W, 3), 0 to 255
Colour = tuple[int, int, int]
Point = tuple[float, float]


def framed_size(rng: Rng, sides: Sequence[int], aspects: Sequence[float]) -> Size:
    """A size by chance; the longer side is one of `sides`, and width over height one of `aspects`."""
    side, aspect = rng.choice(sides), rng.choice(aspects)
    return round(side / max(aspect, 1)), round(side * min(aspect, 1))


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """The picture, uint8 (H, W, 3), as a JPEG of this quality has it; at 0 as it is."""
    if quality == 0:
        return picture
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def cloud(shape: tuple[int, int], slope: float, rng: Rng) -> np.ndarray:
    """Noise whose amplitude falls as frequency**-slope, 0 to 1: 0 is white, 1 a photograph, 2 clouds.

    The amplitudes of natural scenes fall with about the first power (Field 1987). It is made at 512 px at
    most and enlarged, for its details are the largest picture's concern alone.
    """
    side = min(512, max(shape))
    across, down = np.fft.rfftfreq(side), np.fft.fftfreq(side)[:, None]
    size = np.maximum(np.hypot(across, down), 1 / side) ** -slope
    phases = np.exp(2j * np.pi * rng.random(size.shape))
    field = np.fft.irfft2(size * phases, s=(side, side))
    low, high = np.quantile(field, (0.005, 0.995))
    field = np.clip((field - low) / (high - low), 0, 1).astype(np.float32)
    scale = max(shape) / side
    if scale > 1:
        large = round(side * scale), round(side * scale)
        field = np.asarray(Image.fromarray(field).resize(large, Image.Resampling.BILINEAR))
    return field[: shape[0], : shape[1]]


def blob(at: Point, size: float, rng: Rng, corners: int = 24, rough: float = 0.3) -> list[Point]:
    """The corners of a closed smooth outline."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = np.ones(corners)
    for wave in range(2, 6):
        radius += rough / wave * rng.normal() * np.cos(wave * angles + rng.uniform(0, 6.3))
    squeeze, turn = rng.uniform(0.6, 1.6), rng.uniform(0, np.pi)
    x, y = np.cos(angles) * radius * size, np.sin(angles) * radius * size * squeeze
    return [
        (at[0] + a * np.cos(turn) - b * np.sin(turn), at[1] + a * np.sin(turn) + b * np.cos(turn))
        for a, b in zip(x, y, strict=True)
    ]


def ellipse(at: Point, width: float, height: float) -> list[Point]:
    """Return the corners of an ellipse with these half axes."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return [(at[0] + width * np.cos(a), at[1] + height * np.sin(a)) for a in angles]


@dataclass(frozen=True)
class Shape:
    """A closed outline in shares of the side; its tone is an index into a palette."""

    outline: list[Point]
    tone: int


def figure(rng: Rng) -> list[Shape]:
    """A person from head to hip: hair, body, face, eyes, a collar."""
    u, v, s = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.45), rng.uniform(0.14, 0.26)
    w = rng.uniform(0.7, 1.1)
    shapes = [
        Shape(blob((u, v + 0.3 * s), 1.3 * s, rng, rough=0.35), 0),
        Shape(
            [
                (u - 0.25 * s, v + s),
                (u - w * 1.3 * s, v + 1.6 * s),
                (u - w * 1.6 * s, 1.2),
                (u + w * 1.6 * s, 1.2),
                (u + w * 1.3 * s, v + 1.6 * s),
                (u + 0.25 * s, v + s),
            ],
            1,
        ),
        Shape([(u - 0.2 * s, v + 0.6 * s), (u + 0.2 * s, v + 0.6 * s), (u, v + 1.7 * s)], 2),
        Shape(ellipse((u, v), 0.72 * s, 0.9 * s), 2),
        Shape(blob((u, v - 0.6 * s), 0.6 * s, rng, rough=0.5), 0),
    ]
    for side in (-1, 1):
        eye = (u + side * 0.3 * s, v + 0.15 * s)
        shapes += [Shape(ellipse(eye, 0.17 * s, 0.22 * s), 3), Shape(ellipse(eye, 0.09 * s, 0.13 * s), 4)]
        arm = [(u + side * w * s, v + 1.5 * s), (u + side * w * 1.7 * s, v + rng.uniform(1.2, 2.6) * s)]
        shapes.append(Shape([*arm, (arm[1][0], arm[1][1] + 0.5 * s), (arm[0][0], arm[0][1] + 0.6 * s)], 5))
    return shapes


def landscape(rng: Rng) -> list[Shape]:
    """Hills behind hills, a sun, trees or houses."""
    shapes = [
        Shape(ellipse((rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.4)), *[rng.uniform(0.04, 0.12)] * 2), 2)
    ]
    for row in range(int(rng.integers(2, 5))):
        xs = np.linspace(-0.05, 1.05, 24)
        top = (
            0.4
            + 0.15 * row
            + sum(
                rng.normal(0, 0.05) / k * np.cos(2 * np.pi * k * xs + rng.uniform(0, 6.3))
                for k in range(1, 5)
            )
        )
        shapes.append(Shape([*zip(xs, top, strict=True), (1.05, 1.05), (-0.05, 1.05)], row % 6))
        for _ in range(int(rng.integers(0, 9))):
            x, y, s = rng.uniform(0, 1), 0.45 + 0.15 * row + rng.uniform(0, 0.1), rng.uniform(0.02, 0.09)
            if rng.random() < 0.5:
                shapes.append(
                    Shape([(x - s / 8, y), (x + s / 8, y), (x + s / 8, y + s), (x - s / 8, y + s)], 4)
                )
                shapes.append(Shape(blob((x, y - s / 2), s, rng), int(rng.integers(6))))
            else:
                shapes.append(Shape([(x - s, y), (x + s, y), (x + s, y + 2 * s), (x - s, y + 2 * s)], 5))
                shapes.append(Shape([(x - 1.2 * s, y), (x, y - s), (x + 1.2 * s, y)], int(rng.integers(6))))
    return shapes


def things(rng: Rng) -> list[Shape]:
    """Blobs, boxes and discs, large ones first."""
    sizes = sorted(rng.uniform(0.02, 0.35, int(rng.integers(6, 22))) ** 1.3, reverse=True)
    shapes = []
    for size in sizes:
        at = (rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.95))
        kind, tone = rng.integers(3), int(rng.integers(6))
        if kind == 0:
            shapes.append(Shape(blob(at, size, rng), tone))
        elif kind == 1:
            shapes.append(Shape(ellipse(at, size, size * rng.uniform(0.5, 1.5)), tone))
        else:
            shapes.append(Shape(blob(at, size, rng, corners=int(rng.integers(3, 7))), tone))
    return shapes


def composition(rng: Rng) -> list[Shape]:
    """A person, a landscape, things, or several of these."""
    found = [figure, landscape, things][int(rng.integers(3))](rng)
    if rng.random() < 0.35:
        found = landscape(rng) + figure(rng)
    return found


def palette(rng: Rng, saturation: Point, value: Point, hues: int = 3, size: int = 7) -> list[Colour]:
    """Colours around a few hues, the last for the background."""
    centres = rng.random(hues)
    found = []
    for _ in range(size):
        hue = (centres[rng.integers(hues)] + rng.normal(0, 0.03)) % 1
        pixel = Image.new(
            "HSV", (1, 1), (int(hue * 255), *(int(rng.uniform(*r) * 255) for r in (saturation, value)))
        )
        found.append(pixel.convert("RGB").getpixel((0, 0)))
    return found


def paint(
    shapes: Sequence[Shape],
    size: tuple[int, int],
    colours: Sequence[Colour],
    background: Colour,
    outline: Colour | None = None,
    pen: float = 0.004,
) -> np.ndarray:
    """Fill and outline shapes on a background, antialiased; float (H, W, 3).

    Args:
        size: height and width.
        outline: its colour; None draws none.
        pen: its width, as a share of the side.
    """
    over = 2 if max(size) <= 1100 else 1
    height, width = size[0] * over, size[1] * over
    image = Image.new("RGB", (width, height), background)
    draw = ImageDraw.Draw(image)
    line = max(1, round(pen * max(width, height)))
    for shape in shapes:
        corners = [(x * width, y * height) for x, y in shape.outline]
        draw.polygon(corners, fill=colours[shape.tone % len(colours)])
        if outline is not None:
            draw.line([*corners, corners[0], corners[1]], fill=outline, width=line, joint="curve")
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BOX)).astype(np.float32)
