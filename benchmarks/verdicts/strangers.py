"""Sound pictures of further styles, drawn by other means than `styles` and `manners`.

Shapes are level sets of distance functions, textures are noise of lattices, and colours run along cosines
(after Quilez), so that neither forms nor palettes nor grain are those of the others.
"""

import io

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, sobel
from scipy.spatial import Delaunay

from benchmarks.verdicts.fields import Drawing, Rng, Size, framed_size


def lattice(size: Size, cells: float, rng: Rng, octaves: int = 4, fall: float = 0.5) -> np.ndarray:
    """Value noise: random numbers on grids, each twice as fine and less strong; 0 to 1."""
    total, weight, side = np.zeros(size, np.float32), 1.0, max(size)
    for octave in range(octaves):
        step = max(side / (cells * 2**octave), 1.0)
        grid = rng.random([int(n / step) + 3 for n in size]).astype(np.float32)
        wide = Image.fromarray(grid).resize(
            [int(n * step) + 1 for n in grid.shape[::-1]], Image.Resampling.BICUBIC
        )
        total += weight * np.asarray(wide)[int(step) :, int(step) :][: size[0], : size[1]]
        weight *= fall
    return (total - total.min()) / (np.ptp(total) + 1e-6)


def tints(t: np.ndarray, rng: Rng, vivid: float = 0.5) -> np.ndarray:
    """Colours along a cosine of each channel, (..., 3) of 0 to 255."""
    turns, shift = rng.choice([0.5, 1, 1, 2], 3), rng.random(3) * rng.uniform(0.1, 1)
    middle, reach = rng.uniform(0.35, 0.7), vivid * rng.uniform(0.5, 1)
    return 255 * np.clip(middle + reach * np.cos(2 * np.pi * (turns * t[..., None] + shift)), 0, 1)


