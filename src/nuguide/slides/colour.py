"""Samples of any kind to the one form the network and the guide read: RGB uint8."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError

Alpha = Literal["none", "straight", "premultiplied"]
"""What a last sample beside grey or RGB means; "none": it is not opacity and is left out."""

TWELVE_BITS = 4096


def as_rgb(
    samples: NDArray[Any],
    name: str,
    alpha: Alpha = "straight",
    twelve_bits: bool | None = None,
) -> NDArray[np.uint8]:
    """Bring decoded samples to RGB uint8.

    Parameters
    ----------
    samples : ndarray
        (H, W) or (H, W, C) with C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha);
        bool, uint8, uint16 or float.
    name : str
        What the image is called in error messages.
    alpha : {"none", "straight", "premultiplied"}
        Meaning of the last of 2 or 4 samples. Opacity is laid over white, the colour of an empty
        slide.
    twelve_bits : bool or None
        Whether 16-bit samples hold 12 bits; None: as the samples tell, see Notes. A piece of an
        image must be told.

    Returns
    -------
    ndarray
        (H, W, 3) uint8, C-contiguous.

    Raises
    ------
    InputError
        If the number of channels or the kind of number cannot be an RGB or grey image.

    Notes
    -----
    16-bit samples are scaled by 65535, or by 4095 if no sample reaches 4096 (a 12-bit camera in
    16-bit words); the range is never stretched to the content. Floats must lie within 0..1.
    """
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.ndim != 3 or not 1 <= samples.shape[-1] <= 4:
        raise InputError(
            f"{name} has samples of shape {samples.shape}; expected (height, width) or "
            "(height, width, channels) with 1 to 4 channels; save it as one flat RGB image"
        )
    eight_bit = _as_uint8(samples, name, twelve_bits)
    channels = eight_bit.shape[-1]
    if channels in (2, 4):
        colour = eight_bit[..., : channels - 1]
        eight_bit = colour if alpha == "none" else _over_white(colour, eight_bit[..., -1:], alpha)
    if eight_bit.shape[-1] == 1:
        eight_bit = np.repeat(eight_bit, 3, axis=-1)
    return np.ascontiguousarray(eight_bit)


def _as_uint8(samples: NDArray[Any], name: str, twelve_bits: bool | None) -> NDArray[np.uint8]:
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255)
    if samples.dtype == np.uint16:
        if twelve_bits is None:
            twelve_bits = bool(samples.max(initial=0) < TWELVE_BITS)
        full = TWELVE_BITS - 1 if twelve_bits else 65535
        # One table instead of a float copy of the image, which would take four times its memory.
        table = np.round(np.arange(65536) * (255.0 / full)).clip(0, 255).astype(np.uint8)
        return table[samples]
    if np.issubdtype(samples.dtype, np.floating):
        low, high = samples.min(initial=0.0), samples.max(initial=0.0)
        if not (low >= 0.0 and high <= 1.0):  # also true of NaN
            raise InputError(
                f"{name} holds floating-point samples from {low:g} to {high:g}; expected 0 to 1; "
                "save it as 8-bit RGB"
            )
        return np.round(samples * 255.0).astype(np.uint8)
    raise InputError(
        f"{name} holds {samples.dtype} samples; expected 1, 8 or 16 bits without sign, or "
        "floating point from 0 to 1; save it as 8-bit RGB"
    )


def _over_white(
    colour: NDArray[np.uint8], opacity: NDArray[np.uint8], alpha: Alpha
) -> NDArray[np.uint8]:
    if opacity.min(initial=255) == 255:
        return colour
    share = opacity.astype(np.float32) / 255.0
    own = colour.astype(np.float32) * (share if alpha == "straight" else 1.0)
    return np.round(own + 255.0 * (1.0 - share)).clip(0, 255).astype(np.uint8)
