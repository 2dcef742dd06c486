"""Sound pictures that the gate was not fitted to, made by ways of drawing of their own.

They were written before the gate was fitted, and looked at when it was final. They are walks, growth,
particles, marched rays and windows; colours are mixed in hue, value and saturation.
"""

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import cKDTree

from benchmarks.verdicts.fields import Colour, Rng, Size, framed_size
from tests.helpers.pictures import to_bytes


def _colour(rng: Rng, hue: float, saturation=(0.1, 0.8), value=(0.2, 0.95)) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, rng.uniform(*saturation), rng.uniform(*value))
    return round(255 * red), round(255 * green), round(255 * blue)


def _sky(size: Size, rng: Rng) -> Image.Image:
    """Two or three colours, one above another."""
    hue = rng.random()
    stops = np.array([_colour(rng, hue + rng.normal(0, 0.08)) for _ in range(int(rng.integers(2, 4)))], float)
    rows = zoom(stops, (size[0] / len(stops), 1), order=1)[: size[0]]
    rows = np.pad(rows, ((0, size[0] - len(rows)), (0, 0)), "edge")
    return Image.fromarray(to_bytes(np.repeat(rows[:, None], size[1], 1)))


def plants(size: Size, rng: Rng) -> Image.Image:
    """Trees and bushes that branch by chance, with leaves, before a sky."""
    image = _sky(size, rng)
    draw, leaf = ImageDraw.Draw(image), rng.random()

    def grow(x: float, y: float, turn: float, length: float, depth: int) -> None:
        u, v = x + length * np.cos(turn), y - length * np.sin(turn)
        draw.line((x, y, u, v), _colour(rng, 0.08, (0.3, 0.6), (0.15, 0.4)), max(1, round(length / 9)))
        if depth == 0:
            r = length * rng.uniform(0.4, 1.3)
            draw.ellipse((u - r, v - r, u + r, v + r), _colour(rng, leaf + rng.normal(0, 0.03), (0.4, 0.9)))
            return
        for _ in range(int(rng.integers(2, 4))):
            grow(u, v, turn + rng.normal(0, 0.5), length * rng.uniform(0.6, 0.85), depth - 1)

    draw.rectangle((0, size[0] * 0.82, size[1], size[0]), _colour(rng, 0.28, (0.2, 0.6), (0.2, 0.6)))
    for _ in range(int(rng.integers(1, 6))):
        grow(rng.uniform(0, size[1]), size[0] * rng.uniform(0.8, 0.95), np.pi / 2 + rng.normal(0, 0.1),
             size[0] * rng.uniform(0.06, 0.2), int(rng.integers(3, 6)))  # fmt: skip
    return image


def ribbons(size: Size, rng: Rng) -> Image.Image:
    """A scene of large patches of colour, painted in strokes that follow one field."""
    hues = [_colour(rng, rng.random()) for _ in range(6)]
    seeds = rng.random((6, 2)) * size
    field = gaussian_filter(rng.standard_normal(size), 0.12 * max(size))
    field *= rng.uniform(0.4, 1.2) / (field.std() + 1e-9)
    image = _sky(size, rng)
    draw = ImageDraw.Draw(image)
    for _ in range(2500):
        y, x = rng.random(2) * size
        near = hues[int(np.argmin(((seeds - (y, x)) ** 2).sum(1)))]
        tone = tuple(int(np.clip(c * rng.uniform(0.8, 1.2), 0, 255)) for c in near)
        path = []
        for _ in range(12):
            path.append((x, y))
            turn = field[int(np.clip(y, 0, size[0] - 1)), int(np.clip(x, 0, size[1] - 1))]
            x, y = x + 0.012 * max(size) * np.cos(turn), y + 0.012 * max(size) * np.sin(turn)
        draw.line(path, tone, max(2, round(0.008 * max(size))), joint="curve")
    return image


