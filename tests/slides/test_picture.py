from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from nuguide.errors import InputError
from nuguide.slides.picture import decode_jpeg, decode_png

TISSUE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def png(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def test_png_is_read_as_stored() -> None:
    decoded = decode_png(png(Image.fromarray(TISSUE)), "t.png")
    assert (decoded.rgb == TISSUE).all()
    assert decoded.scale is None


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_png_of_every_kind_becomes_what_it_shows(mode: str) -> None:
    image = Image.fromarray(TISSUE).convert(mode)
    decoded = decode_png(png(image), "t.png")
    assert (decoded.rgb == np.asarray(image.convert("RGB"))).all()


def test_transparency_of_a_palette_is_white() -> None:
    image = Image.new("P", (10, 10), 0)
    image.putpalette([9, 9, 9, 80, 80, 80])
    image.putpixel((0, 0), 1)
    decoded = decode_png(png(image, transparency=0), "t.png")
    assert decoded.rgb[0, 0].tolist() == [80, 80, 80]
    assert decoded.rgb[5, 5].tolist() == [255, 255, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_png_keeps_its_range(channels: int) -> None:
    deep = np.full((10, 10, channels), 4095, np.uint16)
    deep[0, 0] = 1000
    _, data = cv2.imencode(".png", deep)
    rgb = decode_png(data.tobytes(), "deep.png").rgb
    assert rgb[0, 0].tolist() == [62, 62, 62]
    assert rgb[5, 5].tolist() == [255, 255, 255]


def test_png_phys_is_believed_only_for_a_microscope() -> None:
    image = Image.fromarray(TISSUE)
    microscope = decode_png(png(image, dpi=(50800, 50800)), "t.png").scale
    assert microscope is not None
    assert microscope.mpp == pytest.approx(0.5, rel=1e-4)
    assert microscope.source == "PNG pHYs"
    for screen in (72, 96, 150, 300):
        assert decode_png(png(image, dpi=(screen, screen)), "t.png").scale is None


def test_jpeg_ignores_its_orientation_tag() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.full((20, 30, 3), 120, np.uint8))
    decoded = decode_jpeg(jpeg(image, exif=exif), "t.jpg")
    assert decoded.rgb.shape == (20, 30, 3)
    assert abs(int(decoded.rgb[3, 3, 0]) - 120) <= 2
    assert decode_jpeg(jpeg(image.convert("L")), "t.jpg").rgb.shape == (20, 30, 3)


def test_cmyk_jpeg_is_refused() -> None:
    with pytest.raises(InputError, match="CMYK"):
        decode_jpeg(jpeg(Image.new("CMYK", (20, 20))), "print.jpg")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(share: float) -> None:
    whole_png, whole_jpeg = png(Image.fromarray(TISSUE)), jpeg(Image.fromarray(TISSUE))
    with pytest.raises(InputError, match="whole PNG"):
        decode_png(whole_png[: int(share * len(whole_png))], "t.png")
    with pytest.raises(InputError, match="whole JPEG"):
        decode_jpeg(whole_jpeg[: int(share * len(whole_jpeg))], "t.jpg")


def test_truncated_sixteen_bit_png_is_refused() -> None:
    _, data = cv2.imencode(".png", np.zeros((50, 50, 3), np.uint16))
    with pytest.raises(InputError, match="whole PNG"):
        decode_png(data.tobytes()[:-30], "deep.png")


def test_animation_is_refused() -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    with pytest.raises(InputError, match="2 frames"):
        decode_png(png(frames[0], save_all=True, append_images=frames[1:]), "move.png")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    small = bytearray(png(Image.fromarray(TISSUE)))
    small[16:24] = (60_000).to_bytes(4, "big") * 2
    # The header's checksum, that the forged sides be believed.
    import zlib

    small[29:33] = zlib.crc32(bytes(small[12:29])).to_bytes(4, "big")
    with pytest.raises(InputError, match="at most"):
        decode_png(bytes(small), "bomb.png")
