import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.datasets.resampling import resampled


def test_the_scale_changes_size_and_keeps_the_rest():
    labels = np.zeros((40, 60), np.int32)
    labels[8:24, 8:24] = 70_000
    image = np.where(labels[..., None] > 0, 200, 20).astype(np.uint8).repeat(3, axis=2)
    half = resampled(Sample("a", image, labels, 0.25, organ="Liver", patient="p"), 0.5)
    assert (half.mpp, half.name, half.organ, half.patient) == (0.5, "a", "Liver", "p")
    assert (half.image.shape, half.labels.shape) == ((20, 30, 3), (20, 30))
    assert (half.image.dtype, half.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(half.labels, labels[::2, ::2])
    np.testing.assert_array_equal(half.image, image[::2, ::2])


@pytest.mark.parametrize(("mpp", "size"), [(0.25, (7, 9)), (0.3, (6, 8)), (100.0, (1, 1))])
def test_any_scale_leaves_at_least_a_pixel(mpp: float, size: tuple[int, int]):
    sample = Sample("a", np.zeros((7, 9, 3), np.uint8), np.zeros((7, 9), np.int32), 0.25)
    assert resampled(sample, mpp).labels.shape == size


def test_types_and_ambiguous_areas_come_along():
    labels = np.zeros((40, 60), np.int32)
    labels[4:20, 8:24], labels[24:36, 30:50] = 1, 2
    types, ignore = np.where(labels == 2, 3, 0).astype(np.uint8), labels == 1
    image = np.zeros((40, 60, 3), np.uint8)
    half = resampled(Sample("a", image, labels, 0.25, types=types, ignore=ignore), 0.5)
    assert (half.labels == 2).sum() == 6 * 10
    np.testing.assert_array_equal(half.types, np.where(half.labels == 2, 3, 0))
    np.testing.assert_array_equal(half.ignore, half.labels == 1)
    plain = resampled(Sample("a", image, labels, 0.25), 0.5)
    assert (plain.types, plain.ignore) == (None, None)


def test_nuclei_of_large_numbers_stay_apart():
    labels = np.zeros((8, 8), np.int32)
    labels[:4], labels[4:] = 1 << 24, (1 << 24) + 1
    half = resampled(Sample("a", np.zeros((8, 8, 3), np.uint8), labels, 0.25), 0.5)
    np.testing.assert_array_equal(half.labels, labels[::2, ::2])
