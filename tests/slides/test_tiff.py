from pathlib import Path

import numpy as np
import pytest
import tifffile

from nuguide.errors import InputError
from nuguide.slides.tiff import decode_tiff

TISSUE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def written(folder: Path, samples: np.ndarray, **options: object) -> Path:
    path = folder / "t.tif"
    tifffile.imwrite(path, samples, **options)
    return path


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_rgb_is_read_as_stored(tmp_path: Path, compression: str | None, tile: object) -> None:
    path = written(tmp_path, TISSUE, photometric="rgb", compression=compression, tile=tile)
    assert (decode_tiff(path).rgb == TISSUE).all()


def test_raw_strips_are_read_as_stored(tmp_path: Path) -> None:
    path = written(tmp_path, TISSUE, photometric="rgb", rowsperstrip=5)
    assert (decode_tiff(path).rgb == TISSUE).all()


def test_missing_tiles_are_not_filled_with_black(tmp_path: Path) -> None:
    path = written(tmp_path, TISSUE, photometric="rgb", compression="zlib", tile=(16, 16))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["ImageWidth"].overwrite(400)
        tiff.pages[0].tags["ImageDescription"].overwrite("")
    with pytest.raises(InputError, match="6 of its 50 strips or tiles"):
        decode_tiff(path)


def test_planes_are_brought_together(tmp_path: Path) -> None:
    planes = np.ascontiguousarray(TISSUE.transpose(2, 0, 1))
    path = written(tmp_path, planes, photometric="rgb", planarconfig="separate")
    assert (decode_tiff(path).rgb == TISSUE).all()


def test_grey_one_bit_and_inverted(tmp_path: Path) -> None:
    grey = TISSUE[..., 0]
    assert (decode_tiff(written(tmp_path, grey)).rgb[..., 1] == grey).all()
    bits = grey > 100
    bilevel = decode_tiff(written(tmp_path, bits, photometric="minisblack")).rgb
    assert (bilevel[..., 0] == bits * 255).all()
    faxed = decode_tiff(written(tmp_path, bits, photometric="miniswhite")).rgb
    assert (faxed[..., 0] == ~bits * np.uint8(255)).all()
    inverted = decode_tiff(written(tmp_path, grey, photometric="miniswhite")).rgb
    assert (inverted[..., 0] == 255 - grey).all()


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_few_bits_reach_from_black_to_white(tmp_path: Path, bits: int, photometric: str) -> None:
    levels = np.tile(np.arange(1 << bits, dtype=np.uint8), (16, 4))
    rgb = decode_tiff(written(tmp_path, levels, photometric=photometric, bitspersample=bits)).rgb
    shown = levels * (255 // levels.max())
    assert (rgb[..., 0] == (shown if photometric == "minisblack" else 255 - shown)).all()


def test_palette_is_looked_up(tmp_path: Path) -> None:
    index = TISSUE[..., 0] % 4
    colours = np.zeros((3, 256), np.uint16)
    colours[:, :4] = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]) * 257
    rgb = decode_tiff(written(tmp_path, index, photometric="palette", colormap=colours)).rgb
    assert (rgb == (colours[:, index] // 257).transpose(1, 2, 0)).all()


def test_alpha_counts_only_where_it_is_declared(tmp_path: Path) -> None:
    samples = np.full((16, 16, 4), 0, np.uint8)
    alpha = written(tmp_path, samples, photometric="rgb", extrasamples=["unassalpha"])
    assert (decode_tiff(alpha).rgb == 255).all()
    other = written(tmp_path, samples, photometric="rgb", extrasamples=["unspecified"])
    assert (decode_tiff(other).rgb == 0).all()


def test_sixteen_bits(tmp_path: Path) -> None:
    deep = TISSUE.astype(np.uint16) * 257
    assert (decode_tiff(written(tmp_path, deep, photometric="rgb")).rgb == TISSUE).all()


def test_scale_from_resolution_tags(tmp_path: Path) -> None:
    def scale(per_unit: float, unit: str) -> object:
        options = {"resolution": (per_unit, per_unit), "resolutionunit": unit}
        return decode_tiff(written(tmp_path, TISSUE, photometric="rgb", **options)).scale

    centimetre = scale(40_000, "CENTIMETER")
    assert centimetre is not None
    assert centimetre.mpp == pytest.approx(0.25)
    assert centimetre.source == "TIFF resolution tags"
    inch = scale(25_400 / 0.263, "INCH")
    assert inch is not None
    assert inch.mpp == pytest.approx(0.263, rel=1e-4)
    assert scale(300, "INCH") is None
    assert scale(4, "NONE") is None


def test_scale_from_imagej_and_ome(tmp_path: Path) -> None:
    grey = TISSUE[..., 0]
    imagej = written(tmp_path, grey, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert decode_tiff(imagej).scale.mpp == pytest.approx(0.25)
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "axes": "YXS"}
    ome = decode_tiff(written(tmp_path, TISSUE, ome=True, photometric="rgb", metadata=size))
    assert ome.scale.mpp == 0.5
    assert ome.scale.source == "OME metadata"
    assert (ome.rgb == TISSUE).all()
    in_nanometres = {**size, "PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    in_nanometres |= {"PhysicalSizeX": 250.0, "PhysicalSizeY": 250.0}
    path = written(tmp_path, TISSUE, ome=True, photometric="rgb", metadata=in_nanometres)
    assert decode_tiff(path).scale.mpp == pytest.approx(0.25)


def test_largest_level_of_a_pyramid_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(TISSUE, photometric="rgb", subifds=1)
        tiff.write(TISSUE[::2, ::2], photometric="rgb", subfiletype=1)
    assert (decode_tiff(path).rgb == TISSUE).all()


def test_stacks_and_many_channels_are_refused_with_the_reason(tmp_path: Path) -> None:
    pages = np.stack([TISSUE, TISSUE])
    with pytest.raises(InputError, match=r"stack \(2 x 24 x 40 x 3"):
        decode_tiff(written(tmp_path, pages, photometric="rgb"))
    stains = np.zeros((16, 16, 7), np.uint8)
    many = written(tmp_path, stains, photometric="minisblack", planarconfig="contig")
    with pytest.raises(InputError, match="7 channels"):
        decode_tiff(many)
    two = tmp_path / "two.tif"
    with tifffile.TiffWriter(two) as tiff:
        tiff.write(TISSUE, photometric="rgb")
        tiff.write(np.zeros((50, 50), np.uint8))
    with pytest.raises(InputError, match="2 images"):
        decode_tiff(two)
    cmyk = written(tmp_path, np.zeros((16, 16, 4), np.uint8), photometric="separated")
    with pytest.raises(InputError, match="SEPARATED"):
        decode_tiff(cmyk)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated_file_is_refused(tmp_path: Path, compression: str | None) -> None:
    path = written(tmp_path, TISSUE, photometric="rgb", compression=compression)
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.7, 0.97):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match="expected"):
            decode_tiff(path)


def test_flipped_bytes_give_an_image_or_one_quiet_input_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, TISSUE, photometric="rgb", compression="zlib", tile=(16, 16))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(4, 400, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            decode_tiff(path)
        except InputError:
            refused += 1
    assert refused > 0
    assert capfd.readouterr().err == ""
