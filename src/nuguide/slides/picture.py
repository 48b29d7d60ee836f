"""PNG and JPEG files, decoded by Pillow (16-bit PNG by imagecodecs, which keeps all its bits)."""

import struct
from io import BytesIO

import imagecodecs
import numpy as np
from PIL import JpegImagePlugin, PngImagePlugin
from PIL.Image import Image

from nuguide.errors import InputError
from nuguide.slides.colour import as_rgb
from nuguide.slides.decoded import Decoded, check_extent
from nuguide.slides.scale import Scale, plausible_scale

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"

# What Pillow and imagecodecs raise on damaged files; Pillow reports a broken header as SyntaxError.
_DAMAGE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, IndexError, struct.error)
_UM_PER_INCH = 25400.0


def decode_png(data: bytes, name: str) -> Decoded:
    """Decode a PNG of any colour type; transparency is laid over white.

    Raises
    ------
    InputError
        If it is damaged, truncated, animated, too small or too large.
    """
    try:
        # The plug-in itself: Image.open would apply Pillow's own pixel limit, below ours.
        image = PngImagePlugin.PngImageFile(BytesIO(data))
        check_extent(image.height, image.width, name)
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(
                f"{name} is an animation of {image.n_frames} frames; expected one image; "
                "save the frame you mean as its own PNG"
            )
        # The bit depth is the first byte after signature, chunk header and the two sides.
        if data[24] == 16:
            image.verify()
            samples = np.asarray(imagecodecs.png_decode(data))
        else:
            image.load()
            transparent = "transparency" in image.info or image.mode in ("LA", "PA", "RGBA")
            samples = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    except _DAMAGE as fault:
        raise _damaged(name, "PNG", fault) from fault
    return Decoded(as_rgb(samples, name), _dots_per_inch(image, "PNG pHYs"))


def decode_jpeg(data: bytes, name: str) -> Decoded:
    """Decode a grey or colour JPEG.

    Raises
    ------
    InputError
        If it is damaged, truncated, CMYK, too small or too large.
    """
    try:
        image = JpegImagePlugin.JpegImageFile(BytesIO(data))
        check_extent(image.height, image.width, name)
        if image.mode not in ("L", "RGB"):
            raise InputError(
                f"{name} is a JPEG in {image.mode}, a colour space of printing; expected RGB or "
                "grey; convert it to RGB"
            )
        image.load()
        samples = np.asarray(image)
    except _DAMAGE as fault:
        raise _damaged(name, "JPEG", fault) from fault
    return Decoded(as_rgb(samples, name), _dots_per_inch(image, "JPEG density"))


def _dots_per_inch(image: Image, source: str) -> Scale | None:
    dpi = image.info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2 or not all(dpi):
        return None
    return plausible_scale(_UM_PER_INCH / float(dpi[0]), _UM_PER_INCH / float(dpi[1]), source)


def _damaged(name: str, kind: str, fault: BaseException) -> InputError:
    reason = " ".join(str(fault).split()) or type(fault).__name__
    return InputError(
        f"{name} cannot be decoded ({reason}); expected a whole {kind} file; "
        "copy or export it again"
    )
