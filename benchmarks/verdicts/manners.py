"""More sound pictures: soft, pale, dark, rough and garish ones, as their style makes them.

Each is graded as its maker might have: toned, tinted, sharpened, a little soft, darker at the corners.
"""

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from benchmarks.verdicts.fields import (
    Drawing,
    Rng,
    Shape,
    Size,
    blob,
    cloud,
    composition,
    figure,
    paint,
    palette,
    things,
)
from benchmarks.verdicts.styles import BLACK, INK, WHITE

UNPAINTED = (1, 2, 3)


def _soft(picture: np.ndarray, share: float) -> np.ndarray:
    reach = share * max(picture.shape)
    return gaussian_filter(picture.astype(np.float32), (reach, reach, *(0,) * (picture.ndim - 2)), truncate=3)


def _waves(size: Size, slope: float, rng: Rng) -> np.ndarray:
    return cloud(size, slope, rng)[..., None]


def _within(shapes: list[Shape], size: Size, reach: float) -> np.ndarray:
    """Return the share of each pixel that lies in any of the shapes, 0 to 1, soft by so many pixels."""
    return gaussian_filter(1 - paint(shapes, size, [BLACK], WHITE)[..., 0] / 255, reach)[..., None]


def graded(picture: np.ndarray, rng: Rng) -> np.ndarray:
    """One grading, of a picture from 0 to 255."""
    made = np.clip(picture, 0, 255)
    made = 255 * (made / 255) ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.4:  # black and white points drawn in, or a tint over all
        low, high = rng.uniform(0, 35), rng.uniform(215, 255)
        made = low + made * (high - low) / 255
    if rng.random() < 0.4:
        made = made * rng.uniform(0.75, 1.0, 3) + rng.uniform(0, 20, 3)
    if rng.random() < 0.4:
        y, x = np.mgrid[-1 : 1 : made.shape[0] * 1j, -1 : 1 : made.shape[1] * 1j]
        made = made * (1 - rng.uniform(0.1, 0.5) * np.clip(np.hypot(x, y)[..., None] - 0.3, 0, 1))
    turn = rng.random()
    if turn < 0.3:
        made = _soft(made, rng.uniform(0.0005, 0.003))
    elif turn < 0.55:
        made = made + rng.uniform(0.3, 1.2) * (made - _soft(made, rng.uniform(0.001, 0.004)))
    grain = rng.standard_normal((*made.shape[:2], 1)) * rng.uniform(0.3, 3) if rng.random() < 0.3 else 0
    return made + grain


def washes(size: Size, rng: Rng) -> np.ndarray:
    """Water colour, from wet in wet to dry: soft runs, hard rims, perhaps a pen over it."""
    paper = np.full((*size, 3), rng.choice([255.0, 250, 244, 232]), np.float32) * rng.uniform(0.94, 1, 3)
    wet = rng.uniform(0.001, 0.02)
    shapes = composition(rng)
    for colour in palette(rng, (0.1, 0.9), (0.3, 0.98), hues=5)[: int(rng.integers(2, 7))]:
        wash = _soft(
            1 - paint([s for s in shapes if rng.random() < 0.4], size, [BLACK], WHITE)[..., :1] / 255, wet
        )
        pigment = wash * (0.15 + rng.uniform(0.2, 0.8) * _waves(size, rng.uniform(1, 2), rng))
        rim = np.clip(wash - _soft(wash, 2 * wet), 0, 1) * rng.uniform(0, 0.8)
        paper *= 1 - np.clip(pigment + rim, 0, 1) * (1 - np.array(colour) / 255)
    if rng.random() < 0.35:
        pen = paint(shapes, size, [WHITE], WHITE, INK, rng.uniform(0.001, 0.003)) / 255
        paper *= 1 - (1 - pen) * rng.uniform(0.4, 1)
    return paper + (_waves(size, 0.4, rng) - 0.5) * rng.uniform(0, 16)


