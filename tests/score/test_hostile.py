"""Files that nobody should have to look at: each gets a verdict, or an error of one line."""

import io
import random
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gridsearch.base.errors import BadInput
from gridsearch.score.files import UNSCORED, score_files
from gridsearch.score.measure import read_image
from gridsearch.score.score import DEFECT_CAP
from gridsearch.score.verdict import VERDICTS
from tests.helpers import warm
from tests.helpers.pictures import png, scene, with_sums

PICTURE = scene(64, 20)
GREY16 = (PICTURE[..., 0].astype(np.uint16) << 8) | PICTURE[..., 1]
RANDOM = np.random.default_rng(0)


def encoded(picture, form="PNG", **options):
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def mode(name):
    return Image.fromarray(PICTURE).convert(name)


def with_text(size):
    """A small file whose text is large when it is unpacked."""
    info = PngInfo()
    info.add_text("parameters", "x" * size, zip=True)
    return encoded(PICTURE, pnginfo=info)


def sixteen_bits(colour_type, channels):
    rows = RANDOM.integers(0, 2**16, (8, 8 * channels), dtype=np.uint16).astype(">u2")
    return png(8, 8, 16, colour_type, b"".join(b"\0" + row.tobytes() for row in rows))


def idle_alpha():
    layer = mode("RGBA")
    layer.putalpha(0)
    return layer


