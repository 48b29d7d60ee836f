"""One image scored: pixels and instances."""

import numpy as np
from numpy.typing import NDArray

from nuguide.evaluation import instances, pixels
from nuguide.evaluation.overlap import Labels, instances_of, overlap_of

DEFINITIONS: dict[str, str] = pixels.DEFINITIONS | instances.DEFINITIONS
"""What each score of one image is, by name. A table over images holds their plain mean."""


def score(
    truth: Labels, prediction: Labels, ignore: NDArray[np.generic] | None = None
) -> dict[str, float]:
    """Score a predicted label map against the true one.

    Parameters
    ----------
    truth, prediction : NDArray of integers
        (H, W), at the annotation's own resolution; 0 is background, every other number is one
        nucleus. Numbers need not be contiguous, nor agree between the two.
    ignore : NDArray, optional
        (H, W), nonzero where the annotation is ambiguous. Those pixels are not scored, and a
        nucleus with more than half of its area there may be matched but is never missed or false.

    Returns
    -------
    dict of str to float
        One value from 0 to 1 for every name in ``DEFINITIONS``.

    Raises
    ------
    InputError
        If a map is not (H, W) of integers from 0 up, the shapes differ, or no pixel is scored.

    Notes
    -----
    No nucleus in the truth and none predicted: every score is 1. Nuclei on one side only: every
    foreground and instance score is 0 (the macro and weighted scores still count background).

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2]])
    >>> score(truth, np.array([[7, 7, 0, 0]]))["dq"]
    0.6666666666666666
    """
    overlap = overlap_of(
        instances_of(truth, "truth"), instances_of(prediction, "prediction"), ignore
    )
    return pixels.pixel_scores(overlap) | instances.instance_scores(overlap)
