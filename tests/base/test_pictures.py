"""How large a picture may be is told before it is decoded."""

import io
import struct
import threading

import pytest
from PIL import Image

from gridsearch.base import pictures
from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import open_picture
from gridsearch.score.measure import read_image


def saved(path, picture, form, **options):
    picture.save(path, form, **options)
    return path


FORMATS = {
    "PNG": {},
    "JPEG": {},
    "progressive.JPEG": {"progressive": True},
    "WEBP": {},
    "lossless.WEBP": {"lossless": True},
    "AVIF": {"speed": 10},
    "BMP": {},
}


@pytest.mark.parametrize("form", FORMATS)
def test_one_limit_holds_in_every_format_however_small_the_file(tmp_path, monkeypatch, form):
    assert pictures.MAX_PIXELS == 64 * 1024 * 1024
    monkeypatch.setattr(pictures, "MAX_PIXELS", 400 * 300)
    for width, fits in ((400, True), (401, False)):
        path = saved(
            tmp_path / f"{width}.x", Image.new("RGB", (width, 300)), form.split(".")[-1], **FORMATS[form]
        )
        if fits:
            assert read_image(path).shape == (300, 400, 3)
        else:
            with pytest.raises(BadInput, match="401 x 300 pixels, the limit is 120,000"):
                read_image(path)


def test_a_flat_sweep_of_eleven_ratios_and_three_prompts_is_read_from_a_webp(tmp_path):
    grid = Image.new("RGB", (11 * 1344 + 1008, 3 * 768 + 168), "white")
    path = saved(tmp_path / "x.webp", grid, "WEBP", lossless=True, method=0, quality=0)
    assert path.stat().st_size < 1000
    assert read_image(path).shape == (2472, 15792, 3)


def test_large_pictures_are_open_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "LARGE_PIXELS", 100)
    small, large = (
        saved(tmp_path / f"{side}.png", Image.new("RGB", (side, side)), "PNG") for side in (10, 11)
    )
    others = []

    def look(path):
        with open_picture(path):
            others.append(path)

    with open_picture(large), open_picture(large):  # the same thread may
        threads = [threading.Thread(target=look, args=[path]) for path in (large, small)]
        for thread in threads:
            thread.start()
        threads[1].join()
        threads[0].join(0.2)
        assert others == [small]
    threads[0].join()
    assert others == [small, large]


def test_avif_without_a_decoder_is_named(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.avif", Image.new("RGB", (64, 64)), "AVIF")
    monkeypatch.setattr(pictures.features, "check", lambda feature: feature != "avif")
    with pytest.raises(BadInput, match="built without AVIF"):
        read_image(path)


@pytest.mark.parametrize("lossless", [True, False])
def test_the_size_of_a_simple_webp_is_looked_at_before_its_canvas_is_made(tmp_path, monkeypatch, lossless):
    path = saved(tmp_path / "x.webp", Image.new("RGB", (100, 41)), "WEBP", lossless=lossless)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 4099)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(BadInput, match="100 x 41 pixels"), open_picture(path):
        pass


def test_the_canvas_of_a_webp_is_looked_at_before_it_is_made(tmp_path, monkeypatch):
    content = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(content, "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    data = bytearray(content.getvalue())
    data[24:30] = struct.pack("<I", 16_382)[:3] * 2
    (tmp_path / "x.webp").write_bytes(data)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("it was made"))
    with pytest.raises(BadInput, match="16383 x 16383 pixels"), open_picture(tmp_path / "x.webp"):
        pass


def test_a_jpeg_of_many_scans_is_too_large(tmp_path, monkeypatch):
    path = saved(tmp_path / "x.jpg", Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    assert read_image(path).shape == (64, 64, 3)
    monkeypatch.setattr(pictures, "MOST_SCANNED", 64 * 64 * 5)
    with pytest.raises(BadInput, match="come in 10 scans"):
        read_image(path)


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(BadInput, match="It is not a file"), open_picture(tmp_path):
        pass
