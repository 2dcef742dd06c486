"""Sound pictures of styles that the gate was not fitted to: maps, paper, dots, stones, print, light.

They were written before the gate was fitted, and looked at when it was final.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from benchmarks.verdicts.fields import Drawing, Rng, Size, cloud, composition, paint, palette


def _plane(size: Size) -> tuple[np.ndarray, np.ndarray]:
    y, x = (np.mgrid[0 : size[0], 0 : size[1]] + 0.5) / max(size)
    return y, x


def contour_map(size: Size, rng: Rng) -> np.ndarray:
    """Heights in steps of colour, with a line at each, a river and roads, as on a hiker's map."""
    height = cloud(size, rng.uniform(2.2, 2.8), rng)
    steps = int(rng.integers(6, 16))
    low, high = (np.array(c, float) for c in palette(rng, (0.15, 0.5), (0.65, 0.98), hues=2)[:2])
    level = np.floor(height * steps) / steps
    made = low + (high - low) * level[..., None]
    lines = np.abs(np.diff(np.floor(height * steps), axis=0, prepend=0)) + np.abs(
        np.diff(np.floor(height * steps), axis=1, prepend=0)
    )
    made[lines > 0] *= rng.uniform(0.55, 0.85)
    made[height < rng.uniform(0.15, 0.35)] = (150, 190, rng.uniform(215, 240))
    image = Image.fromarray(np.clip(made, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 7))):
        path = np.cumsum(rng.normal(0, 0.05, (14, 2)) + rng.normal(0, 0.06, 2), axis=0) + rng.random(2)
        points = [(x * size[1], y * size[0]) for x, y in path]
        draw.line(points, (200, 70, 50) if rng.random() < 0.5 else (70, 70, 70), max(2, size[1] // 160))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(0.5))).astype(np.float32)


def papercut(size: Size, rng: Rng) -> np.ndarray:
    """Sheets of coloured paper one behind another, each with a hole and a soft shadow on the next."""
    y, x = _plane(size)
    tones = np.array(sorted(palette(rng, (0.2, 0.8), (0.25, 1.0), hues=2), key=sum), float)
    tones = tones if rng.random() < 0.5 else tones[::-1]
    made = np.ones((*size, 3)) * tones[0]
    v, u = rng.uniform(0.3, 0.7, 2) * np.array(size) / max(size)
    for k, tone in enumerate(tones[1:], start=1):
        turn = np.arctan2(y - v, x - u)
        edge = 0.08 + 0.42 * k / len(tones)
        for wave in range(2, 7):
            edge = edge + rng.normal(0, 0.03) * np.cos(wave * turn + rng.uniform(0, 6))
        sheet = np.clip((np.hypot(y - v, x - u) - edge) * max(size), 0, 1)
        shadow = gaussian_filter(sheet, 0.015 * max(size))
        shadow = np.roll(shadow, (size[0] // 80, size[1] // 80), (0, 1))[..., None]
        made = made * (1 - 0.5 * shadow)
        made = made * (1 - sheet[..., None]) + tone * sheet[..., None]
    return made + (cloud(size, 0.4, rng)[..., None] - 0.5) * rng.uniform(0, 10)


def pointillist(size: Size, rng: Rng) -> np.ndarray:
    """A scene in dots of near colours, larger where less is going on."""
    colours = palette(rng, (0.2, 0.8), (0.3, 0.95), hues=4)
    scene = gaussian_filter(paint(composition(rng), size, colours, colours[-1]), (3, 3, 0))
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(6))
    draw, wide = ImageDraw.Draw(image), max(size) * rng.uniform(0.004, 0.009)
    for _ in range(9000):
        y, x = (rng.random(2) * size).astype(int)
        tone = np.clip(scene[y, x] * rng.uniform(0.85, 1.15) + rng.normal(0, 12, 3), 0, 255)
        r = wide * rng.uniform(0.6, 1.3)
        draw.ellipse((x - r, y - r, x + r, y + r), tuple(tone.astype(int)))
    return np.asarray(image).astype(np.float32)


def aurora(size: Size, rng: Rng) -> np.ndarray:
    """Curtains of light above black hills, with stars."""
    y, x = _plane(size)
    made = np.array([6.0, 10, 28]) * (1.5 - y[..., None])
    for _ in range(int(rng.integers(1, 4))):
        line = rng.uniform(0.2, 0.55) + 0.12 * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 6))
        fold = 0.6 + 0.4 * np.sin(x * rng.uniform(40, 110) + 6 * cloud(size, 2.4, rng))
        above = np.where(y < line, np.exp((y - line) / rng.uniform(0.05, 0.2)), np.exp((line - y) / 0.015))
        tint = np.array([rng.uniform(20, 160), rng.uniform(120, 255), rng.uniform(80, 200)])
        made = made + (above * fold)[..., None] * tint * rng.uniform(0.5, 1)
    stars = (rng.random(size) < 0.0012) * rng.uniform(100, 800, size)
    made = made + gaussian_filter(stars, 0.7)[..., None]
    ridge = 0.72 * size[0] / max(size) + 0.15 * (cloud((1, max(size)), 1.7, rng)[0, : size[1]] - 0.5)
    return np.where((y > ridge)[..., None], np.array([5.0, 7, 12]), made)


def still_life(size: Size, rng: Rng) -> np.ndarray:
    """Balls of fruit with light, gloss and shadow on a table before a wall."""
    y, x = _plane(size)
    wall, table = (np.array(c, float) for c in palette(rng, (0.1, 0.5), (0.2, 0.9), hues=2)[:2])
    line = rng.uniform(0.4, 0.6) * size[0] / max(size)
    made = np.where((y < line)[..., None], wall, table) * (0.75 + 0.35 * cloud(size, 1.8, rng)[..., None])
    sun = np.array([rng.uniform(-0.8, 0.8), -0.7, 0.6])
    sun /= np.linalg.norm(sun)
    for _ in range(int(rng.integers(2, 8))):
        r = rng.uniform(0.06, 0.16)
        u, v = rng.uniform(0.1, 0.9) * size[1] / max(size), line + rng.uniform(-0.02, 0.25)
        shade = np.exp(-((x - u + sun[0] * r) ** 2 / (1.6 * r**2) + (y - v - 0.9 * r) ** 2 / (0.1 * r**2)))
        made = made * (1 - 0.6 * shade[..., None])
        p, q = (x - u) / r, (y - v) / r
        z = np.sqrt(np.clip(1 - p**2 - q**2, 0, 1))
        light = np.clip(p * sun[0] + q * sun[1] + z * sun[2], 0, 1)
        tone = np.array(palette(rng, (0.3, 0.9), (0.4, 0.95))[0], float)
        body = tone * (0.2 + 0.85 * light[..., None]) + 200 * (light**30)[..., None] * rng.uniform(0, 1)
        inside = np.clip((1 - np.hypot(p, q)) * r * max(size), 0, 1)[..., None]
        made = made * (1 - inside) + inside * (body + (cloud(size, 1.0, rng)[..., None] - 0.5) * 16)
    return made + rng.normal(0, rng.uniform(0, 2.5), (*size, 1))


def mosaic(size: Size, rng: Rng) -> np.ndarray:
    """A scene laid in small stones with grout between them."""
    colours = palette(rng, (0.15, 0.7), (0.25, 0.95), hues=4)
    scene = paint(composition(rng), size, colours, colours[-1])
    edge = max(size) / rng.uniform(45, 90)
    rows, columns = np.mgrid[0 : size[0] : edge, 0 : size[1] : edge]
    seeds = np.stack([rows.ravel(), columns.ravel()], -1) + rng.uniform(-0.25, 0.25, (rows.size, 2)) * edge
    seeds = np.clip(seeds, 0, np.array(size) - 1)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    two, near = cKDTree(seeds).query(np.stack([y, x], -1), k=2)
    tones = scene[tuple(seeds.astype(int).T)] * rng.uniform(0.88, 1.12, (len(seeds), 1))
    made = tones[near[..., 0]]
    grout = np.clip((two[..., 1] - two[..., 0]) / (0.14 * edge), 0, 1)[..., None]
    return made * grout + np.array([190.0, 184, 172]) * rng.uniform(0.4, 1.1) * (1 - grout)


def risograph(size: Size, rng: Rng) -> np.ndarray:
    """Two or three inks on warm paper, each printed a little beside the others, with grain."""
    made = np.ones((*size, 3)) * np.array([244.0, 240, 228])
    for ink in palette(rng, (0.5, 1.0), (0.5, 1.0), hues=3)[: int(rng.integers(2, 4))]:
        plate = paint(composition(rng), size, [(k * 36,) * 3 for k in range(7)], (255,) * 3)[..., 0] / 255
        plate = np.roll(plate, rng.integers(-3, 4, 2), (0, 1))
        grain = cloud(size, 0.2, rng) < 0.25 + 0.75 * (1 - plate)
        cover = gaussian_filter((1 - plate) * grain, 0.6)[..., None]
        made = made * (1 - cover * (1 - np.array(ink) / 255))
    return made


def sea(size: Size, rng: Rng) -> np.ndarray:
    """Water to the horizon with waves and the sun's glints, under clouds."""
    y, x = _plane(size)
    line = rng.uniform(0.3, 0.55) * size[0] / max(size)
    far = np.clip((y - line) / (size[0] / max(size) - line), 1e-3, 1)
    sky, water = (np.array(c, float) for c in palette(rng, (0.1, 0.6), (0.35, 1.0), hues=2)[:2])
    clouds = cloud(size, 1.7, rng)
    made = sky * (1 - 0.4 * far[..., None]) + 120 * np.clip(clouds - 0.5, 0, 1)[..., None]
    waves = sum(
        np.sin(k / far + x * rng.uniform(-9, 9) / far + 5 * cloud(size, 1.6, rng))
        for k in rng.uniform(8, 40, 4)
    )
    glint = np.exp(-(((x - rng.uniform(0.2, 0.8)) / (0.05 + 0.2 * far)) ** 2)) * (waves > 1.6)
    surface = water * (0.7 + 0.12 * waves[..., None]) + 160 * gaussian_filter(glint * 1.0, 0.6)[..., None]
    return np.where((y > line)[..., None], surface, made)


OUTSIDERS: dict[str, Drawing] = {
    function.__name__.replace("_", " "): function
    for function in (contour_map, papercut, pointillist, aurora, still_life, mosaic, risograph, sea)
}
