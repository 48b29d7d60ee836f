import numpy as np
import pytest
from scipy import ndimage

from nuguide.training.targets import (
    CLOSENESS_UM,
    border_closeness,
    centre_offsets,
    make_targets,
    normalised_distance,
)

NAMES = ("distance", "offsets", "closeness")


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


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_depend_on_how_nuclei_are_numbered(name: str):
    labels = discs((12, 12), (20, 24), (34, 34))
    other = np.array([0, 50, 3, 2000], np.int32)[labels]
    one, two = (make_targets(each, 0.5, [name])[name] for each in (labels, other))
    np.testing.assert_array_equal(one, two)
    assert one.any()


@pytest.mark.parametrize("value", [0, 1])
def test_all_background_and_all_nucleus(value: int):
    made = make_targets(np.full((16, 16), value, np.int32), 0.5, NAMES)
    assert made.keys() == set(NAMES)
    assert all(np.isfinite(each).all() and each.dtype == np.float32 for each in made.values())
    assert made["distance"].max() == np.abs(made["offsets"]).max() == value
    assert not made["closeness"].any(), "no two nuclei are close"


def test_a_nucleus_of_one_pixel_among_others_has_a_peak():
    labels = np.full((9, 9), 1, np.int32)
    labels[4, 4] = 2
    assert normalised_distance(labels)[4, 4] == pytest.approx(1.0)


def test_labels_are_left_as_they_were():
    labels = discs((12, 12), (20, 24))
    before = labels.copy()
    make_targets(labels, 0.5, NAMES)
    np.testing.assert_array_equal(labels, before)


def test_offsets_run_from_minus_one_to_one_over_each_nucleus():
    labels = discs((12, 12), (30, 34))
    offsets = centre_offsets(labels)
    assert (offsets.shape, offsets.dtype) == ((2, 48, 48), np.float32)
    assert not offsets[:, labels == 0].any()
    assert offsets[:, 12, 12] == pytest.approx(0)
    assert offsets[:, 4, 12] == pytest.approx([-1, 0]), "its first row, above its centre"
    assert offsets[:, 12, 20] == pytest.approx([0, 1]), "its last column, right of its centre"
    assert offsets[:, 16, 8] == pytest.approx([0.5, -0.5])


def test_each_side_of_a_nucleus_is_divided_by_its_own_reach():
    labels = np.zeros((20, 20), np.int32)
    labels[2:8, 3:5] = labels[6:8, 3:15] = 9  # an L, whose centroid lies off its middle
    y, x = centre_offsets(labels)
    assert (y.min(), y.max(), x.min(), x.max()) == pytest.approx((-1, 1, -1, 1))
    inside = np.argwhere(labels)
    centre = inside.mean(0)
    assert y[2, 3] == -1
    assert y[5, 3] == pytest.approx((5 - centre[0]) / (centre[0] - 2), abs=1e-6)
    assert x[7, 10] == pytest.approx((10 - centre[1]) / (14 - centre[1]), abs=1e-6)


def test_a_nucleus_in_two_parts_has_a_centre_in_each():
    labels = discs((12, 12), (34, 34))
    labels[labels > 0] = 5
    offsets = centre_offsets(labels)
    for centre in ((12, 12), (34, 34)):
        assert offsets[:, centre[0], centre[1]] == pytest.approx(0)


def test_offsets_jump_where_two_nuclei_touch():
    labels = np.zeros((20, 40), np.int32)
    labels[4:16, 4:20], labels[4:16, 20:36] = 1, 7
    row = centre_offsets(labels)[1, 10]
    assert (row[19], row[20]) == pytest.approx((1, -1))
    assert np.all(np.diff(row[4:20]) > 0)


def gap(width: int) -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 5:25], labels[10:30, 25 + width : 50] = 1, 2
    return labels


@pytest.mark.parametrize("width", [0, 1, 2, 5, 8])
def test_closeness_in_a_gap_is_that_of_its_width(width: int):
    """From the last pixel of one nucleus to the first of the other is one more than the gap."""
    closeness = border_closeness(gap(width), 3.0)
    expected = np.exp(-((width + 1) ** 2) / 18)
    np.testing.assert_allclose(closeness[20, 25 : 25 + width], expected, rtol=0.01)
    assert closeness[20, 24] == pytest.approx(expected, rel=0.01), "at the nucleus' border"
    assert closeness.max() == pytest.approx(expected, rel=0.01)
    inside = closeness[20, 5:25]
    assert np.all(np.diff(inside) > 0), "less the deeper in a nucleus"


def test_closeness_is_never_above_the_definition_and_mostly_equals_it():
    random = np.random.default_rng(0)
    labels = discs(*random.integers(0, 80, (14, 2)).tolist(), radius=6, size=80)
    each = [ndimage.distance_transform_edt(labels != n) for n in np.unique(labels[labels > 0])]
    nearest, next_one = np.sort(each, axis=0)[:2]
    exact = np.exp(-((nearest + next_one) ** 2) / (2 * 2.0**2))
    closeness = border_closeness(labels, 2.0)
    assert (closeness - exact).max() < 0.03
    assert np.corrcoef(closeness.ravel(), exact.ravel())[0, 1] > 0.95


def test_closeness_reaches_as_far_in_um_at_any_scale():
    fine = np.kron(gap(1), np.ones((2, 2), np.int32))
    at_half = make_targets(gap(1), 0.5, ["closeness"])["closeness"]
    at_quarter = make_targets(fine, 0.25, ["closeness"])["closeness"]
    assert CLOSENESS_UM == 1.0
    # Two and three steps of a pixel, of 0.5 and 0.25 um, from one nucleus to the next.
    assert at_half[20, 25] == pytest.approx(np.exp(-(1.0**2) / 2), rel=0.01)
    assert at_quarter[40, 50] == pytest.approx(np.exp(-(0.75**2) / 2), rel=0.01)
