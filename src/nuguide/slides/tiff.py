"""TIFF files of one flat image, decoded by tifffile."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from nuguide.errors import InputError
from nuguide.slides.colour import Alpha, as_rgb
from nuguide.slides.decoded import Decoded, check_extent
from nuguide.slides.tiff_checks import (
    DAMAGE,
    check_coded_sizes,
    check_markup,
    check_segments,
    damaged,
    quiet,
)
from nuguide.slides.tiff_scale import told_power, told_scales

TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def decode_tiff(path: Path) -> Decoded:
    """Decode a TIFF that holds one flat image; of a pyramid, its largest level.

    Raises
    ------
    InputError
        If it is damaged, truncated, a stack, of more than 4 channels, in a colour space other
        than grey, palette or RGB, too small or too large.
    """
    try:
        with quiet(), tifffile.TiffFile(path, _multifile=False) as tiff:
            check_markup(tiff)
            series = _only_image(tiff, path.name)
            samples = _samples_last(series, path.name)
            page = series.keyframe
            rgb = as_rgb(as_shown(samples, page, path.name), path.name, alpha_of(page))
            scale = next(iter(told_scales(tiff, page)), None)
            return Decoded(rgb, scale, told_power(tiff, page))
    except DAMAGE as fault:
        raise damaged(path.name, fault) from fault


def _only_image(tiff: tifffile.TiffFile, name: str) -> Any:
    # Reduced copies (thumbnails, levels of a pyramid) are the same image over again.
    images = [one for one in tiff.series if not one.keyframe.is_reduced]
    if len(images) != 1:
        raise InputError(
            f"{name} holds {len(images)} images of different kinds; expected one; "
            "save the one you mean as its own TIFF"
        )
    return images[0]


def _samples_last(series: Any, name: str) -> NDArray[Any]:
    """Read the image as (H, W, C)."""
    extent, channels = flat_extent(series, name)
    check_extent(extent["Y"], extent["X"], name)
    check_segments(series.keyframe, name)
    for page in series.pages:
        check_coded_sizes(page)
    samples = np.asarray(series.asarray())
    order = [series.axes.index(axis) for axis in "YX"]
    rest = [axis for axis in range(samples.ndim) if axis not in order]
    return samples.transpose(*order, *rest).reshape(extent["Y"], extent["X"], channels)


def flat_extent(series: Any, name: str) -> tuple[dict[str, int], int]:
    """Return the length of each axis, and the number of samples a pixel, after refusing stacks."""
    extent = dict(zip(series.axes, series.shape, strict=True))
    stacked = {axis: n for axis, n in extent.items() if axis not in "YXSC" and n > 1}
    if stacked or "Y" not in extent or "X" not in extent:
        size = " x ".join(map(str, series.shape))
        raise InputError(
            f"{name} is a stack ({size}, axes {series.axes}): several pages, focal planes or time "
            "points; expected one flat image; save the page you mean as its own TIFF"
        )
    channels = extent.get("S", 1) * extent.get("C", 1)
    # Two or four planes on a channel axis are stains of fluorescence, not RGB with opacity.
    if channels not in (1, 3) and not (extent.get("C", 1) == 1 and channels in (2, 4)):
        raise InputError(
            f"{name} has {channels} channels; expected grey, RGB or RGB with alpha; "
            "export it as RGB"
        )
    return extent, channels


def as_shown(samples: NDArray[Any], page: Any, name: str) -> NDArray[Any]:
    """Turn stored samples into grey or RGB as the file says they are to be shown."""
    photometric = tifffile.PHOTOMETRIC(page.photometric)
    if photometric is tifffile.PHOTOMETRIC.PALETTE:
        # (3, 2**bits) of 16 bits each, of which the low byte carries nothing for 8-bit output.
        palette = (np.asarray(page.colormap) >> 8).astype(np.uint8)
        return palette[:, samples[..., 0]].transpose(1, 2, 0)
    if photometric is tifffile.PHOTOMETRIC.MINISWHITE:
        if samples.dtype == np.bool_:
            return ~samples
        if np.issubdtype(samples.dtype, np.unsignedinteger):
            turned = np.asarray((1 << page.bitspersample) - 1 - samples).astype(samples.dtype)
            return _full_range(turned, page)
    jpeg = page.compression in (tifffile.COMPRESSION.JPEG, tifffile.COMPRESSION.OJPEG)
    shown = {
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.MINISWHITE,
    }
    # JPEG inside TIFF is YCbCr that the codec has already turned into RGB.
    if photometric not in shown and not (photometric is tifffile.PHOTOMETRIC.YCBCR and jpeg):
        raise InputError(
            f"{name} is a TIFF in {photometric.name}; expected grey, palette or RGB; "
            "convert it to RGB"
        )
    return _full_range(samples, page)


def _full_range(samples: NDArray[Any], page: Any) -> NDArray[Any]:
    """Spread 2- or 4-bit grey, which arrives in the low bits of a byte, over the byte."""
    if samples.dtype == np.uint8 and page.bitspersample < 8:
        return samples * np.uint8(255 // ((1 << page.bitspersample) - 1))
    return samples


def alpha_of(page: Any) -> Alpha:
    """Return what a page says of a last sample beside grey or RGB."""
    extra = page.extrasamples
    if not extra or extra[0] == tifffile.EXTRASAMPLE.UNSPECIFIED:
        return "none"
    return "premultiplied" if extra[0] == tifffile.EXTRASAMPLE.ASSOCALPHA else "straight"