def terrain(size: Size, rng: Rng) -> Image.Image:
    """Hills seen from above the ground, column by column, that fade with distance."""
    ground = sum(
        gaussian_filter(rng.standard_normal((256, 256)), s, mode="wrap") * s**1.6 for s in (2, 5, 12, 30)
    )
    ground = ground / ground.std()
    slope = np.gradient(ground)[1]
    picture = np.asarray(_sky(size, rng)).astype(float)
    fog, low, high = picture[size[0] // 3, 0], _colour(rng, 0.3), _colour(rng, 0.08, (0.1, 0.4))
    top = np.full(size[1], size[0])
    columns = np.arange(size[1])
    for far in np.geomspace(4, 220, 160):
        u = (far * 1.2 + (columns / size[1] - 0.5) * far).astype(int) % 256
        v = np.full_like(u, int(far)) % 256
        tall = ground[v, u]
        line = (size[0] * (0.35 + (6 - 2.2 * tall) / far * 0.6)).astype(int).clip(0, size[0])
        mix = np.clip(0.5 + 0.3 * tall, 0, 1)[:, None]
        tone = (np.array(low) * (1 - mix) + np.array(high) * mix) * np.clip(1 + 1.5 * slope[v, u], 0.4, 1.6)[
            :, None
        ]
        tone = tone + (fog - tone) * min(far / 220, 1)
        for column in np.flatnonzero(line < top):
            picture[line[column] : top[column], column] = tone[column]
        top = np.minimum(top, line)
    return Image.fromarray(to_bytes(picture))


def isometric(size: Size, rng: Rng) -> Image.Image:
    """Blocks of a town, each with two lit sides and windows."""
    image, edge = _sky(size, rng), max(size) / rng.integers(7, 14)
    draw, hue = ImageDraw.Draw(image), rng.random()
    for row in range(int(rng.integers(4, 10)), 40):
        for column in range(-2, 18):
            x, y = (column + (row % 2) / 2) * edge * 1.1, row * edge * 0.3
            tall = edge * rng.choice([0, 0.1, 0.4, 0.8, 1.4])
            tone = np.array(_colour(rng, hue + rng.normal(0, 0.1), (0.1, 0.6), (0.5, 0.95)))
            half, low = edge / 2, edge * 0.27
            left = [(x - half, y - tall), (x, y + low - tall), (x, y + low), (x - half, y)]
            right = [(x + half, y - tall), (x, y + low - tall), (x, y + low), (x + half, y)]
            roof = [(x - half, y - tall), (x, y - low - tall), (x + half, y - tall), (x, y + low - tall)]
            for side, light in ((left, 0.6), (right, 0.8), (roof, 1.0)):
                draw.polygon(side, tuple((tone * light).astype(int)))
            for step in range(int(tall / edge * 5)):
                at = y - step * edge * 0.2 - edge * 0.1
                draw.line(
                    (x - half * 0.8, at, x - half * 0.2, at + low * 0.6), tuple((tone * 0.3).astype(int)), 2
                )
    return image


def stained_glass(size: Size, rng: Rng) -> Image.Image:
    """Panes between bars of lead, whose colours make up one large shape."""
    points = rng.random((int(rng.integers(60, 300)), 2)) * size
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    two, nearest = cKDTree(points).query(np.stack([y, x], -1), k=2)
    middle, reach = np.array(size) * rng.uniform(0.35, 0.65, 2), min(size) * rng.uniform(0.2, 0.4)
    hue = rng.random()
    inside = np.hypot(*(points - middle).T) < reach
    tones = np.array(
        [_colour(rng, hue + (0.4 if i else 0) + rng.normal(0, 0.06), (0.3, 0.9)) for i in inside]
    )
    picture = tones[nearest[..., 0]] * (0.85 + 0.15 * np.clip(two[..., 0] / 12, 0, 2))[..., None]
    picture[two[..., 1] - two[..., 0] < 0.006 * max(size)] = 25
    return Image.fromarray(to_bytes(gaussian_filter(picture, (0.6, 0.6, 0))))


def harmonograph(size: Size, rng: Rng) -> Image.Image:
    """One long line of swinging pendulums, on paper or on black."""
    dark = rng.random() < 0.5
    image = Image.new("RGB", size[::-1], (12, 12, 20) if dark else (250, 247, 240))
    draw, t = ImageDraw.Draw(image), np.linspace(0, rng.uniform(60, 160), 5000)
    waves = [np.sin(t * (rng.integers(1, 5) + rng.normal(0, 0.01)) + rng.uniform(0, 6)) for _ in range(4)]
    fall = np.exp(-t * rng.uniform(0.003, 0.02))
    x = size[1] * (0.5 + 0.23 * (waves[0] + waves[1]) * fall)
    y = size[0] * (0.5 + 0.23 * (waves[2] + waves[3]) * fall)
    tone = _colour(rng, rng.random(), (0.1, 0.9), (0.7, 1) if dark else (0.1, 0.5))
    draw.line(list(zip(x, y, strict=True)), tone, max(1, round(max(size) / 400)))
    return image.filter(ImageFilter.GaussianBlur(0.5))


def marched(size: Size, rng: Rng) -> Image.Image:
    """Soft bodies that run into one another, on a floor, with light and shade: rays marched to a surface."""
    small = [n // 2 for n in size]
    v, u = np.mgrid[0 : small[0], 0 : small[1]].astype(np.float32)
    way = np.stack(
        [(u - small[1] / 2) / max(small), (small[0] / 2 - v) / max(small) - 0.15, np.ones_like(u)], -1
    )
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    balls = [(rng.uniform((-1.2, -0.2, 2.5), (1.2, 0.8, 4)), rng.uniform(0.25, 0.6)) for _ in range(5)]

    def far(p: np.ndarray) -> np.ndarray:
        near = sum(np.exp(-7 * (np.linalg.norm(p - c, axis=-1) - r)) for c, r in balls)
        return np.minimum(-np.log(near + 1e-9) / 7, p[..., 1] + 0.6)

    depth = np.zeros(small, np.float32)
    for _ in range(45):
        depth = np.minimum(depth + 0.9 * far(way * depth[..., None]), 14)
    p, step = way * depth[..., None], 0.01
    normal = np.stack([far(p + step * np.eye(3, dtype=np.float32)[k]) - far(p) for k in range(3)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-6
    sun = np.array([rng.uniform(-1, 1), 1.0, -rng.uniform(0.2, 1)])
    sun /= np.linalg.norm(sun)
    shade = np.clip(sum(far(p + sun * k) / k for k in (0.15, 0.4, 0.8)) / 2, 0.25, 1)
    light = np.clip(normal @ sun, 0, 1) * shade + 0.25
    floor = (p[..., 1] < -0.57)[..., None]
    body, ground = _colour(rng, rng.random(), (0.2, 0.9)), _colour(rng, rng.random(), (0.05, 0.4), (0.4, 0.9))
    made = np.where(floor, np.array(ground), np.array(body)) * light[..., None]
    sky = np.asarray(_sky((small[0], small[1]), rng))
    made = np.where((depth > 13)[..., None], sky, made)
    return Image.fromarray(to_bytes(made)).resize(size[::-1], Image.Resampling.BICUBIC)


def windows(size: Size, rng: Rng) -> Image.Image:
    """A desktop: windows with title bars, lines of words, buttons and small pictures."""
    image = _sky(size, rng)
    draw, unit = ImageDraw.Draw(image), max(size) / 64
    for _ in range(int(rng.integers(2, 6))):
        left, top = rng.uniform(0, size[1] * 0.6), rng.uniform(0, size[0] * 0.6)
        width, height = size[1] * rng.uniform(0.3, 0.6), size[0] * rng.uniform(0.3, 0.6)
        paper = _colour(rng, rng.random(), (0, 0.1), (0.1, 0.25) if rng.random() < 0.3 else (0.88, 1))
        ink = (40, 42, 46) if sum(paper) > 380 else (210, 212, 215)
        draw.rectangle((left, top, left + width, top + height), paper, ink)
        draw.rectangle((left, top, left + width, top + 2 * unit), _colour(rng, rng.random(), (0.1, 0.7)))
        for row in range(int(height / unit / 1.6) - 2):
            x, y = left + unit, top + (3 + 1.6 * row) * unit
            while x < left + width - 4 * unit and rng.random() < 0.9:
                long = unit * rng.uniform(0.5, 3)
                draw.rectangle((x, y, x + long, y + unit * 0.6), ink)
                x += long + unit * 0.5
    return image


def galaxy(size: Size, rng: Rng) -> Image.Image:
    """Stars that turn about a bright middle, in arms."""
    count, arms = 30_000, int(rng.integers(2, 5))
    r = rng.exponential(0.16, count) * min(size)
    turn = (
        rng.integers(0, arms, count) * 2 * np.pi / arms
        + r / min(size) * rng.uniform(6, 14)
        + rng.normal(0, 0.35, count)
    )
    y = (size[0] / 2 + r * np.sin(turn) * rng.uniform(0.35, 1)).astype(int)
    x = (size[1] / 2 + r * np.cos(turn)).astype(int)
    on = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    light = np.zeros((*size, 3))
    tones = np.array([_colour(rng, rng.normal(0.6, 0.15), (0, 0.6), (0.4, 1)) for _ in range(50)])
    np.add.at(light, (y[on], x[on]), tones[rng.integers(0, 50, on.sum())])
    glow = gaussian_filter(light, (0.008 * max(size),) * 2 + (0,))
    return Image.fromarray(to_bytes(0.5 * gaussian_filter(light, (0.6, 0.6, 0)) + 1.5 * glow))


def crowd(size: Size, rng: Rng) -> Image.Image:
    """People of limbs and clothes, near and far, on a square before houses."""
    image = _sky(size, rng)
    draw = ImageDraw.Draw(image)
    for _ in range(8):
        x, w = rng.uniform(-0.1, 1) * size[1], rng.uniform(0.1, 0.3) * size[1]
        draw.rectangle(
            (x, size[0] * rng.uniform(0.1, 0.4), x + w, size[0] * 0.6),
            _colour(rng, rng.random(), (0.05, 0.4)),
        )
    draw.rectangle((0, size[0] * 0.6, size[1], size[0]), _colour(rng, rng.random(), (0.02, 0.2), (0.4, 0.8)))
    for near in np.sort(rng.random(int(rng.integers(3, 18)))):
        x, y, k = rng.uniform(0, size[1]), size[0] * (0.62 + 0.35 * near), size[0] * (0.06 + 0.25 * near)
        skin, coat, legs = (
            _colour(rng, h, s)
            for h, s in ((0.07, (0.2, 0.5)), (rng.random(), (0.1, 0.9)), (rng.random(), (0.05, 0.5)))
        )
        for side in (-1, 1):
            draw.line((x, y - 0.9 * k, x + side * 0.25 * k, y), legs, max(2, round(0.22 * k)))
            draw.line(
                (x, y - 1.5 * k, x + side * rng.uniform(0.3, 0.7) * k, y - rng.uniform(0.7, 1.7) * k),
                coat,
                max(2, round(0.15 * k)),
            )
        draw.rounded_rectangle((x - 0.3 * k, y - 1.65 * k, x + 0.3 * k, y - 0.75 * k), 0.12 * k, coat)
        draw.ellipse((x - 0.2 * k, y - 2.1 * k, x + 0.2 * k, y - 1.6 * k), skin)
        draw.pieslice(
            (x - 0.22 * k, y - 2.15 * k, x + 0.22 * k, y - 1.65 * k),
            180,
            360,
            _colour(rng, 0.08, (0.2, 0.9), (0.05, 0.5)),
        )
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1)))


NEWCOMERS: dict[str, Callable[[Size, Rng], Image.Image]] = {
    function.__name__.replace("_", " "): function
    for function in (
        plants, ribbons, terrain, isometric, stained_glass, harmonograph, marched, windows, galaxy, crowd,
    )
}  # fmt: skip


def newcomer(style: str, seed: int) -> np.ndarray:
    """One picture of a style, uint8 (H, W, 3), 320 to 768 px."""
    rng = np.random.default_rng([91, seed, *style.encode()])
    size = framed_size(rng, (320, 512, 512, 640, 768), (1, 0.75, 1.33, 1.6))
    return np.asarray(NEWCOMERS[style](size, rng).convert("RGB"))