def pastel(size: Size, rng: Rng) -> np.ndarray:
    """Light and little contrast, as a maker chose it: near to one tone but for the darks of a figure."""
    colours = palette(rng, (0.03, 0.3), (0.75, 1.0), hues=3)
    ground = _soft(paint(composition(rng), size, colours, colours[-1]), rng.uniform(0.0005, 0.01))
    front = paint(figure(rng), size, palette(rng, (0.05, 0.5), (0.25, 0.95)), UNPAINTED)
    inside = _within(figure(rng), size, 1.0) if rng.random() < 0.2 else (front.sum(2) > 12)[..., None]
    return ground * (1 - inside) + inside * front + (_waves(size, 1.2, rng) - 0.5) * rng.uniform(4, 25)


def ink_wash(size: Size, rng: Rng) -> np.ndarray:
    """Greys that run, and few hard strokes, on wide white."""
    paper = np.full((*size, 3), rng.uniform(235, 255), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        inside = _within([Shape(blob(tuple(rng.random(2)), rng.uniform(0.05, 0.4), rng), 0)], size, 1)
        run = _soft(inside, rng.uniform(0.001, 0.03))
        paper -= run * _waves(size, 1.5, rng) * rng.uniform(60, 230)
    strokes = paint(things(rng)[:6], size, [WHITE], WHITE, BLACK, rng.uniform(0.002, 0.01)) / 255
    return paper * np.clip(strokes + 0.5 * _waves(size, 0.8, rng), 0, 1)


def macro(size: Size, rng: Rng) -> np.ndarray:
    """Out of focus but for one thing; or a close view in which all is soft but its finest hairs."""
    colours = palette(rng, (0.2, 0.95), (0.2, 1.0), hues=3)
    far = _soft(paint(composition(rng), size, colours, colours[-1]), rng.uniform(0.01, 0.05))
    thing = Shape(blob(tuple(rng.uniform(0.3, 0.7, 2)), rng.uniform(0.1, 0.3), rng, 40, 0.6), 0)
    inside = _within([thing], size, rng.uniform(0.6, 1.5))
    body = np.array(colours[0]) * (0.4 + 0.9 * _waves(size, rng.uniform(1.2, 2), rng))
    return far * (1 - inside) + inside * (body + (_waves(size, 0.9, rng) - 0.5) * rng.uniform(5, 60))


def veins(size: Size, rng: Rng) -> np.ndarray:
    """A leaf, cloth, wood or bark from near: one texture everywhere, and a slow change of light."""
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
    turn, step = rng.uniform(0, np.pi), rng.uniform(8, 50)
    bent = x * np.cos(turn) + y * np.sin(turn) + 0.15 * cloud(size, 2, rng)
    ribs = np.abs(np.sin(np.pi * bent * step)) ** rng.uniform(0.3, 3)
    a, b = (np.array(colour, float) for colour in palette(rng, (0.2, 0.9), (0.15, 0.9), hues=2)[:2])
    mixed = np.clip(rng.uniform(0.3, 0.9) * ribs + 0.4 * cloud(size, 1.2, rng), 0, 1)[..., None]
    fine = (_waves(size, rng.uniform(0.5, 1.2), rng) - 0.5) * rng.uniform(5, 50)
    return (a * (1 - mixed) + b * mixed) * (0.4 + 1.1 * _waves(size, 2.2, rng)) + fine


def silhouette(size: Size, rng: Rng) -> np.ndarray:
    """Black shapes before a bright or a burning sky."""
    a, b = (np.array(colour, float) for colour in palette(rng, (0.2, 1.0), (0.5, 1.0), hues=3)[:2])
    t = np.linspace(0, 1, size[0])[:, None, None] ** rng.uniform(0.6, 2)
    sky = (a * (1 - t) + b * t) * (0.75 + 0.5 * _waves(size, 1.8, rng)) * rng.uniform(0.7, 1.4)
    inside = _within(composition(rng), size, 0.8)
    return sky * (1 - inside) + inside * (rng.uniform(0, 25) + 12 * _waves(size, 1, rng))


def flames(size: Size, rng: Rng) -> np.ndarray:
    """Fire, sparks or light at night: bright, vivid and clipped in its core, as it is meant to be."""
    heat = np.clip(
        _waves(size, 1.6, rng) * np.linspace(rng.uniform(-0.4, 0.2), 1.6, size[0])[:, None, None], 0, 2
    )
    tint = np.array([[1.3, 0.55, 0.12], [0.2, 0.6, 1.4], [0.9, 0.3, 1.3]][rng.integers(3)])
    picture = 255 * heat ** rng.uniform(1.2, 2.5) * tint
    sparks = np.zeros((*size, 1), np.float32)
    for y, x in rng.random((int(rng.integers(0, 200)), 2)) * size:
        sparks[int(y) : int(y) + 2, int(x) : int(x) + 2] = 255
    dark = _within(figure(rng), size, 1) if rng.random() < 0.5 else 0
    return (picture + sparks * tint + _soft(sparks, 0.004) * 3 * tint) * (1 - 0.85 * dark)


def glass(size: Size, rng: Rng) -> np.ndarray:
    """Stained glass, mosaic or facets: many pieces with hard edges that together show something."""
    pieces = int(rng.integers(80, 900))
    seeds = rng.random((pieces, 2)) * size
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    far, near = cKDTree(seeds).query(np.stack([y, x], -1), k=2, workers=1)
    colours = palette(rng, (0.3, 1.0), (0.25, 1.0), hues=5)
    under = _soft(paint(composition(rng), size, colours, colours[-1]), 0.002)
    own = under[seeds[:, 0].astype(int), seeds[:, 1].astype(int)] + rng.normal(
        0, rng.uniform(2, 25), (pieces, 3)
    )
    lead = np.clip((far[..., 1] - far[..., 0]) / rng.uniform(2, 6), 0, 1)[..., None]
    ground = rng.choice([10.0, 60.0, 235.0])
    return (
        own[near[..., 0]] * lead + (1 - lead) * ground + (_waves(size, 1.3, rng) - 0.5) * rng.uniform(0, 40)
    )


def pattern(size: Size, rng: Rng) -> np.ndarray:
    """Cloth or wallpaper: one motif again and again; a person may stand before it."""
    side = max(size)
    edge = max(int(side / rng.integers(4, 14)), 16)
    colours = palette(rng, (0.1, 0.9), (0.25, 1.0), hues=3)
    tile = paint(things(rng)[: int(rng.integers(2, 9))], (edge, edge), colours, colours[-1])
    sheet = np.tile(tile, (size[0] // edge + 1, size[1] // edge + 1, 1))[: size[0], : size[1]]
    if rng.random() < 0.6:
        front = paint(figure(rng), size, palette(rng, (0.1, 0.7), (0.2, 1.0)), UNPAINTED, INK)
        inside = (front.sum(2) > 12)[..., None]
        sheet = sheet * (1 - inside) + inside * front
    return sheet + (_waves(size, 1.5, rng) - 0.5) * rng.uniform(0, 50)


def solids(size: Size, rng: Rng) -> np.ndarray:
    """Balls with light, shadow and a gleam, as a renderer draws them; rough or smooth."""
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
    colours = palette(rng, (0.1, 0.9), (0.3, 1.0), hues=4)
    a, b = (np.array(colour, float) for colour in colours[:2])
    picture = a + (b - a) * (y / y.max())[..., None] ** 2
    light = np.array([rng.uniform(-0.7, 0.7), -0.6, 0.5])
    light /= np.linalg.norm(light)
    for _ in range(int(rng.integers(2, 12))):
        u, v, r = rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.9), rng.uniform(0.04, 0.25)
        dx, dy = (x - u) / r, (y - v) / r
        out = np.clip((1 - np.hypot(dx, dy)) * r * max(size), 0, 1)[..., None]
        up = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
        lit = np.clip(dx * light[0] + dy * light[1] + up * light[2], 0, 1)[..., None]
        shade = (
            np.array(colours[rng.integers(7)]) * (0.15 + 0.95 * lit) * (0.8 + 0.4 * _waves(size, 1.2, rng))
        )
        gleam = 255 * lit ** rng.uniform(8, 60) * rng.uniform(0, 1)
        cast = np.exp(-(((x - u - 0.4 * r) / r) ** 2 + ((y - v - r) / (0.3 * r)) ** 2))[..., None]
        picture = picture * (1 - 0.5 * cast)
        picture = picture * (1 - out) + out * (shade + gleam)
    return picture


def street(size: Size, rng: Rng) -> np.ndarray:
    """Houses, windows, signs and wires: many straight edges at every size; by day, at dusk or by night."""
    hour = rng.uniform(0.12, 1.0)
    colours = palette(rng, (0.05, 0.6), (0.2, 1.0), hues=4, size=9)
    image = Image.new("RGB", (size[1], size[0]), colours[-1])
    draw = ImageDraw.Draw(image)
    for row in range(3):
        x = -0.1
        while x < 1:
            w, top = rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.4) + 0.2 * row
            box = [int(x * size[1]), int(top * size[0]), int((x + w) * size[1]), size[0]]
            draw.rectangle(box, fill=colours[rng.integers(8)])
            n, m = int(rng.integers(2, 9)), int(rng.integers(3, 14))
            lamp = (255, 220, 140) if hour < 0.5 else tuple(int(c * 0.5) for c in colours[rng.integers(8)])
            for i, j in np.argwhere(rng.random((n, m)) < 0.6):
                left, up = box[0] + (i + 0.2) * w * size[1] / n, box[1] + (j + 0.2) * 0.05 * size[0]
                draw.rectangle([left, up, left + 0.5 * w * size[1] / n, up + 0.025 * size[0]], fill=lamp)
            x += w * rng.uniform(0.8, 1.3)
    picture = np.asarray(image).astype(np.float32)
    bright = picture * (picture.min(2) > 130)[..., None]
    return (
        picture * hour * (0.7 + 0.6 * _waves(size, 1.8, rng))
        + bright * (1 - hour)
        + _soft(bright, 0.01) * 0.6
    )


def anime_face(size: Size, rng: Rng) -> np.ndarray:
    """A face from near: large eyes with gleams, strands of hair, soft cheeks, a plain or a drawn ground."""
    skin = np.array([[255, 226, 205], [240, 200, 170], [150, 105, 80]][rng.integers(3)])
    hair, iris, dress = palette(rng, (0.15, 0.9), (0.2, 1.0), hues=3)[:3]
    grounds = (
        np.full((*size, 3), 255.0),
        _soft(paint(composition(rng), size, palette(rng, (0.1, 0.6), (0.4, 1)), WHITE), 0.006),
    )
    picture = grounds[rng.integers(2)]
    u, v, s = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.5), rng.uniform(0.2, 0.34)
    tones = [tuple(int(c) for c in skin), hair, iris, WHITE, INK, dress, (205, 90, 90)]
    back = [
        Shape(blob((u, v), 1.35 * s, rng, 30, 0.4), 1),
        Shape(blob((u, v + 2.2 * s), 1.2 * s, rng, 20, 0.2), 5),
    ]
    face = [Shape(blob((u, v + 0.1 * s), 0.85 * s, rng, 40, 0.05), 0)]
    for side in (-1, 1):
        at = (u + side * 0.36 * s, v + 0.15 * s)
        for tone, r in ((3, 0.26), (2, 0.19), (4, 0.1)):
            face.append(Shape(blob(at, r * s, rng, 24, 0.03), tone))
        face.append(Shape(blob((at[0] + 0.05 * s, at[1] - 0.07 * s), 0.06 * s, rng, 12, 0.05), 3))
    face.append(Shape(blob((u, v + 0.6 * s), 0.08 * s, rng, 16, 0.2), 6))
    for _ in range(int(rng.integers(5, 14))):  # strands over the brow
        x = u + rng.uniform(-0.9, 0.9) * s
        face.append(
            Shape(
                [
                    (x - 0.12 * s, v - 0.8 * s),
                    (x + 0.12 * s, v - 0.8 * s),
                    (x + rng.normal(0, 0.15) * s, v - rng.uniform(-0.1, 0.3) * s),
                ],
                1,
            )
        )
    drawn = paint(
        back + face, size, tones, UNPAINTED, INK if rng.random() < 0.7 else hair, rng.uniform(0.0015, 0.004)
    )
    inside = (drawn.sum(2) > 9)[..., None]
    shade = 1 - rng.uniform(0.05, 0.4) * (_waves(size, 2.2, rng) > rng.uniform(0.4, 0.6))
    made = drawn * (
        _soft(shade, 0.0015 if rng.random() < 0.6 else 0.01) + (_waves(size, 1.5, rng) - 0.5) * 0.15
    )
    return picture * (1 - inside) + inside * made


