"""Two label maps laid over each other: the one contingency table that every score is read from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nuguide.errors import InputError

Labels = NDArray[np.integer]
"""(H, W) instance map: 0 is background, every other number is one nucleus."""


@dataclass(frozen=True)
class Instances:
    """A label map with its nuclei numbered 1 to N without gaps.

    Attributes
    ----------
    index : NDArray[int64]
        (H, W); 0 is background.
    area : NDArray[int64]
        (N,) pixels of each nucleus, over the whole map.
    """

    index: NDArray[np.int64]
    area: NDArray[np.int64]


@dataclass(frozen=True)
class Overlap:
    """What a truth and a prediction share. Nuclei count from 0 here; pixels are scored pixels.

    Attributes
    ----------
    n_pixels, truth_pixels, prediction_pixels, shared_pixels : int
        Pixels that are scored; of these, nucleus pixels of the truth, of the prediction, of both.
    truth_area, prediction_area : NDArray[int64]
        (T,) and (P,) scored pixels of each nucleus.
    truth_optional, prediction_optional : NDArray[bool]
        (T,) and (P,): nuclei that lie mostly under the ignore mask. They may be matched; left
        alone, they are neither missed nor false.
    truth_of, prediction_of, intersection, iou : NDArray
        (K,) one entry per pair of nuclei that share a pixel, sorted by truth, then prediction.
    """

    n_pixels: int
    truth_pixels: int
    prediction_pixels: int
    shared_pixels: int
    truth_area: NDArray[np.int64]
    prediction_area: NDArray[np.int64]
    truth_optional: NDArray[np.bool_]
    prediction_optional: NDArray[np.bool_]
    truth_of: NDArray[np.int64]
    prediction_of: NDArray[np.int64]
    intersection: NDArray[np.int64]
    iou: NDArray[np.float64]

    @property
    def union(self) -> NDArray[np.int64]:
        """(K,) pixels that either nucleus of a pair covers."""
        areas = self.truth_area[self.truth_of] + self.prediction_area[self.prediction_of]
        return areas - self.intersection

    @property
    def nothing_to_find(self) -> bool:
        """Whether neither side holds a nucleus that must be matched, and no two overlap."""
        return bool(
            self.truth_optional.all()
            and self.prediction_optional.all()
            and self.intersection.size == 0
        )


def instances_of(labels: Labels, name: str = "labels") -> Instances:
    """Number the nuclei of a label map 1 to N.

    Parameters
    ----------
    labels : NDArray of integers
        (H, W); 0 is background, numbers may have gaps.
    name : str
        What the map is, for the error message.

    Raises
    ------
    InputError
        If the map is not two-dimensional, not of integers, empty, or holds a negative number.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{name} is {labels.dtype} of shape {labels.shape}; expected a non-empty (H, W) map of "
            "integers, 0 for background and one number a nucleus; label a mask first "
            "(skimage.measure.label)"
        )
    if labels.min() < 0:
        raise InputError(
            f"{name} holds {labels.min()}; expected numbers from 0 up; "
            "use 0 for background and one positive number a nucleus"
        )
    flat = labels.reshape(-1)
    if int(flat.max()) <= flat.size:
        counts = np.bincount(flat.astype(np.int64, copy=False))
        present = np.flatnonzero(counts[1:]) + 1
        number = np.zeros(len(counts), np.int64)
        number[present] = np.arange(1, len(present) + 1)
        return Instances(number[labels], counts[present])
    # Numbers far larger than the map: sort the nucleus pixels instead of counting up to them.
    index = np.zeros(flat.shape, np.int64)
    inside = flat > 0
    _, inverse, area = np.unique(flat[inside], return_inverse=True, return_counts=True)
    index[inside] = inverse + 1
    return Instances(index.reshape(labels.shape), area.astype(np.int64))


def overlap_of(
    truth: Instances, prediction: Instances, ignore: NDArray[np.generic] | None = None
) -> Overlap:
    """Lay a prediction over the truth.

    Parameters
    ----------
    truth, prediction : Instances
        Of equal (H, W).
    ignore : NDArray, optional
        (H, W), nonzero where the truth is ambiguous. Those pixels are not scored; a nucleus with
        more than half of its area there is optional (the rule of the panoptic quality's void
        regions: Kirillov et al., CVPR 2019, section 4.1).

    Raises
    ------
    InputError
        If the shapes differ or no pixel is left to score.
    """
    _check_shapes(truth, prediction, ignore)
    true, guess = truth.index.reshape(-1), prediction.index.reshape(-1)
    if ignore is not None:
        scored = ~np.asarray(ignore).reshape(-1).astype(np.bool_)
        true, guess = true[scored], guess[scored]
        if true.size == 0:
            raise InputError(
                "the ignore mask covers every pixel; expected some to score; leave this image out"
            )
    n_truth, n_prediction = len(truth.area), len(prediction.area)
    truth_counts = np.bincount(true, minlength=n_truth + 1)
    prediction_counts = np.bincount(guess, minlength=n_prediction + 1)
    both = (true > 0) & (guess > 0)
    pairs = (true[both] - 1) * n_prediction + guess[both] - 1
    pair, intersection = np.unique(pairs, return_counts=True)
    truth_of, prediction_of = np.divmod(pair, max(n_prediction, 1))
    truth_area, prediction_area = truth_counts[1:], prediction_counts[1:]
    union = truth_area[truth_of] + prediction_area[prediction_of] - intersection
    return Overlap(
        n_pixels=true.size,
        truth_pixels=true.size - int(truth_counts[0]),
        prediction_pixels=guess.size - int(prediction_counts[0]),
        shared_pixels=int(pairs.size),
        truth_area=truth_area,
        prediction_area=prediction_area,
        truth_optional=2 * truth_area < truth.area,
        prediction_optional=2 * prediction_area < prediction.area,
        truth_of=truth_of,
        prediction_of=prediction_of,
        intersection=intersection.astype(np.int64),
        iou=intersection / union,
    )


def _check_shapes(
    truth: Instances, prediction: Instances, ignore: NDArray[np.generic] | None
) -> None:
    """Raise ``InputError`` unless everything has the truth's shape."""
    shape = truth.index.shape
    others = {"prediction": prediction.index.shape}
    if ignore is not None:
        others["ignore mask"] = np.shape(ignore)
    for name, got in others.items():
        if got != shape:
            raise InputError(
                f"the {name} is of shape {got}; expected the truth's, {shape}; "
                "bring both to the annotation's own resolution"
            )
