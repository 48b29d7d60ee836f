"""Validation beside the training: maps are made on the device, nuclei and scores by processes."""

from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed
from torch import nn

from nuguide.evaluation.score import score
from nuguide.guides.base import Guide
from nuguide.segmentation.decoding import Maps, Operations, divided
from nuguide.segmentation.predictor import run_network
from nuguide.training.gpu.tissue import ValidationImage

if TYPE_CHECKING:
    from nuguide.models.card import Decoding

SHOWN = ("dice_foreground", "aji", "pq")

Scores = dict[str, float]


def decode_there(maps: Maps, decoding: "Decoding") -> NDArray[np.int32]:
    """Divide a foreground into nuclei as ``decode`` does, without OpenCV and Numba.

    Notes
    -----
    SciPy's Gaussian is cut off elsewhere than OpenCV's, and its Euclidean distance is exact: scores
    differ from ``decode``'s in the third digit at most. What is published is scored where the
    model is taken back.
    """
    return divided(maps, decoding, Operations(_blurred, _depth, _highest, _flooded))


def _blurred(values: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(values, sigma_px, mode="mirror"), np.float32)


def _depth(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.asarray(ndimage.distance_transform_edt(mask), np.float32)


def _highest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ndimage.maximum_filter(values, 3, mode="nearest"), np.float32)


def _flooded(
    landscape: NDArray[np.float32], peaks: NDArray[np.int32], mask: NDArray[np.bool_]
) -> NDArray[np.int32]:
    return np.asarray(watershed(-landscape, peaks, mask=mask), np.int32)


def _scores(
    labels: NDArray[np.int32], ignore: NDArray[np.bool_] | None, maps: Maps, decoding: "Decoding"
) -> Scores:
    found = score(labels, decode_there(maps, decoding), ignore)
    return {name: found[name] for name in SHOWN}


class Scorer:
    """Scores networks on the images of validation, in processes of its own.

    Parameters
    ----------
    images : sequence of ValidationImage
        Shared by all runs.
    mpp : float
        um/px of the images.
    workers : int
        Processes; they begin anew, because a process that holds a GPU cannot be forked.
    """

    def __init__(self, images: Sequence[ValidationImage], mpp: float, workers: int):
        self.images, self.mpp = images, mpp
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
        for _ in range(workers):  # they import what they need while the device is made ready
            self._pool.submit(workers_for, workers)

    def start(
        self, network: nn.Module, guides: Sequence[Guide | None], decoding: "Decoding"
    ) -> list["Future[Scores]"]:
        """Make the maps of all images now and hand them out; one future an image."""
        was_training = network.training
        network.eval()
        futures = []
        for image, guide in zip(self.images, guides, strict=True):
            tile_px = getattr(network, "tile_px", None)
            maps = run_network(network, guide, image.rgb, self.mpp, tile_px=tile_px)
            futures.append(self._pool.submit(_scores, image.labels, image.ignore, maps, decoding))
        network.train(was_training)
        return futures

    def collect(self, futures: Sequence["Future[Scores]"]) -> list[dict[str, float | str]]:
        """Wait for the scores of all images; each with its ``name``."""
        return [
            {"name": image.name, **future.result()}
            for image, future in zip(self.images, futures, strict=True)
        ]

    def close(self) -> None:
        """End the processes, after what they are at."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def workers_for(cores: int) -> int:
    """Leave two cores to the training itself."""
    return max(1, min(8, cores - 2))


def mean_of(images: Sequence[dict[str, float | str]], name: str) -> float:
    """Return the mean of a score over the images."""
    return float(np.mean([float(image[name]) for image in images]))
