import numpy as np
import pyarrow as pa
import pytest

from nuguide.errors import OutputError
from nuguide.segmentation.runs import RUNS, box_of, check_inside, paint, runs_of
from nuguide.slides.regions import Box


@pytest.mark.parametrize("seed", range(3))
def test_pixels_come_back_as_they_were(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (13, 9), np.int32)
    runs = runs_of(labels, (100, 200))
    back = np.zeros((15, 12), np.int32)
    paint(runs, back, (99, 198), 1)
    assert (back[1:14, 2:11] == labels).all()
    assert (back > 0).sum() == (labels > 0).sum()


def test_a_part_of_a_table_is_painted_with_its_own_runs() -> None:
    labels = np.array([[1, 2, 2], [0, 3, 3]], np.int32)
    back = np.zeros((2, 3), np.int32)
    paint(runs_of(labels, (0, 0)).slice(1), back, (0, 0), 7)
    assert back.tolist() == [[0, 7, 7], [0, 8, 8]]


def test_the_earlier_of_two_keeps_its_pixels() -> None:
    window = np.array([[0, 0, 4, 0]], np.int32)
    paint(pa.array([[5, 1, 2], [5, 1, 3]], RUNS.type), window, (5, 0), 6)
    assert window.tolist() == [[0, 6, 4, 7]]


@pytest.mark.parametrize("run", [[-1, 0, 1], [2, 0, 1], [0, -1, 1], [1, 2, 2], [0, 2**31 - 1, 9]])
def test_runs_outside_the_image_are_refused(run: list[int]) -> None:
    with pytest.raises(OutputError, match="outside the image"):
        check_inside(pa.array([run], RUNS.type), (2, 3))
    check_inside(pa.array([[1, 0, 3]], RUNS.type), (2, 3))


@pytest.mark.parametrize("seed", range(3))
def test_windows_get_their_parts_of_the_nuclei(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, (13, 9), np.int32)
    runs = runs_of(labels, (0, 0))
    for y, x, height, width in ((0, 0, 5, 9), (5, 2, 4, 3), (9, 7, 9, 9)):
        window = np.zeros((height, width), np.int32)
        paint(runs, window, (y, x), 1)
        part = labels[y : y + height, x : x + width]
        assert (window[: part.shape[0], : part.shape[1]] == part).all()
        assert not window[part.shape[0] :].any()
        assert not window[:, part.shape[1] :].any()


def test_the_box_of_runs_holds_them_tightly() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[2, 3:7], labels[4, 1] = 1, 2
    assert box_of(runs_of(labels, (10, 20))) == Box(12, 21, 3, 6)


def test_a_run_ends_with_its_row() -> None:
    labels = np.array([[0, 1, 1], [1, 0, 2]], np.int32)
    assert runs_of(labels, (10, 20)).to_pylist() == [[10, 21, 2, 11, 20, 1], [11, 22, 1]]


def test_no_nuclei_have_no_runs() -> None:
    runs = runs_of(np.zeros((4, 4), np.int32), (0, 0))
    assert len(runs) == 0
