import numpy as np
import pytest

from nuguide.export.coordinates import in_words
from nuguide.nuclei.polygons import Polygons


def worded(*rings: list[tuple[float, float]]) -> list[str]:
    points = np.array([point for ring in rings for point in ring], np.float64).reshape(-1, 2)
    return in_words(Polygons(points, np.cumsum([0, *map(len, rings)]))).to_pylist()


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (0, "0"),
        (-0.0, "0"),
        (7, "7"),
        (10, "10"),
        (99.999, "100"),
        (0.05, "0.05"),
        (0.5, "0.5"),
        (12.345678, "12.35"),
        (1.125, "1.12"),  # the even one, as numpy rounds
        (-3.1, "-3.1"),
        (-0.004, "0"),
        (123456.78, "123456.78"),
        (1e12, "1000000000000"),
    ],
)
def test_numbers_have_two_decimals_at_most(number: float, word: str) -> None:
    assert worded([(number, 1)]) == [f"{word},1"]
    assert worded([(1, number), (2, 2)]) == [f"1,{word}],[2,2"]


def test_words_are_those_of_python() -> None:
    points = np.random.default_rng(0).uniform(-1e5, 1e5, (5000, 2))
    (text,) = worded([tuple(point) for point in points.tolist()])
    pairs = [tuple(map(float, pair.split(","))) for pair in text.split("],[")]
    assert np.array_equal(np.array(pairs), np.round(points, 2))
    decimals = [word.split(".")[1] for word in text.replace("],[", ",").split(",") if "." in word]
    assert not any(each.endswith("0") for each in decimals)


def test_each_polygon_has_its_own_text() -> None:
    assert worded([(1, 2), (3, 4)], [(5, 6)]) == ["1,2],[3,4", "5,6"]
    assert worded() == []
