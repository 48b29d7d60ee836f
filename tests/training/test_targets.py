import numpy as np
import pytest

from nuguide.training.targets import normalised_distance


def discs(*centres: tuple[int, int], radius: int = 8, size: int = 48) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for number, (row, column) in enumerate(centres, start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return labels


def test_zero_outside_and_one_at_each_centre():
    labels = discs((12, 12), (30, 34))
    distance = normalised_distance(labels)
    assert distance.dtype == np.float32
    assert not distance[labels == 0].any()
    assert distance[labels > 0].min() > 0
    for number, centre in ((1, (12, 12)), (2, (30, 34))):
        assert distance[centre] == pytest.approx(1.0)
        assert distance[labels == number].max() == pytest.approx(1.0)


def test_each_nucleus_is_divided_by_its_own_largest():
    small, large = discs((12, 12), radius=3), discs((30, 30), radius=12)
    labels = np.where(large > 0, 2, small)
    distance = normalised_distance(labels)
    assert distance[12, 12] == distance[30, 30] == pytest.approx(1.0)


def test_touching_nuclei_have_a_valley_between_them():
    labels = np.zeros((20, 40), np.int32)
    labels[4:16, 4:20], labels[4:16, 20:36] = 1, 7  # ids need not be consecutive
    row = normalised_distance(labels)[10]
    assert row[18:22].max() < 0.35
    assert row[4:20].max() == row[20:36].max() == pytest.approx(1.0)
    assert np.all(np.diff(row[14:20]) <= 0), "falls towards the border on one side"
    assert np.all(np.diff(row[20:26]) >= 0), "and rises from it on the other"


def test_it_does_not_depend_on_how_nuclei_are_numbered():
    labels = discs((12, 12), (20, 24), (34, 34))
    other = np.array([0, 50, 3, 2000], np.int32)[labels]
    np.testing.assert_array_equal(normalised_distance(labels), normalised_distance(other))


@pytest.mark.parametrize("value", [0, 1])
def test_all_background_and_all_nucleus(value: int):
    distance = normalised_distance(np.full((16, 16), value, np.int32))
    assert np.isfinite(distance).all()
    assert distance.max() == value


def test_a_nucleus_of_one_pixel_among_others_has_a_peak():
    labels = np.full((9, 9), 1, np.int32)
    labels[4, 4] = 2
    assert normalised_distance(labels)[4, 4] == pytest.approx(1.0)


def test_labels_are_left_as_they_were():
    labels = discs((12, 12), (20, 24))
    before = labels.copy()
    normalised_distance(labels)
    np.testing.assert_array_equal(labels, before)
