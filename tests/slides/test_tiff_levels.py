from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from fixtures.slides import shrunk, write_tiled_tiff
from nuguide.errors import InputError
from nuguide.slides.reader import open_slide


def seen(path: Path) -> NDArray[np.uint8]:
    with open_slide(path, 0.25) as slide:
        assert slide.streams
        return slide.read(0, 0, *slide.shape, 0.25)


@pytest.mark.parametrize("top", [4095, 65535])
def test_all_tiles_share_one_range_of_sixteen_bits(
    tmp_path: Path, tissue: NDArray[np.uint8], top: int
) -> None:
    rgb = tissue[:300, :600].copy()
    rgb[:, 300:] //= 40  # a dark half, which alone would look like 12 bits
    deep = (rgb.astype(np.uint32) * top // 255).astype(np.uint16)
    path = tmp_path / "deep.tif"
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 2):
            tiff.write(
                deep[::step, ::step],
                photometric="rgb",
                tile=(128, 128),
                subfiletype=int(step > 1),
                metadata=None,
            )
    assert np.abs(seen(path).astype(int) - rgb).max() <= 1


def test_planes_stored_apart_are_brought_together(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    rgb = tissue[:300, :400]
    path = tmp_path / "planes.tif"
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 2):
            tiff.write(
                rgb[::step, ::step].transpose(2, 0, 1),
                photometric="rgb",
                planarconfig="separate",
                tile=(128, 128),
                subfiletype=int(step > 1),
                metadata=None,
            )
    assert (seen(path) == rgb).all()


def test_labels_and_thumbnails_are_passed_over_and_equals_refused(
    tmp_path: Path, tissue: NDArray[np.uint8]
) -> None:
    rgb = tissue[:400, :700]
    path = write_tiled_tiff(tmp_path / "t.tif", rgb, compression="zlib")
    tifffile.imwrite(path, shrunk(rgb, 8)[:, :40], append=True, photometric="rgb", metadata=None)
    assert (seen(path) == rgb).all()
    tifffile.imwrite(path, rgb[:, :600], append=True, photometric="rgb", metadata=None)
    with pytest.raises(InputError, match="images of different kinds"):
        open_slide(path, 0.25)
