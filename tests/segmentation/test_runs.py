import numpy as np
import pytest

from nuguide.segmentation.runs import pixels_of, runs_of


@pytest.mark.parametrize("seed", range(3))
def test_pixels_come_back_as_they_were(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (13, 9), np.int32)
    pixels = pixels_of(runs_of(labels, (100, 200)))
    back = np.zeros_like(labels)
    back[pixels.y - 100, pixels.x - 200] = pixels.row + 1
    assert (back == labels).all()
    assert len(pixels.y) == (labels > 0).sum()


def test_a_run_ends_with_its_row() -> None:
    labels = np.array([[0, 1, 1], [1, 0, 2]], np.int32)
    assert runs_of(labels, (10, 20)).to_pylist() == [[10, 21, 2, 11, 20, 1], [11, 22, 1]]


def test_no_nuclei_have_no_runs() -> None:
    runs = runs_of(np.zeros((4, 4), np.int32), (0, 0))
    assert len(runs) == 0
    assert len(pixels_of(runs).y) == 0