def engraving(size: Size, rng: Rng) -> np.ndarray:
    """A picture in hatching or in halftone dots alone, black or in one ink, on paper or white on dark."""
    tone = paint(composition(rng), size, palette(rng, (0, 0.2), (0.05, 1)), WHITE).mean(2) / 255
    tone = np.clip(tone * (0.6 + 0.8 * cloud(size, 2, rng)), 0, 1)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    step = max(size) / rng.uniform(70, 180)
    bent = y + step * 3 * cloud(size, 2.2, rng)
    waves = (
        np.cos(2 * np.pi * bent / step)
        if rng.random() < 0.6
        else np.cos(2 * np.pi * x / step) * np.cos(2 * np.pi * y / step)
    )
    on = np.clip((tone * 2 - 1 - waves) * 2 + 0.5, 0, 1)[..., None]
    ink, paper = np.array([INK, (90, 50, 30), (20, 40, 90)][rng.integers(3)]), rng.uniform(225, 255)
    return paper * on + ink * (1 - on) if rng.random() < 0.8 else paper * (1 - on) + ink * on


def waves(size: Size, rng: Rng) -> np.ndarray:
    """Smooth bands of colour, as a desktop has, marble, water or smoke."""
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
    bent = np.stack([y, x]) + rng.uniform(0.05, 0.4) * np.stack(
        [cloud(size, 2.4, rng), cloud(size, 2.4, rng)]
    )
    field = cloud(size, rng.uniform(1.6, 2.8), rng)
    field = map_coordinates(
        field, [bent[0] * max(size) % (size[0] - 1), bent[1] * max(size) % (size[1] - 1)], order=1
    )
    field = gaussian_filter(field, rng.uniform(0.5, 3) * max(size) / 512)
    steps = palette(rng, (0.1, 0.9), (0.1, 1.0), hues=2)
    knots = np.linspace(0, 1, len(steps))
    return np.stack([np.interp(field, knots, [c[k] for c in steps]) for k in range(3)], -1)


