import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nuguide.datasets import pictures
from nuguide.datasets.pictures import read_labels, read_mask, read_pair, read_rgb
from nuguide.errors import DataSetError


def test_grey_and_sixteen_bit_images_become_rgb(tmp_path: Path, write_picture):
    write_picture(tmp_path / "grey.png", np.full((4, 5), 77, np.uint8))
    write_picture(tmp_path / "deep.png", np.full((4, 5, 3), 77 * 257, np.uint16))
    for name in ("grey", "deep"):
        image = read_rgb(tmp_path / f"{name}.png")
        assert (image.shape, image.dtype) == ((4, 5, 3), np.uint8)
        assert np.unique(image).tolist() == [77]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_labels_keep_their_numbers(tmp_path: Path, write_picture, dtype: type):
    labels = np.array([[0, 1], [2, np.iinfo(dtype).max // 256]], dtype)
    write_picture(tmp_path / "labels.tif", labels)
    read = read_labels(tmp_path / "labels.tif")
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32])
def test_large_numbers_are_counted_anew_and_stay_apart(tmp_path: Path, dtype: type):
    path, last = tmp_path / "labels.tif", np.iinfo(dtype).max
    labels = np.array([[1 << 24, (1 << 24) + 1, 0], [7, last - 1, last]], dtype)
    tifffile.imwrite(path, labels)
    assert read_labels(path).tolist() == [[2, 3, 0], [1, 4, 5]]
    tifffile.imwrite(path, labels[1:])
    assert read_labels(path).tolist() == [[1, 2, 3]], "without background"


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((4, 4), np.float32),
        np.full((4, 4), -1, np.int32),
    ],
    ids=["colours", "floats", "negative"],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, write_picture, mask: np.ndarray):
    write_picture(tmp_path / "mask.tif", mask)
    with pytest.raises(DataSetError, match=r"mask\.tif.*expected a label map"):
        read_labels(tmp_path / "mask.tif")


@pytest.mark.parametrize("read", [read_labels, read_mask])
def test_a_mask_of_lossy_numbers_is_refused(tmp_path: Path, write_picture, read):
    mask = np.zeros((16, 16), np.uint8)
    mask[3:9, 3:9] = 255
    write_picture(tmp_path / "mask.jpg", mask)
    with pytest.raises(DataSetError, match=r"mask\.jpg is a JPEG.*expected a mask without loss"):
        read(tmp_path / "mask.jpg")


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_a_mask_of_which_zero_is_white_is_read_as_it_is_stored(tmp_path: Path, dtype: type):
    """tifffile writes an array of bool so, ImageJ a mask with an inverting table of colours."""
    mask, path = np.zeros((16, 19), dtype), tmp_path / "mask.tif"
    mask[2:5, 3:9] = True if dtype is bool else 255
    tifffile.imwrite(path, mask, photometric="miniswhite")
    np.testing.assert_array_equal(read_mask(path), mask > 0)
    np.testing.assert_array_equal(read_labels(path), (mask > 0) * 255)
    tifffile.imwrite(path, mask.astype(np.uint8) * 2, photometric="miniswhite")
    assert read_rgb(path)[0, 0].tolist() == [255, 255, 255], "an image is seen"


@pytest.mark.parametrize("read", [read_labels, read_mask])
def test_a_mask_that_is_a_stack_is_refused(tmp_path: Path, read):
    path, labels = tmp_path / "mask.tif", np.eye(16, dtype=np.uint16)
    tifffile.imwrite(path, np.stack([labels, labels * 2]), photometric="minisblack")
    with pytest.raises(DataSetError, match=r"mask\.tif holds 2 pictures, .*; expected one"):
        read(path)
    with tifffile.TiffWriter(path) as pyramid:
        pyramid.write(labels)
        pyramid.write(labels[::2, ::2])
    assert read(path).sum() == 16