WHOLE = {
    "one-pixel.png": encoded(PICTURE[:1, :1]),
    "one-pixel.jpg": encoded(PICTURE[:1, :1], "JPEG"),
    "one-pixel.webp": encoded(PICTURE[:1, :1], "WEBP"),
    "one-row.png": encoded(PICTURE[:1]),
    "one-column.png": encoded(PICTURE[:, :1]),
    "16-bit-grey.png": encoded(GREY16),
    "16-bit-rgb.png": sixteen_bits(2, 3),
    "16-bit-rgba.png": sixteen_bits(6, 4),
    "16-bit-grey-alpha.png": sixteen_bits(4, 2),
    "grey.png": encoded(mode("L")),
    "grey.jpg": encoded(mode("L"), "JPEG"),
    "one-bit.png": encoded(mode("1")),
    "palette.png": encoded(mode("P")),
    "palette-transparent.png": encoded(mode("P"), transparency=bytes(range(200))),
    "alpha.png": encoded(mode("RGBA")),
    "alpha.webp": encoded(mode("RGBA"), "WEBP"),
    "grey-alpha.png": encoded(mode("LA")),
    "all-transparent.png": encoded(idle_alpha()),
    "cmyk.jpg": encoded(mode("CMYK"), "JPEG"),
    "progressive.jpg": encoded(PICTURE, "JPEG", progressive=True),
    "animated.png": encoded(PICTURE, save_all=True, append_images=[mode("RGB")] * 2),
    "animated.webp": encoded(PICTURE, "WEBP", save_all=True, append_images=[mode("RGB")] * 2),
    "named-otherwise.jpg": encoded(PICTURE),
    "grey.avif": encoded(mode("L"), "AVIF"),
    "alpha.avif": encoded(mode("RGBA"), "AVIF"),
    "animated.avif": encoded(PICTURE, "AVIF", save_all=True, append_images=[mode("L")]),
    "one-pixel.avif": encoded(PICTURE[:1, :1], "AVIF"),
    "whole.bmp": encoded(PICTURE, "BMP"),
    "palette.bmp": encoded(mode("P"), "BMP"),
    "one-bit.bmp": encoded(mode("1"), "BMP"),
    "alpha.bmp": encoded(mode("RGBA"), "BMP"),
}
BROKEN = {
    "empty.png": b"",
    "random.png": RANDOM.bytes(4000),
    "random.jpg": b"\xff\xd8\xff" + RANDOM.bytes(4000),
    "random.webp": b"RIFF" + struct.pack("<I", 4000) + b"WEBPVP8 " + RANDOM.bytes(4000),
    "random-after-the-head.png": b"\x89PNG\r\n\x1a\n" + RANDOM.bytes(4000),
    "20000x20000.png": png(20000, 20000, 8, 2, b"\0"),
    "2000000000x1.png": png(2_000_000_000, 1, 8, 2, b"\0"),
    "0x0.png": png(0, 0, 8, 2, b""),
    "no-such-depth.png": png(8, 8, 7, 2, bytes(8 * 25)),
    "no-such-colour.png": png(8, 8, 8, 5, bytes(8 * 25)),
    "truncated.png": encoded(PICTURE)[:-2000],
    "truncated.jpg": encoded(PICTURE, "JPEG")[:-400],
    "truncated.avif": encoded(PICTURE, "AVIF")[:-400],
    "truncated.bmp": encoded(PICTURE, "BMP")[:-400],
    "head-only.bmp": encoded(PICTURE, "BMP")[:54],
    "random.avif": encoded(PICTURE, "AVIF")[:200] + RANDOM.bytes(2000),
    "truncated.webp": encoded(PICTURE, "WEBP")[:-400],
    "head-only.png": encoded(PICTURE)[:33],
    "a-text-of-100-MB.png": partial(with_text, 100_000_000),  # half a second, spared to who runs no test here
    "a-gif.png": encoded(mode("P"), "GIF"),
    "a-tiff.png": encoded(PICTURE, "TIFF"),
    "a-script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
    "a-svg.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, content in (WHOLE | BROKEN).items():
        (folder / name).write_bytes(content() if callable(content) else content)
    return folder


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_of_any_kind_gets_a_verdict(files, name):
    (row,) = score_files([files / name], None, lambda _: lambda: None).table.to_dict("records")
    assert row["verdict"] in VERDICTS
    assert 0 <= row["defect"] <= DEFECT_CAP


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_none_is_an_error_of_at_most_four_lines(files, name):
    with pytest.raises(BadInput) as caught:
        score_files([files / name], None, lambda _: lambda: None)
    assert str(files / name) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


@pytest.mark.night
def test_all_of_them_at_once_are_a_table_with_a_line_for_each(files, tmp_path):
    command = ("score", *sorted(files.iterdir()), "--csv", tmp_path / "x.csv")
    with (
        (tmp_path / "errors").open("wb") as errors,  # of a process: decoders in C write there as well
        warm.program(*command, streams={2: errors.fileno()}) as process,
    ):
        process.stdout.read()
    assert process.returncode == 2
    said = f"{len(BROKEN)} of {len(WHOLE | BROKEN)} files could not be scored; the table says why."
    assert (tmp_path / "errors").read_text("utf-8") == f"error: {said}\n"
    table = pd.read_csv(tmp_path / "x.csv")
    verdicts = {Path(row.image).name: row.verdict for row in table.itertuples()}
    assert {name for name, verdict in verdicts.items() if verdict == UNSCORED} == set(BROKEN)
    assert table["reason"][table["verdict"] == UNSCORED].str.len().min() > 10
    assert not table["reason"].str.contains("\n", na=False).any()


@pytest.mark.filterwarnings("error")
def test_a_thousand_damaged_files_are_read_or_named(tmp_path):
    chance = random.Random(0)
    seeds = list(WHOLE.values())
    read = 0
    for _ in range(1000):
        content = bytearray(chance.choice(seeds))
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        for _ in range(chance.choice([1, 2, 5, 20])):
            if content:
                content[chance.randrange(len(content))] = chance.randrange(256)
        (tmp_path / "x.png").write_bytes(with_sums(content) if chance.random() < 0.5 else content)
        try:
            picture = read_image(tmp_path / "x.png")
        except BadInput:
            continue
        read += 1
        assert (picture.dtype, picture.ndim, picture.shape[2]) == (np.uint8, 3, 3)
    assert 100 < read < 900