def plane(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in shares of the longer side, from the middle."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    return (y - size[0] / 2) / max(size), (x - size[1] / 2) / max(size)


def forms(size: Size, rng: Rng) -> list[np.ndarray]:
    """Distance functions, below 0 inside: boxes with round corners, rings, drops, petals and bands."""
    y, x = plane(size)
    found = []
    for _ in range(int(rng.integers(4, 14))):
        turn, r = rng.uniform(0, 6.3), rng.uniform(0.03, 0.22)
        u, v = x - rng.uniform(-0.45, 0.45), y - rng.uniform(-0.4, 0.4)
        a, b = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        angle, far = np.arctan2(b, a), np.hypot(a, b)
        kind = rng.integers(5)
        if kind == 0:
            found.append(np.hypot(np.maximum(abs(a) - r, 0), np.maximum(abs(b) - r * 0.5, 0)) - r * 0.2)
        elif kind == 1:
            found.append(abs(far - r) - r * rng.uniform(0.1, 0.5))
        elif kind == 2:
            found.append(far - r * (0.6 + 0.4 * np.cos(angle)))
        elif kind == 3:
            found.append(far - r * (0.7 + 0.3 * np.cos(angle * rng.integers(3, 9))))
        else:
            found.append(abs(b + 0.04 * np.sin(a * rng.uniform(10, 40))) - r * 0.15)
    return found


def filled(size: Size, rng: Rng, soft: float = 1.0, vivid: float = 0.45) -> np.ndarray:
    """A scene: forms with shading before a ground that changes slowly."""
    picture = tints(0.4 * lattice(size, 2, rng, 2) + rng.random(), rng, vivid)
    light = rng.normal(0, 1, 2)
    for form in forms(size, rng):
        inside = np.clip(0.5 - form * max(size) / soft, 0, 1)[..., None]
        round_ = np.clip(
            1 + 1.5 * (np.gradient(form)[0] * light[0] + np.gradient(form)[1] * light[1]) * max(size) * 0.15,
            0.4,
            1.5,
        )
        tone = tints(rng.random() + 0.3 * lattice(size, 6, rng, 3), rng, vivid) * round_[..., None]
        picture = picture * (1 - inside) + inside * tone
    return picture


def ray_traced(size: Size, rng: Rng) -> np.ndarray:
    """Balls on a chequered floor, with mirrors, shadows and a sky."""
    y, x = plane(size)
    way = np.stack([x, -y, np.full_like(x, 0.9)], -1)
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    sun = np.array([rng.uniform(-1, 1), 1.0, rng.uniform(-1, 0.2)])
    sun /= np.linalg.norm(sun)
    balls = [
        (
            np.array([rng.uniform(-2, 2), rng.uniform(-0.6, 1), rng.uniform(2.5, 7)]),
            rng.uniform(0.3, 1),
            rng.random(3),
        )
        for _ in range(7)
    ]
    tone, other = 255 * rng.random(3), 255 * rng.random(3)

    def seen(origin: np.ndarray, way: np.ndarray, depth: int) -> np.ndarray:
        sky = np.array([160, 195, 235]) * (0.5 + 0.6 * np.clip(way[..., 1:2], 0, 1)) + 20
        best, colour, gone = np.full(way.shape[:2], 1e9), sky, np.zeros(way.shape[:2], bool)
        down = np.where(way[..., 1] < -1e-3, (-1 - origin[..., 1]) / np.minimum(way[..., 1], -1e-3), 1e9)
        spot = origin + way * down[..., None]
        floor = (down > 1e-3) & (down < 40)
        odd = (np.floor(spot[..., 0]) + np.floor(spot[..., 2])) % 2
        shade = np.ones(way.shape[:2])
        for at, r, _ in balls:
            to = at - spot
            along = (to * sun).sum(-1)
            shade = np.where((along > 0) & ((to**2).sum(-1) - along**2 < r * r), 0.35, shade)
        ground = np.where(odd[..., None] > 0, tone, other) * shade[..., None]
        haze = np.exp(-down / 25)[..., None]
        colour = np.where(floor[..., None], ground * haze + sky * (1 - haze), colour)
        best = np.where(floor, down, best)
        for at, r, paint in balls:
            to = at - origin
            along = (to * way).sum(-1)
            short = r * r - ((to**2).sum(-1) - along**2)
            hit = along - np.sqrt(np.maximum(short, 0))
            gone = (short > 0) & (hit > 1e-3) & (hit < best)
            normal = (origin + way * hit[..., None] - at) / r
            lit = 0.25 + 0.75 * np.clip((normal * sun).sum(-1), 0, 1)[..., None]
            own = 255 * paint * lit
            if depth and gone.any():
                back = way - 2 * (way * normal).sum(-1, keepdims=True) * normal
                own = 0.7 * own + 0.3 * seen(origin + way * hit[..., None], back, 0)
            colour, best = np.where(gone[..., None], own, colour), np.where(gone, hit, best)
        return colour

    return seen(np.zeros((*size, 3)), way, 1)


def strokes(size: Size, rng: Rng) -> np.ndarray:
    """Short strokes of a broad brush along a flow, in the colours of what lies beneath."""
    under = filled(size, rng, 6)
    image = Image.fromarray(np.clip(under, 0, 255).astype(np.uint8))
    draw, flow = ImageDraw.Draw(image), 12 * lattice(size, 3, rng, 2)
    for k in range(int(rng.integers(2500, 5000))):
        y, x = int(rng.integers(size[0])), int(rng.integers(size[1]))
        length = max(size) * rng.uniform(0.01, 0.05) * (1.6 if k < 700 else 0.7)
        dy, dx = np.sin(flow[y, x]) * length, np.cos(flow[y, x]) * length
        tone = np.clip(under[y, x] + rng.normal(0, 14, 3), 0, 255).astype(int)
        draw.line(
            [x - dx, y - dy, x + dx, y + dy], tuple(tone), max(1, int(length * rng.uniform(0.15, 0.35)))
        )
    return np.asarray(image).astype(np.float32)


def low_polygon(size: Size, rng: Rng) -> np.ndarray:
    """Triangles of one tone each."""
    under = filled(size, rng, 3)
    count = int(rng.integers(150, 900))
    at = np.concatenate([rng.random((count, 2)) * size, np.array([[0, 0], [0, size[1]], [size[0], 0], size])])
    image = Image.new("RGB", size[::-1])
    draw = ImageDraw.Draw(image)
    for corners in Delaunay(at).simplices:
        y, x = np.clip(at[corners].mean(0), 0, np.array(size) - 1).astype(int)
        draw.polygon(
            [(float(at[c][1]), float(at[c][0])) for c in corners],
            tuple(np.clip(under[y, x], 0, 255).astype(int)),
        )
    return np.asarray(image).astype(np.float32)


def sketch(size: Size, rng: Rng) -> np.ndarray:
    """Pencil or chalk lines along the forms, some shading in strokes one way."""
    paper, ink = rng.uniform(215, 255), rng.uniform(20, 110)
    dark = np.zeros(size, np.float32)
    tooth, y_x = lattice(size, 120, rng, 2), plane(size)
    for form in forms(size, rng) + forms(size, rng):
        bent = form + 0.004 * (lattice(size, 8, rng, 2) - 0.5)
        dark = np.maximum(
            dark, np.exp(-((bent * max(size) / rng.uniform(0.8, 2.2)) ** 2)) * rng.uniform(0.5, 1)
        )
        if rng.random() < 0.4:
            lines = np.sin((y_x[0] + y_x[1]) * rng.uniform(150, 400)) > 0.2
            dark = np.maximum(dark, (form < 0) * lines * rng.uniform(0.15, 0.5))
    dark = dark * (0.55 + 0.6 * tooth)
    made = paper + (ink - paper) * np.clip(dark, 0, 1)[..., None] * np.ones(3)
    return 255 - made if rng.random() < 0.2 else made * rng.uniform(0.93, 1, 3)


def relief(size: Size, rng: Rng) -> np.ndarray:
    """A map or a planet's ground seen from above, lit from one side."""
    high = lattice(size, rng.uniform(2, 6), rng, 6, rng.uniform(0.4, 0.6))
    lit = 1 + (sobel(high, 0) + sobel(high, 1)) * max(size) * rng.uniform(0.01, 0.04)
    water = high < rng.uniform(0.2, 0.5)
    return np.where(
        water[..., None],
        tints(high * 0.3 + 0.5, rng, 0.25),
        tints(high, rng, 0.3) * np.clip(lit, 0.3, 1.6)[..., None],
    )


def mandala(size: Size, rng: Rng) -> np.ndarray:
    """A figure that is alike in many directions."""
    y, x = plane(size)
    far, angle, k = np.hypot(y, x), np.arctan2(y, x), int(rng.integers(5, 15))
    t = sum(np.cos(k * m * angle + rng.uniform(0, 6)) * np.sin(far * rng.uniform(15, 70)) for m in (1, 1, 2))
    hard = rng.uniform(1, 8)
    picture = tints(np.tanh(hard * t) * 0.4 + far, rng)
    return np.where((abs(t) < 0.06)[..., None], rng.choice([15, 245]), picture)


def smoke(size: Size, rng: Rng) -> np.ndarray:
    """Veils in a dark room, lit by coloured lamps."""
    y, x = plane(size)
    a, b = lattice(size, 3, rng, 4), lattice(size, 2, rng, 3)
    veil = np.abs(np.sin(8 * a + 5 * b + 6 * x)) ** rng.uniform(1, 4) * lattice(size, 2, rng, 2) ** 1.5
    lamps = sum(
        np.exp(-((y - rng.uniform(-0.4, 0.4)) ** 2 + (x - rng.uniform(-0.4, 0.4)) ** 2) / 0.08)[..., None]
        * 255
        * rng.random(3)
        for _ in range(3)
    )
    return veil[..., None] * lamps * rng.uniform(0.8, 1.6) + 8


def newsprint(size: Size, rng: Rng) -> np.ndarray:
    """A printed picture: dots of three inks, each screen turned by its own angle."""
    under, (y, x) = filled(size, rng, 2) / 255, plane(size)
    pitch = rng.uniform(90, 220)
    made = np.ones((*size, 3)) * 250
    for k, turn in enumerate((0.26, 1.31, 0.0)):
        a, b = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        screen = 0.5 + 0.25 * (np.cos(2 * np.pi * pitch * a) + np.cos(2 * np.pi * pitch * b))
        made[..., k] *= 0.15 + 0.85 * np.clip((under[..., k] - screen) * 6 + 0.5, 0, 1)
    return made


def towers(size: Size, rng: Rng) -> np.ndarray:
    """Blocks of a town in perspective, lighter with distance, by day or with lit windows."""
    image = Image.new("RGB", size[::-1], tuple(int(c) for c in tints(np.array([0.5]), rng, 0.3)[0]))
    draw, sky = ImageDraw.Draw(image), np.array(image.getpixel((0, 0)), float)
    base, night = 255 * rng.random(3), rng.random() < 0.4
    for depth in np.sort(rng.uniform(1, 9, 60))[::-1]:
        cx, w, h = rng.uniform(-6, 6) / depth, rng.uniform(0.3, 1) / depth, rng.uniform(0.5, 4) / depth
        far = np.exp(-depth / 5)
        for side, shade in ((0.0, 1.0), (0.4, 0.6)):
            left = (0.5 + (cx + side * w) * 0.5) * size[1]
            box = [
                left,
                (0.75 - h * 0.4) * size[0],
                left + w * 0.4 * size[1],
                (0.75 + 0.25 / depth) * size[0],
            ]
            tone = sky * (1 - far) + far * base * shade * (0.15 if night else 1)
            draw.rectangle(box, tuple(int(c) for c in tone))
            for i in np.arange(box[0] + 2, box[2] - 3, max(4, 0.03 * size[1] / depth)):
                for j in np.arange(box[1] + 3, box[3] - 4, max(5, 0.05 * size[0] / depth)):
                    if rng.random() < 0.5:
                        pane = (250, 215, 130) if night else tuple(int(c) for c in tone * 0.6)
                        draw.rectangle(
                            [i, j, i + max(1, 0.012 * size[1] / depth), j + max(2, 0.025 * size[0] / depth)],
                            pane,
                        )
    return np.asarray(image).astype(np.float32)


def bust(size: Size, rng: Rng) -> np.ndarray:
    """Head and shoulders, of distance functions that melt into each other, with soft light."""
    y, x = plane(size)
    y, x = y + rng.uniform(-0.05, 0.05), x + rng.uniform(-0.08, 0.08)
    s = rng.uniform(0.16, 0.27)
    head = np.hypot(x / 0.8, y * (1 + 0.4 * np.clip(y / s, 0, 1))) - s
    hair = np.minimum(
        np.hypot(x, y + 0.15 * s) - 1.15 * s - 0.2 * s * lattice(size, 8, rng, 2),
        abs(x) - s * (0.9 + 0.6 * np.clip(y, -0.2, 0.5)) + 9 * (y < -0.1),
    )
    body = np.hypot(x * 0.7, y - 2.6 * s) - 1.5 * s
    picture = tints(lattice(size, 3, rng, 3) * 0.5, rng, 0.35)
    skin, iris = np.array([236, 198, 172]) * rng.uniform(0.5, 1.05), 255 * rng.random(3)
    light = 0.75 + 0.5 * np.clip(0.5 - x / s * rng.choice([-0.4, 0.4]), 0, 1)[..., None]
    for form, tone in (
        (hair, tints(lattice(size, 25, rng, 2) * 0.3, rng, 0.4)),
        (body, tints(lattice(size, 5, rng, 2) * 0.4, rng)),
        (head, skin),
    ):
        inside = np.clip(0.5 - form * max(size) / 1.5, 0, 1)[..., None]
        picture = picture * (1 - inside) + inside * tone * light
    for side in (-1, 1):
        eye = np.hypot((x - side * 0.34 * s) / 1.3, y - 0.1 * s)
        for r, tone in ((0.16, np.array([250, 250, 252])), (0.12, iris), (0.06, np.array([15, 12, 20]))):
            inside = np.clip(0.5 - (eye - r * s) * max(size), 0, 1)[..., None]
            picture = picture * (1 - inside) + inside * tone
    mouth = np.exp(-(((y - 0.55 * s) / (0.03 * s)) ** 2) - (x / (0.2 * s)) ** 2)[..., None]
    fringe = np.clip(
        0.5
        - (y + 0.35 * s + 0.25 * s * abs(np.sin(x * 9 / s)) + 9 * (abs(x) > 0.85 * s) + 9 * (y < -1.1 * s))
        * max(size)
        / 2,
        0,
        1,
    )[..., None]
    picture = picture * (1 - 0.6 * mouth) + 0.6 * mouth * np.array([150, 50, 60])
    return picture * (1 - fringe) + fringe * tints(lattice(size, 20, rng, 2) * 0.2, rng, 0.4)


def aquarelle(size: Size, rng: Rng) -> np.ndarray:
    """Thin glazes on a sheet, their rims darker, their pigment in the hollows of the paper."""
    hollow = lattice(size, rng.uniform(60, 160), rng, 2)
    light = np.ones((*size, 3))
    for form in forms(size, rng)[: int(rng.integers(3, 9))]:
        bent = form + 0.02 * (lattice(size, 5, rng, 3) - 0.5)
        soft = rng.uniform(0.002, 0.02)
        wash = 1 / (1 + np.exp(np.clip(bent / soft * 4, -30, 30)))
        rim = np.exp(-((bent / (soft + 0.004)) ** 2)) * rng.uniform(0, 0.35)
        depth = (wash * rng.uniform(0.15, 0.7) * (0.5 + lattice(size, 3, rng, 3)) + rim) * (
            0.85 + 0.3 * hollow
        )
        light *= np.exp(-depth[..., None] * rng.uniform(0.05, 1.4, 3))
    return rng.uniform(238, 255, 3) * light - (hollow[..., None] - 0.5) * rng.uniform(0, 10)


def fractal(size: Size, rng: Rng) -> np.ndarray:
    """A Julia set in a run of colours."""
    y, x = plane(size)
    z = (x + 1j * y) * rng.uniform(1.5, 3)
    c, count = 0.7885 * np.exp(1j * rng.uniform(0, 6.3)), np.zeros(size, np.float32)
    for _ in range(60):
        inside = np.abs(z) < 4
        z = np.where(inside, z * z + c, z)
        count += inside
    smooth = np.log1p(count - np.log(np.log(np.maximum(np.abs(z), 1.1))))
    return tints(gaussian_filter(smooth, 0.7) / 2, rng)


def blossom(size: Size, rng: Rng) -> np.ndarray:
    """Petals around a middle, sharp, before leaves far out of focus."""
    y, x = plane(size)
    ground = gaussian_filter(filled(size, rng, 2), (0.02 * max(size), 0.02 * max(size), 0))
    far, angle = np.hypot(y, x), np.arctan2(y, x)
    for ring in range(int(rng.integers(1, 4)), 0, -1):
        k, r = int(rng.integers(5, 21)), rng.uniform(0.12, 0.42) * ring / 2
        edge = r * (0.55 + 0.45 * abs(np.cos(k * angle / 2 + ring)))
        inside = np.clip(0.5 - (far - edge) * max(size) / 1.5, 0, 1)[..., None]
        tone = tints(far / r * 0.4 + 0.1 * np.sin(k * 6 * angle), rng, 0.45) * (
            0.7 + 0.4 * abs(np.cos(k * angle / 2 + ring))[..., None]
        )
        ground = ground * (1 - inside) + inside * tone
    return ground + (lattice(size, 150, rng, 2)[..., None] - 0.5) * rng.uniform(0, 25)


def undersea(size: Size, rng: Rng) -> np.ndarray:
    """Blue depth, rays from above, fish and weed that fade with distance."""
    y, x = plane(size)
    deep = np.array([rng.uniform(0, 40), rng.uniform(60, 140), rng.uniform(110, 200)])
    picture = deep * (1.1 - 1.1 * (y + 0.5))[..., None] + 15
    rays = (
        np.abs(np.sin((x * 3 + y * rng.uniform(-1, 1)) * rng.uniform(4, 10) + 3 * lattice(size, 3, rng, 2)))
        ** 4
    )
    picture += (rays * np.clip(0.4 - y, 0, 1))[..., None] * rng.uniform(20, 90)
    for form in forms(size, rng):
        near = rng.uniform(0.15, 1)
        inside = np.clip(0.5 - form * max(size) / (3 - 2 * near), 0, 1)[..., None] * near
        picture = picture * (1 - inside) + inside * tints(lattice(size, 8, rng, 3) * 0.3, rng) * 0.8
    return picture


def candle(size: Size, rng: Rng) -> np.ndarray:
    """A scene in which one small warm flame is all the light there is."""
    y, x = plane(size)
    v, u = rng.uniform(-0.2, 0.3), rng.uniform(-0.3, 0.3)
    near = 1 / (1 + ((y - v) ** 2 + (x - u) ** 2) * rng.uniform(6, 25))
    flame = np.exp(-(((y - v) / 0.05) ** 2 + ((x - u) / 0.015) ** 2))
    made = filled(size, rng, 1.5, 0.3) * near[..., None] * np.array([1.0, 0.72, 0.42]) * rng.uniform(0.9, 1.8)
    return made + flame[..., None] * np.array([400, 330, 180])


STRANGERS: dict[str, Drawing] = {
    function.__name__.replace("_", " "): function
    for function in (
        ray_traced, strokes, low_polygon, sketch, relief, mandala, smoke, newsprint, towers, bust, aquarelle,
        fractal, blossom, undersea, candle,
    )
}  # fmt: skip


def stranger(style: str, seed: int) -> np.ndarray:
    """One picture of a style, uint8 (H, W, 3), 256 to 896 px, as a PNG, a WebP or a JPEG has it."""
    rng = np.random.default_rng([77, seed, *style.encode()])
    size = framed_size(rng, (256, 448, 512, 576, 704, 896), (1, 1, 0.6, 0.8, 1.25, 1.6))
    picture = np.clip(np.rint(STRANGERS[style](size, rng)), 0, 255).astype(np.uint8)
    way, quality = [("PNG", 0), ("PNG", 0), ("WEBP", 70), ("JPEG", 75), ("JPEG", 35)][rng.integers(5)]
    if way == "PNG":
        return picture
    file = io.BytesIO()
    Image.fromarray(picture).save(file, way, quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))
