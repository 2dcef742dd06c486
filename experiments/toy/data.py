"""Procedural pictures with weak captions: one or two flat shapes, drawn like printed stickers.

The caption names the shape and nothing else. Position, size, rotation, colours, texture and
background are left out on purpose: a caption that says everything pins the picture down, and then
a merged model draws it well at every ratio. Texture is a screen fixed to the pixel grid, because a
VAE with one latent per 8 x 8 pixels can learn "hatched here" but no stochastic grain.

Every function is a pure function of its arguments; all randomness comes from the seed.
"""

import numpy as np

SIZE = 64
SHAPES = ("circle", "square", "triangle", "cross", "star", "ring", "heart", "moon")
CAPTIONS = tuple(f"a {shape}" for shape in SHAPES)

# Channel values stay inside 25..230, so that a healthy picture clips nowhere and a picture with
# too much gain clips visibly. The mean colour is close to mid-grey, which is what "blank" looks like.
PALETTE = np.array(
    [
        (218, 62, 52),
        (226, 138, 44),
        (228, 200, 62),
        (68, 158, 72),
        (44, 152, 160),
        (48, 92, 204),
        (122, 62, 180),
        (222, 120, 166),
        (226, 216, 190),
        (36, 46, 92),
    ],
    dtype=np.float32,
)
INK = np.array((30, 28, 40), dtype=np.float32)
PAPER = np.array((229, 226, 218), dtype=np.float32)
LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)


def circle(x, y):
    return np.hypot(x, y) - 0.95


def square(x, y):
    return np.maximum(np.abs(x), np.abs(y)) - 0.82


def triangle(x, y):
    return np.maximum(0.866 * np.abs(x) - 0.5 * (y - 0.12), y - 0.12) - 0.52


def cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return np.minimum(np.maximum(x - 0.98, y - 0.34), np.maximum(x - 0.34, y - 0.98))


def star(x, y):
    """Five points: fold the plane into one tenth, where the outline is one straight edge."""
    sector = np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + sector) % (2 * sector) - sector)
    radius = np.hypot(x, y)
    outer, inner = np.array((1.08, 0.0)), 0.5 * np.array((np.cos(sector), np.sin(sector)))
    edge = inner - outer
    normal = np.array((edge[1], -edge[0])) / np.hypot(*edge)
    return normal[0] * (radius * np.cos(angle) - outer[0]) + normal[1] * radius * np.sin(angle)


def ring(x, y):
    return np.abs(np.hypot(x, y) - 0.7) - 0.28


def heart(x, y):
    """Two discs resting on the upper sides of a square that stands on its corner."""
    x, y = np.abs(x), y + 0.1
    discs = np.hypot(x - 0.39, y + 0.39) - 0.551
    body = np.maximum(x + np.abs(y), x - y) * 0.7071 - 0.551
    return np.minimum(discs, body)


def moon(x, y):
    return np.maximum(np.hypot(x + 0.1, y) - 0.98, 0.74 - np.hypot(x - 0.42, y + 0.1))


DISTANCES = (circle, square, triangle, cross, star, ring, heart, moon)  # in the order of SHAPES


def luma(rgb):
    return rgb @ LUMA


def draw(count, seed):
    """`count` pictures as uint8 (count, 64, 64, 3), and the index of each one's caption."""
    rng = np.random.default_rng(seed)
    label = rng.integers(len(SHAPES), size=count)
    canvas, dark = background(count, rng)
    two = rng.random(count) < 0.25
    radius = np.where(two, rng.uniform(12, 17, count), rng.uniform(15, 24, count))
    direction = rng.uniform(0, 2 * np.pi, count)
    reach = np.where(two, 13.0, rng.uniform(0, 1, count) * (28 - radius))
    x = 32 + reach * np.cos(direction)
    y = 32 + reach * np.sin(direction)
    line_art = rng.random(count) < 0.12
    canvas = sticker(canvas, label, x, y, radius, dark, line_art, rng)
    second = np.nonzero(two)[0]
    smaller = rng.uniform(9, 12, count)
    canvas[second] = sticker(
        canvas[second],
        label[second],
        (64 - x)[second],
        (64 - y)[second],
        smaller[second],
        dark[second],
        line_art[second],
        rng,
    )
    return np.round(canvas).astype(np.uint8), label


