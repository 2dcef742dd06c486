"""Sound pictures, drawn in many styles; a seed names one of each."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, map_coordinates

from benchmarks.verdicts.fields import (
    Drawing,
    Rng,
    Shape,
    Size,
    as_jpeg,
    blob,
    cloud,
    composition,
    figure,
    framed_size,
    landscape,
    paint,
    palette,
    things,
)
from tests.helpers.pictures import to_bytes

INK, WHITE, BLACK = (20, 18, 22), (255, 255, 255), (0, 0, 0)
SIDES = (256, 384, 512, 512, 512, 640, 640, 768, 768, 1024, 1024, 2048)
QUALITIES = (0, 0, 0, 90, 50, 20)  # of JPEGs; 0 is a PNG
ASPECTS = (1, 1, 0.67, 0.75, 1.33, 1.5, 1.75)


def _soft(picture: np.ndarray, share: float) -> np.ndarray:
    reach = share * max(picture.shape)
    return gaussian_filter(picture.astype(np.float32), (reach, reach, 0), truncate=3)


def _shaded(
    size: Size, rng: Rng, saturation=(0.15, 0.8), value=(0.15, 0.95), slope=1.6, amount=60
) -> np.ndarray:
    """A composition painted softly: gradients, soft light and a little texture."""
    colours = palette(rng, saturation, value)
    base = paint(composition(rng), size, colours, colours[-1])
    light = cloud(size, slope, rng)[..., None] - 0.5
    fine = cloud(size, 0.9, rng)[..., None] - 0.5
    return base + amount * light + rng.uniform(5, 30) * fine


def flat_vector(size: Size, rng: Rng) -> np.ndarray:
    colours = palette(rng, (0.3, 1.0), (0.4, 1.0))
    grounds = [colours[-1], WHITE, WHITE, BLACK, colours[0]]
    return paint(composition(rng), size, colours, grounds[rng.integers(5)])


def cel_shading(size: Size, rng: Rng) -> np.ndarray:
    """Two tones a shape, an outline, a plain or soft background."""
    colours = palette(rng, (0.1, 0.75), (0.35, 1.0))
    shapes = composition(rng)
    lit = paint(
        shapes, size, colours, colours[-1] if rng.random() < 0.7 else WHITE, INK, rng.uniform(0.002, 0.005)
    )
    shadow = gaussian_filter((cloud(size, 2.2, rng) < rng.uniform(0.3, 0.5)).astype(np.float32), 1)
    toned = lit * (1 - shadow[..., None] * rng.uniform(0.1, 0.35))
    return toned + (cloud(size, 1.5, rng)[..., None] - 0.5) * rng.uniform(0, 25)


def _lines(size: Size, rng: Rng, paper: float, ink: float) -> np.ndarray:
    pen = rng.uniform(0.0015, 0.006)
    ground = (int(paper),) * 3
    tones = (
        [ground] * 6
        if rng.random() < 0.6
        else [ground, ground, ground, (200, 200, 200), (120,) * 3, (40,) * 3]
    )
    picture = paint(composition(rng), size, tones, ground, (int(ink),) * 3, pen)
    if rng.random() < 0.5:  # hatching inside some blobs
        y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
        for _ in range(int(rng.integers(1, 5))):
            inside = cloud(size, 2.5, rng) < 0.2
            turn, step = rng.uniform(0, 3.1), rng.uniform(40, 110)
            on = ((x * np.cos(turn) + y * np.sin(turn)) * step % 1 < 0.22) & inside
            picture[on] = np.minimum(picture[on], ink + 20)
    return picture


def line_art_on_white(size: Size, rng: Rng) -> np.ndarray:
    return _lines(size, rng, 255, rng.uniform(0, 40))


def pen_on_paper(size: Size, rng: Rng) -> np.ndarray:
    paper = float(rng.choice([255, 252, 248, 244, 240, 228]))
    picture = gaussian_filter(_lines(size, rng, paper, rng.uniform(0, 60)), (0.6, 0.6, 0))
    tint = np.array([1, rng.uniform(0.95, 1), rng.uniform(0.85, 1)]) if paper < 250 else np.ones(3)
    return picture * tint + rng.normal(0, rng.uniform(0, 1.5), picture.shape)


def pencil(size: Size, rng: Rng) -> np.ndarray:
    picture = _lines(size, rng, 245, 70)
    tooth = cloud(size, 0.4, rng)[..., None]
    shade = np.clip(cloud(size, 2, rng)[..., None] - 0.45, 0, 1) * 160
    return picture - shade * (0.4 + 0.6 * tooth) + (tooth - 0.5) * 8


def neon(size: Size, rng: Rng) -> np.ndarray:
    colours = palette(rng, (0.85, 1.0), (0.9, 1.0), hues=4)
    ground = [(0, 0, 0), (4, 2, 10), (12, 6, 30)][rng.integers(3)]
    outline = paint(composition(rng), size, [ground], ground, colours[0], rng.uniform(0.003, 0.008))
    other = paint(things(rng), size, [BLACK], BLACK, colours[1], 0.004)
    light = np.maximum(outline, other)
    return light + _soft(light, 0.01) * 1.2 + _soft(light, 0.04) * 1.2 + cloud(size, 2, rng)[..., None] * 14


def pixel_art(size: Size, rng: Rng) -> np.ndarray:
    edge = int(rng.choice([4, 6, 8, 10]))
    small = max(size[0] // edge, 24), max(size[1] // edge, 24)
    colours = palette(rng, (0.3, 1.0), (0.2, 1.0), size=8)
    picture = np.round(paint(composition(rng), small, colours, colours[-1], INK, 0.01) / 51) * 51
    dither = (np.add.outer(range(small[0]), range(small[1])) % 2)[..., None] * (
        cloud(small, 2, rng)[..., None] > 0.6
    )
    large = (picture - 25 * dither).repeat(edge, 0).repeat(edge, 1)
    return large[: size[0], : size[1]]


def high_key(size: Size, rng: Rng) -> np.ndarray:
    soft = _shaded(size, rng, (0.02, 0.3), (0.7, 1.0), amount=30)
    dark = paint(figure(rng), size, palette(rng, (0.05, 0.4), (0.3, 1.0)), WHITE)
    return (
        np.minimum(soft * 1.12 + 10, 0.35 * soft + 0.65 * dark + 8) if rng.random() < 0.7 else soft * 1.1 + 8
    )


def low_key(size: Size, rng: Rng) -> np.ndarray:
    picture = _shaded(size, rng, (0.1, 0.7), (0.1, 0.9), slope=1.2)
    lamp = (
        _soft(paint(things(rng)[:3], size, [WHITE, (120,) * 3, (60,) * 3], BLACK), rng.uniform(0.04, 0.12))
        / 255
    )
    return picture * np.clip(lamp + rng.uniform(0.05, 0.16), 0, 1)


def night(size: Size, rng: Rng) -> np.ndarray:
    """A dark blue sky above dark hills, lit windows, a moon."""
    colours = palette(rng, (0.3, 0.8), (0.04, 0.3), hues=2)
    picture = paint(landscape(rng), size, colours, colours[-1])
    sky = np.linspace(1.5, 0.5, size[0])[:, None, None]
    lights = np.zeros((*size, 3), np.float32)
    for _ in range(int(rng.integers(10, 120))):
        y, x, s = (
            rng.integers(size[0]),
            rng.integers(size[1]),
            max(1, int(rng.uniform(0.002, 0.008) * max(size))),
        )
        lights[y : y + s, x : x + s] = (255, rng.uniform(170, 240), rng.uniform(60, 160))
    return picture * sky + lights + _soft(lights, 0.006) * 2 + cloud(size, 1.2, rng)[..., None] * 12


def space(size: Size, rng: Rng) -> np.ndarray:
    """Stars on true black, perhaps a nebula and a planet."""
    picture = np.zeros((*size, 3), np.float32)
    if rng.random() < 0.7:
        tint = np.array(palette(rng, (0.4, 0.9), (0.5, 1.0))[0])
        veil = np.clip(cloud(size, 1.8, rng) - rng.uniform(0.3, 0.6), 0, 1) * cloud(size, 1.2, rng)
        picture += veil[..., None] * tint * rng.uniform(1, 2.5)
    stars = (rng.random(size) < rng.uniform(0.0004, 0.003)) * rng.uniform(60, 500, size)
    picture += gaussian_filter(stars.astype(np.float32), max(size) / 1500)[..., None] * rng.uniform(1, 4)
    if rng.random() < 0.6:
        disc = paint(things(rng)[:1], size, [WHITE], BLACK) / 255
        y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
        tint = np.array(palette(rng, (0.2, 0.7), (0.6, 1.0))[0])
        picture = picture * (1 - disc) + disc * (
            60 + 195 * cloud(size, 1.3, rng)[..., None]
        ) / 255 * tint * np.clip(1.3 - 1.4 * (x + y)[..., None] * rng.uniform(0.4, 1), 0.02, 1)
    return picture


def dark_room(size: Size, rng: Rng) -> np.ndarray:
    """A room lit through one window, or by one lamp."""
    room = _shaded(size, rng, (0.1, 0.6), (0.1, 0.7), amount=40)
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / np.array(size)[:, None, None]
    u, v = rng.uniform(0.2, 0.8, 2)
    light = np.exp(-((x - u) ** 2 + (y - v) ** 2) / rng.uniform(0.02, 0.12))[..., None]
    window = ((abs(x - u) < 0.06) & (abs(y - v) < 0.09))[..., None] * np.array([255, 235, 190.0])
    return np.maximum(room * (0.05 + light * 1.1), _soft(window.astype(np.float32), 0.002))


def photograph(size: Size, rng: Rng) -> np.ndarray:
    """Fields of 1/f texture within the shapes of a scene, depth of field, a little grain."""
    colours = palette(rng, (0.05, 0.6), (0.1, 0.9), hues=4)
    shapes = paint(composition(rng), size, colours, colours[-1])
    masks = (
        paint(composition(rng), size, [(k * 40, 255 - k * 40, (k * 97) % 255) for k in range(7)], BLACK) / 255
    )
    textures = [cloud(size, slope, rng)[..., None] - 0.5 for slope in rng.uniform(0.7, 1.6, 3)]
    lit = shapes + sum(rng.uniform(20, 130) * t * masks[..., k : k + 1] for k, t in enumerate(textures))
    lit = lit * (0.6 + 0.8 * cloud(size, 2.2, rng)[..., None])
    return _soft(lit, 0.0007) + rng.normal(0, rng.uniform(0.5, 4), (*size, 3))


def foliage(size: Size, rng: Rng) -> np.ndarray:
    """Leaves upon leaves in several greens, lit from one side."""
    picture = np.full((*size, 3), (20, 30, 15.0), np.float32)
    greens = [(40, 80, 30), (70, 120, 40), (110, 160, 60), (150, 190, 90), (60, 60, 30), (190, 200, 120)]
    light = 0.35 + 1.0 * cloud(size, 2, rng)[..., None]
    from_ = rng.uniform(0.015, 0.06)
    shapes = []
    for _ in range(int(rng.integers(250, 900))):
        shapes.append(
            Shape(blob(tuple(rng.random(2)), rng.uniform(0.4, 1) * from_, rng, 9), int(rng.integers(6)))
        )
    picture = paint(shapes, size, greens, (25, 35, 20))
    if rng.random() < 0.6:
        colours = palette(rng, (0.1, 0.7), (0.2, 0.9))
        front = paint(figure(rng), size, colours, (1, 2, 3))
        picture = np.where((abs(front - (1, 2, 3)).sum(2) > 12)[..., None], front, picture)
    return picture * light + (cloud(size, 0.8, rng)[..., None] - 0.5) * 40


def grain(size: Size, rng: Rng) -> np.ndarray:
    """Film grain: up to 12 levels at one pixel of a 1024 px picture."""
    picture = _shaded(size, rng)
    fine = gaussian_filter(rng.normal(0, 1, size), max(size) / 2200)
    return picture + (fine / fine.std())[..., None] * rng.uniform(3, 9) * min(1, max(size) / 1024)


def snow(size: Size, rng: Rng) -> np.ndarray:
    colours = palette(rng, (0.05, 0.35), (0.4, 1.0), hues=2)
    picture = paint(
        landscape(rng) + (figure(rng) if rng.random() < 0.5 else []), size, colours, (210, 220, 232)
    )
    flakes = np.zeros(size, np.float32)
    for reach, number in ((0.001, 700), (0.003, 150), (0.008, 25)):
        dots = np.zeros(size, np.float32)
        dots[rng.integers(0, size[0], number), rng.integers(0, size[1], number)] = 1
        spread = gaussian_filter(dots, max(0.6, reach * max(size)))
        flakes += spread / spread.max()
    return picture + np.minimum(flakes, 1)[..., None] * 190


def fog(size: Size, rng: Rng) -> np.ndarray:
    """A misty scene that a person meant: near shapes keep their contrast."""
    far, near = (
        _shaded(size, rng, (0, 0.3), (0.3, 0.9)),
        figure(rng) if rng.random() < 0.5 else landscape(rng),
    )
    veil = rng.uniform(170, 215)
    front = paint(near, size, palette(rng, (0.05, 0.5), (0.05, 0.45)), (1, 2, 3))
    inside = gaussian_filter((abs(front - (1, 2, 3)).sum(2) > 9).astype(np.float32), 1)[..., None]
    depth = np.linspace(0.85, 0.45, size[0])[:, None, None]
    misty = veil * depth + _soft(far, 0.004) * (1 - depth)
    return misty * (1 - inside) + inside * (front * 0.8 + veil * 0.12 + 25 * cloud(size, 1.2, rng)[..., None])


def watercolour(size: Size, rng: Rng) -> np.ndarray:
    """Washes with darker rims on white paper with tooth."""
    paper = np.full((*size, 3), rng.choice([250.0, 244, 255, 238]), np.float32)
    for colour in palette(rng, (0.2, 0.8), (0.4, 0.95), hues=4)[: int(rng.integers(3, 7))]:
        wash = paint([s for s in composition(rng) if rng.random() < 0.5], size, [BLACK], WHITE) / 255
        bent = _soft(wash, 0.004)
        rim = np.clip(_soft(wash, 0.012) - bent, 0, 1) * 0.5
        strength = (1 - bent) * (0.3 + 0.6 * cloud(size, 1.6, rng)[..., None]) + rim
        paper *= 1 - np.clip(strength, 0, 1) * (1 - np.array(colour) / 255)
    return paper + (cloud(size, 0.5, rng)[..., None] - 0.5) * rng.uniform(4, 14)


def oil(size: Size, rng: Rng) -> np.ndarray:
    """Strokes: a shaded picture whose pixels were pushed along a flow."""
    picture = _shaded(size, rng)
    dy, dx = [(cloud(size, 1.4, rng) - 0.5) * 0.05 * max(size) for _ in range(2)]
    places = np.mgrid[0 : size[0], 0 : size[1]] + np.stack([dy, dx])
    moved = np.stack(
        [map_coordinates(picture[..., k], places, order=1, mode="reflect") for k in range(3)], -1
    )
    return moved + (cloud(size, 0.6, rng)[..., None] - 0.5) * 25


def monochrome(size: Size, rng: Rng) -> np.ndarray:
    kind = [_shaded, photograph, cel_shading, low_key][rng.integers(4)]
    grey = kind(size, rng).mean(axis=2, keepdims=True)
    return (
        grey * np.array([1, rng.uniform(0.9, 1), rng.uniform(0.75, 1)])
        if rng.random() < 0.3
        else grey.repeat(3, 2)
    )


def bars(size: Size, rng: Rng) -> np.ndarray:
    """Letterboxed, in black or white, at top and bottom or at the sides."""
    picture = [_shaded, photograph, cel_shading, flat_vector][rng.integers(4)](size, rng)
    share, tone = rng.uniform(0.06, 0.2), 255.0 * (rng.random() < 0.3)
    if rng.random() < 0.6:
        edge = int(size[0] * share)
        picture[:edge], picture[-edge:] = tone, tone
    else:
        edge = int(size[1] * share)
        picture[:, :edge], picture[:, -edge:] = tone, tone
    return picture


def text(size: Size, rng: Rng) -> np.ndarray:
    """A poster, a page or a logo: large and small letters on paper, dark or coloured ground."""
    colours = palette(rng, (0.2, 1.0), (0.3, 1.0))
    ground, pen = [(WHITE, INK), (BLACK, WHITE), (colours[0], WHITE), ((240, 236, 224), INK)][rng.integers(4)]
    image = Image.new("RGB", (size[1], size[0]), ground)
    draw = ImageDraw.Draw(image)
    if rng.random() < 0.7:
        art = paint(things(rng)[:5], size, colours, ground)
        image = Image.fromarray(to_bytes(art))
        draw = ImageDraw.Draw(image)
    y = 0.08
    while y < 0.92:
        letters = rng.choice([0.025, 0.03, 0.05, 0.12, 0.2])
        font = ImageFont.load_default(max(6, int(letters * max(size))))
        words = "".join(rng.choice(list("abcdefghijklmnoprstuvwy  ABDEGHKMRST"), int(0.85 / letters * 1.6)))
        draw.text((0.07 * size[1], y * size[0]), words, pen if rng.random() < 0.8 else colours[1], font)
        y += letters * 1.4 + (0.1 if rng.random() < 0.2 else 0)
    return np.asarray(image).astype(np.float32)


def collage(size: Size, rng: Rng) -> np.ndarray:
    """Four to nine pictures of other styles, with or without gutters."""
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    sheet = np.full((*size, 3), rng.choice([255.0, 0, 30, 255]), np.float32)
    kinds = [_shaded, photograph, cel_shading, flat_vector, night, watercolour]
    height, width, gap = size[0] // rows, size[1] // columns, int(rng.choice([0, 0.01, 0.02]) * max(size))
    for row in range(rows):
        for column in range(columns):
            cell = (max(height - gap, 32), max(width - gap, 32))
            made = kinds[rng.integers(len(kinds))](cell, rng)
            sheet[row * height : row * height + cell[0], column * width : column * width + cell[1]] = made
    return sheet


def comic(size: Size, rng: Rng) -> np.ndarray:
    """Panels of black and white ink with screen tone."""
    sheet = np.full((*size, 3), 255.0, np.float32)
    rows, gap = int(rng.integers(2, 4)), max(4, int(0.012 * max(size)))
    height = size[0] // rows
    for row in range(rows):
        cell = (height - gap, size[1] - 2 * gap)
        panel = _lines(cell, rng, 255, 0)
        y, x = np.mgrid[0 : cell[0], 0 : cell[1]]
        dots = (np.hypot(x % 6 - 2.5, y % 6 - 2.5) < 1.6) & (cloud(cell, 2.3, rng) < 0.3)
        panel[dots] = np.minimum(panel[dots], 60)
        panel[:3], panel[-3:], panel[:, :3], panel[:, -3:] = 0, 0, 0, 0
        sheet[row * height : row * height + cell[0], gap : gap + cell[1]] = panel
    return sheet


def bokeh(size: Size, rng: Rng) -> np.ndarray:
    """A sharp figure before discs of light out of focus."""
    colours = palette(rng, (0.3, 0.9), (0.5, 1.0), hues=4)
    ground = _soft(_shaded(size, rng, (0.2, 0.8), (0.05, 0.5)), 0.03)
    discs = paint([s for s in things(rng) if len(s.outline) == 48], size, colours, BLACK)
    picture = ground + 0.6 * _soft(discs, 0.003)
    if rng.random() < 0.75:
        front = paint(figure(rng), size, palette(rng, (0.1, 0.6), (0.2, 0.95)), (1, 2, 3))
        inside = gaussian_filter((abs(front - (1, 2, 3)).sum(2) > 9).astype(np.float32), 0.7)[..., None]
        picture = picture * (1 - inside) + inside * (front + (cloud(size, 1.1, rng)[..., None] - 0.5) * 50)
    return picture


def soft_painting(size: Size, rng: Rng) -> np.ndarray:
    """An illustration as models draw it: a figure with soft shading before a scene, fine lines."""
    colours = palette(rng, (0.1, 0.6), (0.35, 0.97), hues=4)
    ground = _soft(_shaded(size, rng, (0.1, 0.6), (0.3, 0.95)), rng.uniform(0.001, 0.008))
    front = paint(figure(rng), size, colours, (1, 2, 3), tuple(int(c * 0.35) for c in colours[0]), 0.002)
    inside = gaussian_filter((abs(front - (1, 2, 3)).sum(2) > 9).astype(np.float32), 0.7)[..., None]
    shade = (cloud(size, 1.8, rng)[..., None] - 0.5) * 70 + (cloud(size, 0.9, rng)[..., None] - 0.5) * 20
    return ground * (1 - inside) + inside * (front + shade)


def glow(size: Size, rng: Rng) -> np.ndarray:
    """A sunset or a bright window: a burnt-out sun in a sound picture."""
    picture = _shaded(size, rng, (0.2, 0.9), (0.2, 0.9))
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
    sun = np.exp(-((x - rng.uniform(0.2, 0.8)) ** 2 + (y - 0.35) ** 2) / rng.uniform(0.004, 0.03))[..., None]
    return picture + sun * np.array([330, rng.uniform(200, 300), rng.uniform(60, 200)])


def gradient(size: Size, rng: Rng) -> np.ndarray:
    """A minimal picture: a smooth ground and few shapes."""
    a, b, c = (np.array(colour, float) for colour in palette(rng, (0.2, 0.8), (0.3, 1.0))[:3])
    t = np.linspace(0, 1, size[0])[:, None, None] * np.ones((*size, 1))
    shapes = figure(rng) if rng.random() < 0.5 else things(rng)[:4]
    front = paint(shapes, size, palette(rng, (0.2, 0.9), (0.2, 1.0)), (1, 2, 3))
    inside = gaussian_filter((abs(front - (1, 2, 3)).sum(2) > 9).astype(np.float32), 0.7)[..., None]
    return (a * (1 - t) + b * t) * (1 - inside) + inside * (front * 0.8 + c * 0.2)


STYLES: dict[str, Drawing] = {
    function.__name__.replace("_", " "): function
    for function in (
        flat_vector, cel_shading, line_art_on_white, pen_on_paper, pencil, neon, pixel_art, high_key, low_key,
        night, space, dark_room, photograph, foliage, grain, snow, fog, watercolour, oil, monochrome, bars,
        text,
        collage, comic, bokeh, soft_painting, glow, gradient,
    )
}  # fmt: skip


def drawn(style: str, seed: int) -> np.ndarray:
    """One picture of a style, uint8 (H, W, 3), 256 to 2048 px, as a PNG or a JPEG of 20, 50 or 90 has it."""
    rng = np.random.default_rng([seed, *style.encode()])
    picture = to_bytes(STYLES[style](framed_size(rng, SIDES, ASPECTS), rng))
    return as_jpeg(picture, int(rng.choice(QUALITIES)))