def huge_png() -> bytes:
    """Return a PNG whose header promises 10^12 pixels."""
    header = struct.pack(">II5B", 1_000_000, 1_000_000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    body = struct.pack(">I", len(header)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", huge_png()])
@pytest.mark.parametrize("read", [read_rgb, read_labels])
def test_damaged_pictures_are_one_clear_line(tmp_path: Path, content: bytes, read):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DataSetError) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_tiff_of_two_widths_is_one_clear_line(tmp_path: Path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.tags["ImageWidth"].offset
    content = bytearray(path.read_bytes())
    content[place + 4] = 2  # values of the tag
    path.write_bytes(content)
    with pytest.raises(DataSetError, match="no picture"):
        read_rgb(path)


def test_a_missing_picture_and_a_folder_are_refused(tmp_path: Path):
    for path in (tmp_path / "absent.png", tmp_path):
        with pytest.raises(DataSetError, match="missing or no picture"):
            read_rgb(path)


def test_a_pair_must_be_of_one_size(tmp_path: Path, write_picture):
    write_picture(tmp_path / "image.png", np.zeros((4, 6, 3), np.uint8))
    write_picture(tmp_path / "mask.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(DataSetError, match=r"mask\.png is 6 x 4 px; expected 4 x 6 px"):
        read_pair(tmp_path / "image.png", tmp_path / "mask.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_orientation_tag_is_not_applied(tmp_path: Path, suffix: str):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :8] = 255
    for orientation in (3, 6):
        tag = Image.Exif()
        tag[0x0112] = orientation
        path = tmp_path / f"{orientation}.{suffix}"
        Image.fromarray(image).save(path, exif=tag)
        np.testing.assert_array_equal(read_rgb(path) > 127, image > 127)


@pytest.mark.parametrize("read", [read_rgb, read_labels])
def test_a_tiff_that_asks_to_be_turned_is_refused(tmp_path: Path, read):
    path = tmp_path / "x.tif"
    for orientation in (1, 3):
        tifffile.imwrite(
            path, np.eye(8, 12, dtype=np.uint8), extratags=[(274, 3, 1, orientation, True)]
        )
        if orientation == 1:
            assert read(path).shape[:2] == (8, 12)
    with pytest.raises(DataSetError, match=r"x\.tif has the orientation tag 3; expected 1"):
        read(path)


def test_a_picture_too_large_is_refused_by_its_header(tmp_path: Path, monkeypatch, write_picture):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    for suffix in ("png", "tif", "jpg", "bmp"):
        path = tmp_path / f"x.{suffix}"
        write_picture(path, np.zeros((10, 11), np.uint8))
        with pytest.raises(
            DataSetError, match=r"is 10 x 11 px; expected at most 100 px; cut it up"
        ):
            read_rgb(path)
        write_picture(path, np.zeros((10, 10), np.uint8))
        assert read_rgb(path).shape == (10, 10, 3)


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "bmp"])
def test_pictures_cut_anywhere_never_crash(tmp_path: Path, write_picture, suffix: str):
    path = tmp_path / f"x.{suffix}"
    write_picture(path, np.random.default_rng(0).integers(0, 9, (16, 16)).astype(np.uint8))
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        for read, dtype in ((read_rgb, np.uint8), (read_labels, np.int32)):
            with contextlib.suppress(DataSetError):
                assert read(path).dtype == dtype


def test_colours_in_a_mask_are_told_apart_from_other_faults(tmp_path: Path, write_picture):
    write_picture(tmp_path / "mask.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataSetError, match=r"labels stored as RGB\? 3 channels"):
        read_labels(tmp_path / "mask.png")


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_a_mask_is_whatever_is_not_zero_but_transparency(
    tmp_path: Path, write_picture, channels: int | None
):
    mask = np.zeros((4, 5) if channels is None else (4, 5, channels), np.uint8)
    mask[1, 2] = 255
    if channels == 4:
        mask[..., 0] = 255  # written in reverse: this is the transparency
        mask[1, 2] = 255
    write_picture(tmp_path / "mask.png", mask)
    read = read_mask(tmp_path / "mask.png")
    assert read.dtype == bool
    assert np.argwhere(read).tolist() == [[1, 2]]
