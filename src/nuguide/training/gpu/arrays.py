"""Pictures and maps made small without loss, by what every Python has."""

import lzma

import numpy as np
from numpy.typing import NDArray

Unsigned = NDArray[np.uint8] | NDArray[np.uint16]


def squeezed(array: Unsigned) -> NDArray[np.uint8]:
    """Compress (H, W) or (H, W, 3), uint8 or uint16, without loss.

    Each pixel is told from its left, upper and upper left neighbours, red and blue from green;
    what is left goes through LZMA. On tissue the result is smaller than PNG's.

    Returns
    -------
    ndarray
        (n,) uint8.
    """
    planes = _planes(array)
    left, upper = np.zeros_like(planes), np.zeros_like(planes)
    left[..., 1:] = planes[..., :-1]
    rest = planes - left  # unsigned numbers wrap around, and back
    upper[:, 1:] = rest[:, :-1]
    return np.frombuffer(lzma.compress((rest - upper).tobytes()), np.uint8)


def restored(data: NDArray[np.uint8], shape: tuple[int, ...], dtype: str) -> Unsigned:
    """Undo ``squeezed``.

    Raises
    ------
    ValueError, lzma.LZMAError
        If ``data`` are not those of such an array.
    """
    height, width = shape[:2]
    count = shape[2] if len(shape) > 2 else 1
    rest = np.frombuffer(lzma.decompress(data.tobytes()), dtype).reshape(count, height, width)
    planes = np.cumsum(np.cumsum(rest, 1, dtype), 2, dtype)
    if count == 3:
        planes[1:] += planes[0]
        planes = planes[[1, 0, 2]]
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1).reshape(shape))


def coarsened(image: NDArray[np.uint8], max_error: int) -> NDArray[np.uint8]:
    """Number the steps of 2 ``max_error`` + 1 grey levels that values lie in: what squeezes better.

    Returns
    -------
    ndarray
        Of the shape of ``image``; ``refined`` gives values back that are at most ``max_error`` off.
    """
    step = 2 * max_error + 1
    return ((image.astype(np.uint16) + max_error) // step).astype(np.uint8)


def refined(steps: Unsigned, max_error: int) -> Unsigned:
    """Undo ``coarsened``, as nearly as can be."""
    if not max_error:
        return steps
    return np.minimum(steps.astype(np.uint16) * (2 * max_error + 1), 255).astype(np.uint8)


def _planes(array: Unsigned) -> Unsigned:
    if array.ndim == 2:
        return array[None]
    red, green, blue = np.moveaxis(array, -1, 0)
    return np.stack([green, red - green, blue - green])
