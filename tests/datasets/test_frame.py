"""Squares that fields were drawn from: kept, read back, and refused where they are damaged."""

import json
from pathlib import Path

import numpy as np
import pytest

from nuguide.datasets.frame import Frame, frame_path, read_frame, write_frame
from nuguide.errors import DataSetError
from nuguide.slides.regions import Box


@pytest.fixture
def frame() -> Frame:
    return Frame(
        image="slide",
        image_sha256="ab" * 32,
        mpp=0.5,
        seed=3,
        origin_px=(10, 20),
        size_px=(100, 50),
        grid=(3, 4),
        squares=np.array([0, 1, 5, 11]),
        drawn=np.array([1, 11]),
        tissue_mm2=0.004,
    )


def test_a_frame_is_read_as_it_was_written(frame: Frame, tmp_path: Path) -> None:
    path = frame_path(tmp_path, Path("elsewhere/slide.svs"))
    assert path == tmp_path / "slide.fields.json"
    write_frame(frame, path)
    again = read_frame(path)
    assert vars(again).keys() == vars(frame).keys()
    for name, value in vars(frame).items():
        assert np.array_equal(getattr(again, name), value), name


def test_fields_are_the_squares_that_were_drawn(frame: Frame) -> None:
    assert frame.fields == (Box(10, 70, 100, 50), Box(210, 170, 100, 50))


def test_a_point_lies_in_one_square_or_in_none(frame: Frame) -> None:
    y = np.array([10.0, 109.99, 110.0, 110.0, 309.99, 310.0, 9.99, 50.0])
    x = np.array([20.0, 70.0, 70.0, 20.0, 219.99, 219.99, 20.0, 19.99])
    assert frame.square_of(y, x).tolist() == [0, 1, 5, -1, 11, -1, -1, -1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"squares": [0, 1, 5, 12]}, "beyond the grid of 3 x 4"),
        ({"squares": [1, 0, 5, 11]}, "must rise"),
        ({"drawn": [1, 2]}, "drawn that could not be"),
        ({"grid": [2**31, 2**31]}, "beyond the grid"),
        ({"drawn": []}, "drawn"),
        ({"size_px": [0, 50]}, "size_px"),
        ({"mpp": 0}, "mpp"),
        ({"image_sha256": "not known"}, "image_sha256"),
        ({"tissue_mm2": "much"}, "tissue_mm2"),
        ({"color": 1}, "color is unknown"),
    ],
)
def test_a_damaged_frame_is_refused(
    frame: Frame, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    path = tmp_path / "slide.fields.json"
    write_frame(frame, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataSetError, match=r"slide\.fields\.json cannot be read") as told:
        read_frame(path)
    assert words in str(told.value)
    assert "what nuguide fields wrote" in str(told.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"\x1f\x8bnot packed"])
def test_what_is_no_frame_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "slide.fields.json"
    path.write_bytes(content)
    with pytest.raises(DataSetError, match="expected what nuguide fields wrote"):
        read_frame(path)
    with pytest.raises(DataSetError, match="expected what nuguide fields wrote"):
        read_frame(tmp_path / "none.fields.json")
