"""X/Y/Z grids of many kinds, laid out, scaled and saved as AUTOMATIC1111's web UI does.

The layout is that of `draw_grid_annotations` and `save_image` in its `modules/images.py`, as of 1.10: letters
are a 25th of a cell's width and height, words are wrapped, a word that is too long leaves an empty line
before it and is drawn smaller, and a grid longer than 4,000 pixels is also saved as a JPEG of that size.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LONGEST = 4000  # pixels of a JPEG's longer side
FAMILY = [(1024, 1024), (832, 1216), (1216, 832), (896, 1152), (1344, 768), (768, 1344)]
SIZES = [
    *FAMILY,
    *((w * 3 // 2, h * 3 // 2) for w, h in FAMILY),
    *((w * 2, h * 2) for w, h in FAMILY[:3]),
    *[(2016, 1152)] * 4,
    *[(504, 504), (504, 760), (760, 504)] * 2,
    *[(512, 512), (512, 768), (768, 512), (640, 960), (960, 1440)],
]
KINDS = ("photograph", "flat", "doorway", "dark", "paper", "blank", "mixed")
MOST_PIXELS = 40_000_000


@dataclass(frozen=True)
class Drawn:
    """A grid as it is read, uint8 (H, W, 3); its name; where its cells are in it; and what it shows."""

    rgb: np.ndarray
    name: str
    boxes: dict[tuple[int, int], tuple[float, ...]]
    about: str


def annotated(pictures, columns, rows, margin=0, font=None):
    """Rows of pictures with these labels beside and above them.

    Returns:
        The grid, and where each picture lies: {(row, column): (left, top, right, bottom)}.
    """
    width, height = pictures[0][0].size
    letters = (width + height) // 25
    space = letters // 2
    left = width * 3 // 4 if any(rows) else 0
    above = [_lines(text, width, letters, font) for text in columns]
    beside = [_lines(text, left, letters, font) for text in rows]
    tall = [sum(high + space for _, high in lines) - space for lines in above]
    top = max(tall) + 2 * space if sum(tall) else 0
    size = left + len(columns) * (width + margin) - margin, top + len(rows) * (height + margin) - margin
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)

    def write(lines, x, y, allowed):
        for line, high in lines:
            fitting = letters
            while draw.textlength(line, _font(fitting, font)) > allowed:
                fitting -= 1
            draw.text((x, y + high / 2), line, "black", _font(fitting, font), anchor="mm")
            y += high + space

    boxes = {}
    for column, lines in enumerate(above):
        write(lines, left + column * (width + margin) + width / 2, (top - tall[column]) / 2, width)
    for row, lines in enumerate(beside):
        y = top + row * (height + margin)
        write(lines, left / 2, y + height / 2 - sum(high for _, high in lines) / 2, left)
        for column, picture in enumerate(pictures[row]):
            x = left + column * (width + margin)
            sheet.paste(picture, (x, y))
            boxes[row, column] = (x, y, x + width, y + height)
    return sheet, boxes


def saved(image, scale, quality):
    """The pixels of an image that was scaled, saved as a JPEG of this quality, or without loss, and read."""
    if scale != 1:
        size = round(image.width * scale), int(image.height * scale)
        image = image.resize(size, Image.Resampling.LANCZOS)
    if quality:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        image = Image.open(file)
    return np.asarray(image.convert("RGB"))


def drawn(seed, font=None):
    """The grid of this seed."""
    rng = np.random.default_rng(seed)
    width, height = SIZES[rng.integers(len(SIZES))]
    most = int(MOST_PIXELS / (width * height))
    columns = int(rng.integers(1, min(most, 14) + 1))
    rows = int(rng.integers(1, max(min(most // columns, 4), 1) + 1)) if rng.random() < 0.5 else 1
    margin = int(rng.choice([0, 0, 0, 0, 2, 8, 20, 64]))
    kind = KINDS[rng.integers(len(KINDS))]
    pictures = [
        [_picture([seed, row], column, kind, width, height) for column in range(columns)]
        for row in range(rows)
    ]
    style = int(rng.integers(6))
    above = [_label(rng, style, column) for column in range(columns)]
    labelled = rng.random() < 0.4
    beside = [_label(rng, int(rng.integers(2)), row) if labelled else "" for row in range(rows)]
    image, boxes = annotated(pictures, above, beside, margin, font)
    scale, quality = 1.0, 0
    if max(image.size) > LONGEST and rng.random() < 0.8:
        scale, quality = LONGEST / max(image.size), 80
    elif rng.random() < 0.5:
        scale, quality = 1.0, int(rng.choice([70, 80, 95]))
    name = f"xyz_grid-0001-{seed}-{image.width}-{image.height}-4-48-20260112074918.jpg"
    if rng.random() < 0.25:
        name = "xyz_grid-0001.jpg"
    about = (
        f"{seed}: {columns} x {rows} of {width} x {height} + {margin}, {kind}, labels {style}, {scale:.3f}"
    )
    boxes = {place: tuple(side * scale for side in box) for place, box in boxes.items()}
    return Drawn(saved(image, scale, quality), name, boxes, about)


def _font(size, font):
    return ImageFont.truetype(font, size) if font else ImageFont.load_default(size)


def _lines(text, allowed, letters, font):
    """The lines of a label, wrapped, and the height of each as its letters would have it at full size."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _font(letters, font).getlength(longer) <= allowed:
            lines[-1] = longer
        else:
            lines.append(word)
    boxes = [_font(letters, font).getbbox(line) for line in lines]
    return [(line, bottom - top) for line, (_, top, _, bottom) in zip(lines, boxes, strict=True)]