def posed(size: Size, rng: Rng) -> np.ndarray:
    """A thing alone on white, black or one tone, as goods and toys are shown."""
    grounds = (255.0, 255.0, 0.0, rng.uniform(20, 250))
    picture = np.full((*size, 3), grounds[rng.integers(4)])
    colours = palette(rng, (0.1, 1.0), (0.1, 1.0), hues=3)
    outline = blob((0.5, 0.5), rng.uniform(0.12, 0.4), rng, 40, 0.7)
    inside = _within([Shape(outline, 0)], size, 0.8)
    inner = paint([Shape(outline, 0), *things(rng)[:8]], size, colours, colours[0])
    body = inner * (0.35 + 0.9 * _waves(size, rng.uniform(1.4, 2.2), rng)) + (_waves(size, 1, rng) - 0.5) * 40
    return picture * (1 - inside) + inside * body


def mist(size: Size, rng: Rng) -> np.ndarray:
    """Hills behind hills that fade: little contrast in the whole, none in the distance."""
    tint = np.array(palette(rng, (0.02, 0.5), (0.5, 0.98))[0], float)
    picture = np.ones((*size, 3)) * tint
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / np.array(size)[:, None, None]
    dark = tint * rng.uniform(0.1, 0.5)
    layers = int(rng.integers(3, 8))
    for k in range(layers):
        ridge = 0.25 + 0.65 * k / layers + 0.15 * (cloud((1, max(size)), 1.6, rng)[0, : size[1]] - 0.5)
        inside = np.clip((y - ridge) * max(size) / rng.uniform(1, 6), 0, 1)[..., None]
        near = ((k + 1) / layers) ** rng.uniform(0.8, 2)
        tone = tint * (1 - near) + dark * near + (_waves(size, 1.2, rng) - 0.5) * 40 * near
        picture = picture * (1 - inside) + inside * tone
    return picture + (x + y)[..., None] * rng.uniform(-20, 20)


MANNERS: dict[str, Drawing] = {
    function.__name__.replace("_", " "): function
    for function in (
        washes, pastel, ink_wash, macro, veins, silhouette, flames, glass, pattern, solids, street,
        anime_face, engraving, waves, posed, mist,
    )
}  # fmt: skip
