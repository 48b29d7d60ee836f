import numpy as np

from nuguide.segmentation.merging import merged, owners


def test_numbers_have_no_gap_after_dropping() -> None:
    themselves = np.arange(6, dtype=np.int32)
    assert merged(np.array([[1, 0, 5]], np.int32), themselves, 0).tolist() == [[1, 0, 2]]
    labels = np.array([[1, 1, 0, 2, 0, 3, 3]], np.int32)
    assert merged(labels, themselves[:4], 2).tolist() == [[1, 1, 0, 0, 0, 2, 2]]


def test_pieces_that_are_joined_count_together() -> None:
    basins = np.array([[1, 0, 2, 3, 3, 3]], np.int32)
    assert merged(basins, np.array([0, 1, 1, 3], np.int32), 2).tolist() == [[1, 0, 1, 2, 2, 2]]


def test_the_last_pixel_of_a_row_does_not_touch_the_next_row() -> None:
    # Basin 1 ends its row, basin 2 begins the one after: two columns of background between them.
    basins = np.array([[0, 0, 0, 1], [2, 0, 0, 0]], np.int32)
    assert owners(basins, basins, np.ones((2, 4), np.float32), 0.5).tolist() == [0, 1, 2]


def test_a_low_peak_becomes_part_of_the_higher_one_it_touches() -> None:
    landscape = np.array([[0.9, 0.5, 0.6, 0.1, 0.8]], np.float32)
    basins = np.array([[1, 1, 2, 2, 3]], np.int32)
    peaks = np.array([[1, 0, 2, 0, 3]], np.int32)
    assert owners(basins, peaks, landscape, 0.3).tolist() == [0, 1, 1, 3]
    assert owners(basins.T, peaks.T, landscape.T, 0.3).tolist() == [0, 1, 1, 3]
    assert owners(basins, peaks, landscape, 0.05).tolist() == [0, 1, 2, 3]
