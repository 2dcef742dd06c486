"""Sound pictures of styles that no gate was fitted to: views with a light, a depth and a subject.

They were written before any gate was asked about them.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter

from benchmarks.verdicts.fields import Drawing, Rng, Size, cloud, palette

Grid = tuple[np.ndarray, np.ndarray]  # heights and widths, 0 to 1


def _grid(size: Size) -> Grid:
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return (y + 0.5) / size[0], (x + 0.5) / size[1]


def _ramp(along: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    return first + (last - first) * np.clip(along, 0, 1)[..., None]


def _colours(rng: Rng, saturation: tuple[float, float], value: tuple[float, float]) -> list[np.ndarray]:
    return [np.array(colour, np.float32) for colour in palette(rng, saturation, value, hues=3)]


def balloons(size: Size, rng: Rng) -> np.ndarray:
    """Striped, shaded balloons before a sky with clouds."""
    y, x = _grid(size)
    low, high, *_ = _colours(rng, (0.1, 0.6), (0.6, 1.0))
    made = _ramp(y, high, low)
    made += (255 - made) * np.clip(2.5 * cloud(size, 1.6, rng) - 1.3, 0, 0.9)[..., None]
    for reach in np.sort(rng.uniform(0.03, 0.24, int(rng.integers(2, 9)))):
        v, u = rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.9)
        down, across = (y - v) * size[0] / max(size) / reach, (x - u) * size[1] / max(size) / reach
        across = across / (1 - 0.35 * np.clip(down, 0, 1.3))
        inside = np.clip((1 - down**2 / 1.4 - across**2) * 40 * reach, 0, 1)
        around = np.arcsin(np.clip(across / np.sqrt(np.clip(1 - down**2 / 1.4, 0.02, 1)), -1, 1))
        gores = _colours(rng, (0.4, 0.95), (0.4, 1.0))[: int(rng.integers(2, 5))]
        stripes = np.stack(gores)[np.floor((around + 2) * rng.uniform(1.5, 4)).astype(int) % len(gores)]
        shade = 0.55 + 0.5 * np.clip(0.6 - 0.5 * across - 0.4 * down, 0, 1)
        made += (stripes * shade[..., None] - made) * inside[..., None]
        basket = (np.abs(across) < 0.12) & (down > 1.45) & (down < 1.7)
        made[basket] = (90, 60, 35)
    return made


def sitter(size: Size, rng: Rng) -> np.ndarray:
    """A head and shoulders in soft light, hair in strands, before something out of focus."""
    y, x = _grid(size)
    tones = _colours(rng, (0.1, 0.7), (0.15, 0.85))
    made = tones[0] + (tones[1] - tones[0]) * gaussian_filter(cloud(size, 1.5, rng), 6)[..., None]
    skin = np.array([rng.uniform(150, 240), rng.uniform(110, 190), rng.uniform(80, 160)], np.float32)
    skin = np.sort(skin)[::-1]
    u, v, r = rng.uniform(0.4, 0.6), rng.uniform(0.35, 0.45), rng.uniform(0.15, 0.24)
    down, across = (y - v) * size[0] / max(size) / r, (x - u) * size[1] / max(size) / r
    lit = 0.72 + 0.35 * np.clip(rng.choice([-1, 1]) * across * 0.6 - 0.3 * down, -0.8, 0.8)

    def lay(inside: np.ndarray, tone: np.ndarray, crisp: float = 12) -> None:
        nonlocal made
        made = made + (tone * lit[..., None] - made) * np.clip(inside * crisp, 0, 1)[..., None]

    hair = tones[2] * rng.uniform(0.2, 0.9)
    strands = 0.8 + 0.4 * cloud((1, size[1]), 0.6, rng) * np.ones((size[0], 1), np.float32)
    long = rng.uniform(1.2, 2.6)
    lay(1.35 - np.hypot(across, (down + 0.2) / np.where(down > 0, long, 1)), hair * strands[..., None])
    lay(1 - np.hypot(across / 2.3, (down - 3.2) / 1.9), tones[3])
    lay(np.minimum(0.42 - abs(across), np.minimum(down - 0.5, 1.9 - down)), skin * 0.85)
    lay(1 - np.hypot(across / 0.95, down / 1.25), skin)
    for side in (-1, 1):
        eye = np.hypot((across - side * 0.38) / 0.2, (down + 0.05) / 0.1)
        lay(1 - eye, np.array([240, 240, 240], np.float32))
        lay(0.6 - np.hypot((across - side * 0.38) / 0.17, (down + 0.05) / 0.17), tones[4] * 0.5)
        lay(1 - np.hypot((across - side * 0.38) / 0.26, (down + 0.32) / 0.05), hair * 0.7)
    lay(1 - np.hypot(across / 0.3, (down - 0.72) / 0.09), skin * (0.85, 0.55, 0.55))
    lay(0.05 - abs(across - 0.1 * down) - 0.1 * abs(down - 0.25), skin * 0.8, 8)
    lay(np.minimum(1.2 - np.hypot(across, (down + 0.3) / 1.15), -0.62 - down), hair * strands[..., None])
    return made + rng.normal(0, rng.uniform(0, 3), made.shape)


def lake(size: Size, rng: Rng) -> np.ndarray:
    """Mountains with snow, a wood and their reflection in rippled water."""
    y, x = _grid(size)
    tones = _colours(rng, (0.1, 0.6), (0.3, 0.95))
    shore = rng.uniform(0.45, 0.65)
    mirror = np.where(y < shore, y, 2 * shore - y)
    rows = rng.normal(0, 0.006, size[0]).astype(np.float32)[:, None] * np.where(y > shore, 1, 0)
    wide = np.clip(x + rows, 0, 1)
    made = _ramp(mirror / shore, tones[0], tones[1])
    light = cloud(size, 1.1, rng)
    for level in range(int(rng.integers(2, 5))):
        ridge = shore * (0.75 - 0.5 / (level + 1.3))
        for k in range(1, 40):
            ridge = ridge + rng.normal(0, 0.09) / k**1.15 * np.cos(k * 4 * wide + rng.uniform(0, 6.3))
        inside = np.clip((mirror - ridge) * 120, 0, 1)[..., None]
        tone = tones[2 + level % 4] * (0.5 + 0.6 * light[..., None])
        snow = np.clip((0.08 - (mirror - ridge)) * 25, 0, 1) * (light > 0.45) * (level == 0)
        tone = tone + (245 - tone) * snow[..., None]
        made = made + (tone - made) * inside
    trees = shore - 0.04 - 0.05 * np.abs(cloud((1, size[1]), 0.3, rng) - 0.5)
    wood = np.clip((mirror - trees) * 150, 0, 1)[..., None]
    made = made + (np.array([30, 50, 35]) * (0.6 + light[..., None]) - made) * wood
    return np.where((y > shore)[..., None], 0.75 * made + 0.1 * tones[0], made)


def room(size: Size, rng: Rng) -> np.ndarray:
    """A room with a window, a floor of boards, a table and a lamp, lit from the window."""
    tones = [tuple(int(c) for c in t) for t in _colours(rng, (0.05, 0.6), (0.25, 0.9))]
    height, width = size[0] * 2, size[1] * 2
    image = Image.new("RGB", (width, height), tones[0])
    draw = ImageDraw.Draw(image)
    a, b, floor = rng.uniform(0.1, 0.3), rng.uniform(0.7, 0.9), rng.uniform(0.6, 0.72)

    def lay(points: list[tuple[float, float]], tone: tuple[int, ...]) -> None:
        draw.polygon([(x * width, y * height) for x, y in points], fill=tone)

    lay([(0, 0), (a, 0.15), (a, floor), (0, 1)], tones[1])
    lay([(1, 0), (b, 0.15), (b, floor), (1, 1)], tones[2])
    lay([(0, 0), (1, 0), (b, 0.15), (a, 0.15)], (235, 232, 225))
    lay([(0, 1), (1, 1), (b, floor), (a, floor)], tones[3])
    for k in np.linspace(-1, 2, int(rng.integers(18, 40))):
        ends = (k, 1.0), (a + (b - a) * (0.25 + 0.5 * k), floor)
        draw.line(
            [(x * width, y * height) for x, y in ends], fill=tuple(c * 3 // 4 for c in tones[3]), width=3
        )
    u, w = rng.uniform(a + 0.05, b - 0.3), rng.uniform(0.15, 0.25)
    lay([(u, 0.22), (u + w, 0.22), (u + w, 0.48), (u, 0.48)], (205, 228, 250))
    lay([(u, 0.4), (u + w / 2, 0.36), (u + w, 0.41), (u + w, 0.48), (u, 0.48)], (120, 160, 110))
    for x in (u, u + w / 2, u + w):
        draw.line(
            (x * width, 0.22 * height, x * width, 0.48 * height), fill=(250, 250, 250), width=width // 90
        )
    t, s = rng.uniform(0.25, 0.6), rng.uniform(0.15, 0.3)
    for leg in (t - s / 2, t + s / 2 - 0.02):
        lay([(leg, 0.7), (leg + 0.02, 0.7), (leg + 0.02, 0.92), (leg, 0.92)], tuple(c // 2 for c in tones[4]))
    lay([(t - s * 0.5, 0.66), (t + s * 0.5, 0.66), (t + s * 0.6, 0.72), (t - s * 0.6, 0.72)], tones[4])
    lay([(t - 0.01, 0.55), (t + 0.01, 0.55), (t + 0.02, 0.67), (t - 0.02, 0.67)], tones[5])
    lay([(t - 0.04, 0.46), (t + 0.04, 0.46), (t + 0.07, 0.56), (t - 0.07, 0.56)], tones[6])
    made = np.asarray(image.resize(size[::-1], Image.Resampling.BOX)).astype(np.float32)
    y, x = _grid(size)
    glow = np.exp(-((x - u - w / 2) ** 2 + (y - 0.45) ** 2) / rng.uniform(0.08, 0.3))
    corner = gaussian_filter(np.minimum(abs(x - a), abs(x - b)), 2)
    made *= (rng.uniform(0.4, 0.75) + 0.5 * glow + np.clip(corner, 0, 0.12))[..., None]
    return made + (cloud(size, 0.5, rng)[..., None] - 0.5) * rng.uniform(0, 14)


def dunes(size: Size, rng: Rng) -> np.ndarray:
    """Sand in ridges behind ridges, each with a lit and a shaded side, and ripples near by."""
    y, x = _grid(size)
    sky, haze, sand, dark, *_ = _colours(rng, (0.15, 0.7), (0.35, 1.0))
    made = _ramp(2 * y, sky, haze)
    count = int(rng.integers(3, 8))
    for k in range(count):
        near = (k + 1) / count
        ridge, lit = 0.3 + 0.5 * near, 0.6
        for wave in range(1, 6):
            turn = wave * rng.uniform(1.5, 4) * x + rng.uniform(0, 6.3)
            ridge, lit = ridge + 0.07 / wave * np.cos(turn), lit + 0.35 / wave * np.sin(turn)
        ripples = (
            0.12 * near**2 * np.sin(60 * (y + 0.3 * x * rng.uniform(-1, 1)) * rng.uniform(1, 2.5) / near)
        )
        light = np.clip(lit + ripples - 0.6 * (y - ridge), 0, 1)
        tone = _ramp(light, dark * 0.6, sand) * near + haze * (1 - near)
        made += (tone - made) * np.clip((y - ridge) * 200, 0, 1)[..., None]
    return made + rng.normal(0, rng.uniform(0.5, 4), size)[..., None]


def birches(size: Size, rng: Rng) -> np.ndarray:
    """Trunks behind trunks in a haze, marked across, on a ground with leaves."""
    haze, ground, bark, leaf, *_ = _colours(rng, (0.05, 0.6), (0.4, 0.95))
    y, _ = _grid(size)
    made = _ramp(1.4 * y - 0.3, haze, ground) * (0.8 + 0.3 * cloud(size, 1.2, rng)[..., None])
    image = Image.fromarray(np.clip(made, 0, 255).astype(np.uint8))
    for depth in np.linspace(0.15, 1, int(rng.integers(4, 9))):
        draw, tone = ImageDraw.Draw(image), tuple((bark * depth + haze * (1 - depth)).astype(int))
        mark = tuple((np.array([40, 35, 35]) * depth + haze * (1 - depth)).astype(int))
        for _ in range(int(rng.integers(1, 6))):
            x, wide = rng.uniform(0, size[1]), max(2.0, 0.05 * size[1] * depth**1.5)
            foot, lean = size[0] * (0.55 + 0.4 * depth), rng.normal(0, 0.04) * size[0]
            draw.polygon(
                [(x, foot), (x + wide, foot), (x + wide * 0.7 + lean, -5), (x + lean, -5)], fill=tone
            )
            for v in rng.uniform(0, foot, int(14 * depth)):
                at = x + lean * (1 - v / foot)
                draw.ellipse((at, v, at + wide * rng.uniform(0.2, 0.8), v + wide * 0.12 + 1), fill=mark)
        for _ in range(int(150 * depth)):
            v, u, r = size[0] * rng.uniform(0.75, 1), rng.uniform(0, size[1]), 1 + 0.006 * size[1] * depth
            near = tuple(np.clip(leaf * rng.uniform(0.5, 1.1), 0, 255).astype(int))
            draw.ellipse((u - r, v - r / 2, u + r, v + r / 2), fill=near)
        image = image.filter(ImageFilter.GaussianBlur(float(1.6 - 1.2 * depth)))
    return np.asarray(image).astype(np.float32)


VISITORS: dict[str, Drawing] = {
    "balloons": balloons,
    "sitter": sitter,
    "lake": lake,
    "room": room,
    "dunes": dunes,
    "birches": birches,
}