def _label(rng, style, index):
    """A ratio, a setting, a checkpoint's name with and without its hash, a few words, or a word as wide."""
    if style == 0:
        return f"{0.05 * index:.2f}"
    if style == 1:
        return f"CFG Scale: {index + 1}.5"
    number, more = rng.integers(1000, 9999), "ofix-" * int(rng.integers(1, 5))
    name = f"x{rng.integers(10, 99)}a-{more}m{index}-{number}.safetensors"
    if style == 2:
        return f"{name} [{rng.integers(16**10):010x}]"
    if style == 3:
        return f"merged-by-weighted-sum-{name}"
    if style == 4:
        words = ["a girl", "solo,", "masterpiece", "night city", "1boy", "car,"]
        return " ".join(rng.choice(words, int(rng.integers(1, 9))))
    return f"w{index}{'e' * int(rng.integers(8, 24))}"


def _picture(seed, column, kind, width, height):
    """A cell: the scene of its row's seed, for the seed is the same, and what this column makes of it."""
    scene, own = np.random.default_rng([*seed, 1]), np.random.default_rng([*seed, 2, column])
    small = width // 4, height // 4
    y, x = np.mgrid[0 : small[1], 0 : small[0]] / max(small)
    if kind == "mixed":
        kind = ("photograph", "blank", "dark", "flat")[int(own.integers(4))]
    if kind == "blank":
        return Image.new("RGB", (width, height), tuple(int(v) for v in own.integers(118, 138, 3)))
    waves = []
    for _ in range(6):
        phase = np.tensordot(scene.uniform(1, 14, 2), [x, y], 1) + own.normal(scene.uniform(0, 6), 0.4)
        waves.append(scene.normal(0, 22, 3) * np.sin(phase)[..., None])
    canvas = scene.uniform(80, 170, 3) + sum(waves) * (kind != "flat") + 255 * (kind == "paper")
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(10):
        u, v, r = scene.uniform(0.1, 0.9), scene.uniform(0.1, 0.9), scene.uniform(0.03, 0.2)
        u, v = u + own.normal(0, 0.01), v + own.normal(0, 0.01)
        place = [int((u - r) * width), int((v - r) * height), int((u + r) * width), int((v + r) * height)]
        if kind == "paper":
            draw.arc(place, 0, 300, (20, 20, 20), 5)
        else:
            draw.ellipse(place, tuple(int(c) for c in scene.integers(0, 256, 3)))
    if kind == "doorway":  # its frame in the very middle, from top to bottom
        draw.rectangle([0, 0, width // 2 - 1, height], tuple(int(c) for c in scene.integers(0, 200, 3)))
        draw.line([width // 2, 0, width // 2, height], (30, 20, 10), 9)
    if kind == "dark":
        image = image.point(lambda value: value // 9)
    return image
