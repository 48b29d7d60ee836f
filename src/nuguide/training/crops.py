"""Batches of augmented crops with targets and, where asked for, a guide's tokens."""

from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from nuguide.datasets.base import Sample
from nuguide.guides.student import TOKEN_PX
from nuguide.training.augmentation import Coordinates, Rgb, augmented_crop, ignored_at, types_at
from nuguide.training.recipe_parts import Augmentation, ReleasedAugmentation
from nuguide.training.released_augmentation import released_crop
from nuguide.training.targets import make_targets

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TokenMap:
    """A guide's tokens of a whole training image.

    Attributes
    ----------
    values : Tensor
        (256, h, w) float16.
    token_um : float
        Side of a token, um.
    """

    values: Tensor
    token_um: float

    def at(self, coordinates: Coordinates, mpp: float) -> Tensor:
        """Read the tokens of a crop by bilinear interpolation.

        Parameters
        ----------
        coordinates : ndarray
            (2n, 2n, 2) as ``crop_coordinates`` gives them.
        mpp : float
            um/px of the image the coordinates are in.

        Returns
        -------
        Tensor
            (256, n / 4, n / 4) float32; the map is mirrored at its edges, as the image is.

        Notes
        -----
        An approximation: the encoder would not see quite the same in the turned, enlarged or
        recoloured crop.
        """
        side = coordinates.shape[0] // (2 * TOKEN_PX)
        centres = cv2.resize(coordinates, (side, side), interpolation=cv2.INTER_AREA)
        height, width = self.values.shape[1:]
        extent = np.array([height, width], np.float32) * self.token_um
        unit = (centres + 0.5) * mpp / extent * 2 - 1  # (y, x) in -1..1 over the map's extent
        grid = torch.from_numpy(unit[..., ::-1].copy())[None]
        values = self.values[None].float()
        return F.grid_sample(values, grid, padding_mode="reflection", align_corners=False)[0]


class Crops(Dataset[Batch]):
    """The crops of one epoch; crop i of epoch e is the same in every run of a seed.

    Parameters
    ----------
    samples : sequence of Sample
        What crops are drawn from, each image as often as another: by chance, or, whole, each once
        before any is seen again.
    tokens : sequence of TokenMap or None
        A guide's tokens of each sample.
    mpp, size, augmentation
        See ``augmented_crop``; of a ``ReleasedAugmentation``, ``released_crop``.
    targets : collection of str
        What is made of the annotation beside ``nuclei``; see ``make_targets`` and ``types_at``.
    seed, epoch, length : int
        ``length`` crops, drawn with the generator of (seed, epoch, index).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        tokens: Sequence[TokenMap] | None,
        *,
        mpp: float,
        size: int,
        augmentation: Augmentation | ReleasedAugmentation,
        targets: Collection[str],
        seed: int,
        epoch: int,
        length: int,
    ):
        self.samples, self.tokens = samples, tokens
        self.mpp, self.size, self.augmentation = mpp, size, augmentation
        self.targets = targets
        self.seed, self.epoch, self.length = seed, epoch, length
        # The published training knows no ambiguous areas.
        self.partial = isinstance(augmentation, Augmentation) and any(
            sample.ignore is not None for sample in samples
        )

    def __len__(self) -> int:
        return self.length

    def in_epoch(self, epoch: int) -> "Crops":
        """Return the crops of another epoch."""
        other = copy(self)
        other.epoch = epoch
        return other

    def __getitem__(self, index: int) -> Batch:
        """Return crop ``index``.

        Returns
        -------
        dict of Tensor
            ``image`` (3, n, n) float32 RGB in 0..1; ``nuclei`` (n, n) int64, 1 in a nucleus, 0
            elsewhere; the ``targets``, of which ``types`` is (n, n) int64; where any sample has
            ambiguous areas, ``ignore`` (n, n) bool; where a guide's are given, ``tokens``
            (256, n / 4, n / 4) float32.
        """
        random = np.random.default_rng((self.seed, self.epoch, index))
        which, (image, labels, coordinates) = self._drawn(index, random)
        item = {
            "image": as_input(image),
            "nuclei": torch.from_numpy((labels > 0).astype(np.int64)),
        }
        for name, target in make_targets(labels, self.mpp, self.targets).items():
            item[name] = torch.from_numpy(target)
        if "types" in self.targets:
            item["types"] = torch.from_numpy(types_at(self.samples[which], coordinates))
        if self.partial:
            item["ignore"] = torch.from_numpy(ignored_at(self.samples[which], coordinates))
        if self.tokens is not None:
            item["tokens"] = self.tokens[which].at(coordinates, self.samples[which].mpp)
        return item

    def _drawn(
        self, index: int, random: np.random.Generator
    ) -> tuple[int, tuple[Rgb, NDArray[np.int32], Coordinates]]:
        """Choose a sample, and draw a view of it."""
        count = len(self.samples)
        if isinstance(self.augmentation, ReleasedAugmentation):
            turn, place = divmod(index, count)
            order = np.random.default_rng((self.seed, self.epoch, self.length + turn))
            which = int(order.permutation(count)[place])
            return which, released_crop(self.samples[which], self.augmentation, random)
        which = int(random.integers(count))
        sample = self.samples[which]
        return which, augmented_crop(sample, self.mpp, self.size, self.augmentation, random)


Place = tuple[int, int]
"""An epoch and the index of a crop in it."""


class _EveryEpoch(Dataset[Batch]):
    """The crops of all epochs by their places, so that who makes them may outlive an epoch."""

    def __init__(self, crops: Crops):
        self.crops = crops

    def __getitem__(self, place: Place) -> Batch:
        epoch, index = place
        return self.crops.in_epoch(epoch)[index]


class _Places(Sampler[Place]):
    """The places of some crops in the epoch that is under way when they are asked for."""

    def __init__(self, epoch: Callable[[], int], indices: range):
        self.epoch, self.indices = epoch, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[Place]:
        epoch = self.epoch()
        return ((epoch, index) for index in self.indices)


def batches(
    crops: Crops, epoch: Callable[[], int], indices: range, batch: int, workers: int
) -> DataLoader[Batch]:
    """Return a loader that is gone through once an epoch.

    Parameters
    ----------
    crops : Crops
        Of any epoch.
    epoch : callable
        Tells the epoch that is under way.
    indices : range
        Crops of each epoch to load, in their order.
    batch : int
        Crops a batch.
    workers : int
        Processes that make them, with equal results, ahead of time; 0: this one does.
    """
    return DataLoader(
        _EveryEpoch(crops),
        batch_size=batch,
        sampler=_Places(epoch, indices),
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_alone,
        # Of its own: asking for batches shall not move the one that dropout draws from.
        generator=torch.Generator(),
    )


def _alone(_: int) -> None:
    # A worker is one of many, and the threads of the process that it was forked from are not there.
    cv2.setNumThreads(0)


def as_input(rgb: NDArray[np.uint8]) -> Tensor:
    """Turn (H, W, 3) uint8 into (3, H, W) float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).movedim(-1, 0).float() / 255