def background(count, rng):
    """A gradient, broad stripes or checks in one palette colour; also which ones are dark."""
    colour = PALETTE[rng.integers(len(PALETTE), size=count)][:, None, None]
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    kind = rng.choice(4, size=count, p=(0.4, 0.3, 0.15, 0.15))
    tone = np.stack(
        [
            (rows - 31.5) / 63.0,
            (rows + columns - 63.0) / 126.0,
            np.where((rows + columns) // 16 % 2, 0.35, -0.35),
            np.where((rows // 16 + columns // 16) % 2, 0.35, -0.35),
        ]
    )[kind]
    swing = rng.choice((-1.0, 1.0), size=count) * rng.uniform(36, 60, size=count)
    canvas = colour + (tone * swing[:, None, None])[..., None]
    return np.clip(canvas, 26, 230).astype(np.float32), luma(colour)[:, 0, 0] < 118


def sticker(canvas, label, x, y, radius, dark, line_art, rng):
    """One shape per picture: a soft shadow, a textured and shaded fill, and a crisp outline."""
    count = len(canvas)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    turn = rng.uniform(-0.35, 0.35, count)
    distance = signed_distance(label, x, y, radius, turn, rows, columns)
    shadow = signed_distance(label, x + 2.5, y + 3.0, radius, turn, rows, columns)
    ink = np.where(dark[:, None], PAPER, INK)[:, None, None]

    shade = np.clip(0.5 - shadow / 4.0, 0, 1) * np.where(line_art, 0.0, 0.4)[:, None, None]
    canvas = mix(canvas, INK, shade)
    fill = contrasting_colour(canvas, rng)[:, None, None]
    lit = -((columns - x[:, None, None]) + (rows - y[:, None, None])) / radius[:, None, None] * 22
    fill = np.clip(fill + lit[..., None], 26, 230)
    screen = np.stack(
        [
            np.zeros((SIZE, SIZE)),
            (rows + columns) % 8 < 4,
            (rows % 8 < 4) & (columns % 8 < 4),
            rows % 4 < 2,
        ]
    )[rng.choice(4, size=count, p=(0.4, 0.25, 0.2, 0.15))]
    fill = mix(fill, ink, 0.3 * screen)
    inside = np.clip(0.5 - distance, 0, 1)
    canvas = mix(canvas, fill, inside * ~line_art[:, None, None])
    width = np.where(line_art, 2.0, 1.1)[:, None, None]
    return mix(canvas, ink, np.clip(0.5 + width - np.abs(distance), 0, 1))


def signed_distance(label, x, y, radius, turn, rows, columns):
    """Distance in pixels to each picture's own shape, negative inside."""
    distance = np.empty((len(label), SIZE, SIZE), dtype=np.float32)
    for index, shape in enumerate(DISTANCES):
        mine = np.nonzero(label == index)[0]
        cos, sin, r = (a[mine, None, None] for a in (np.cos(turn), np.sin(turn), radius))
        dx, dy = columns - x[mine, None, None], rows - y[mine, None, None]
        distance[mine] = shape((cos * dx + sin * dy) / r, (cos * dy - sin * dx) / r) * r
    return distance


def contrasting_colour(canvas, rng):
    """A palette colour per picture, at least 45 grey levels from its background's mean luma."""
    mean = luma(canvas.mean(axis=(1, 2)))
    allowed = np.abs(luma(PALETTE)[None] - mean[:, None]) > 45
    order = rng.random(allowed.shape) * allowed
    return PALETTE[order.argmax(axis=1)]


def mix(under, over, weight):
    weight = np.asarray(weight, dtype=np.float32)[..., None]
    return under + weight * (over - under)


def to_signed(pictures):
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in [-1, 1], as the VAE sees them."""
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / 127.5 - 1


def draw_many(count, first_seed, chunk=1024):
    """As `draw`, in chunks with seeds counted up from `first_seed`."""
    starts = range(0, count, chunk)
    parts = [draw(min(chunk, count - start), first_seed + i) for i, start in enumerate(starts)]
    pictures, labels = zip(*parts, strict=True)
    return np.concatenate(pictures), np.concatenate(labels)
