"""Which type a nucleus is of: what its pixels say together."""

import numpy as np
from numpy.typing import NDArray


def types_of(labels: NDArray[np.int32], probabilities: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the type of greatest mean probability of each nucleus.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32 label map, 1 .. n.
    probabilities : ndarray
        (K, H, W) float32 probability of each type.

    Returns
    -------
    ndarray
        (n + 1,) type by label, 0 .. K - 1; that of the background, label 0, says nothing.
    """
    inside = np.flatnonzero(labels != 0)
    number = labels.ravel()[inside]
    count = int(labels.max(initial=0)) + 1
    sums = [np.bincount(number, each.ravel()[inside], count) for each in probabilities]
    return np.argmax(sums, axis=0)
