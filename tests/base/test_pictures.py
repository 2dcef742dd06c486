"""How large a picture may be is told before it is decoded."""

import io
import struct

import pytest
from PIL import Image

from gridsearch.base import pictures
from gridsearch.base.errors import BadInput
from gridsearch.base.pictures import open_picture
from gridsearch.score.measure import read_image


def saved(path, picture, form, **options):
    picture.save(path, form, **options)
    return path


def test_a_picture_may_be_as_large_as_its_file_pays_for(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "DECODING_BYTES", 10 * 10 * pictures.PIXEL)
    assert read_image(saved(tmp_path / "a.png", Image.new("RGB", (10, 10)), "PNG")).shape == (10, 10, 3)
    small = saved(tmp_path / "b.png", Image.new("RGB", (100, 100)), "PNG")
    with pytest.raises(BadInput, match="100 x 100 pixels, the limit is"):
        read_image(small)
    whole = saved(
        tmp_path / "c.png", Image.effect_noise((100, 100), 90).convert("RGB"), "PNG", compress_level=0
    )
    small.write_bytes(small.read_bytes() + bytes(whole.stat().st_size * 2))
    assert read_image(small).shape == (100, 100, 3)


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
