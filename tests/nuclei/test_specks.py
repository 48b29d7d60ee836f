import numpy as np
import pytest
from scipy import ndimage

from nuguide.nuclei.specks import without_specks


def slowly(labels: np.ndarray) -> np.ndarray:
    """Do the same label by label with SciPy."""
    kept = np.zeros_like(labels)
    for label in np.unique(labels)[1:]:
        pieces, _ = ndimage.label(labels == label, np.ones((3, 3)))
        kept[pieces == np.argmax(np.bincount(pieces[pieces > 0]))] = label
    return kept


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kinds", [2, 4, 30])
def test_the_largest_piece_of_each_label_is_kept(seed: int, kinds: int):
    """Of scattered and of lumpy labels, of which many touch, cross and enclose each other."""
    random = np.random.default_rng(seed)
    for coarse in ((40, 61), (7, 9)):
        labels = random.integers(0, kinds, coarse).astype(np.int32)
        labels = np.repeat(np.repeat(labels, 41 // coarse[0], 0), 61 // coarse[1], 1)
        labels[random.random(labels.shape) < 0.2] = 0
        np.testing.assert_array_equal(without_specks(labels), slowly(labels))


def test_pixels_that_meet_at_a_corner_are_one_piece_and_of_equal_ones_the_topmost_is_kept():
    labels = np.array(
        [[0, 3, 0, 0, 3], [3, 0, 0, 0, 3], [0, 0, 5, 0, 0], [0, 0, 0, 0, 5]], np.int32
    )
    kept = [[0, 3, 0, 0, 0], [3, 0, 0, 0, 0], [0, 0, 5, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(without_specks(labels), kept)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (4, 3)])
def test_where_there_is_no_nucleus_there_is_no_speck(shape: tuple[int, int]):
    blank = np.zeros(shape, np.int32)
    np.testing.assert_array_equal(without_specks(blank), blank)


def test_what_is_given_stays_as_it_is():
    labels = np.array([[1, 0, 1, 1]], np.int32)
    without_specks(labels)
    np.testing.assert_array_equal(labels, [[1, 0, 1, 1]])
