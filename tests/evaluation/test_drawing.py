import cv2
import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.evaluation import drawing
from nuguide.evaluation.drawing import (
    AMBIGUOUS,
    COLOURS,
    FALSE,
    MATCHED,
    MISSED,
    Worst,
    draw_nuclei,
    draw_pixels,
    judge_nuclei,
)
from nuguide.evaluation.prediction import Prediction
from nuguide.evaluation.record import ImageScores


@pytest.fixture
def prediction(sample: Sample) -> Prediction:
    """Return nucleus 1 found, one that is false, and one under the ignore mask."""
    labels = np.where(sample.labels == 1, 70, 0)
    labels[30:36, 5:11] = 8
    labels[54:59, 54:59] = 9
    return Prediction(labels)


def test_every_nucleus_gets_its_verdict(sample: Sample, prediction: Prediction):
    verdicts = judge_nuclei(sample, prediction)
    assert verdicts.of_truth == [MATCHED, MISSED, AMBIGUOUS]
    # Numbered in ascending order of the labels 8, 9, 70.
    assert verdicts.of_prediction == [FALSE, AMBIGUOUS, MATCHED]
    counts = [verdicts.count(word) for word in (MATCHED, FALSE, MISSED, AMBIGUOUS)]
    assert counts == [1, 1, 1, 2]


def colours_near(picture: np.ndarray, y: int, x: int, scale: float) -> set[str]:
    """Name the colours of pixels round an outline corner, (y, x) in px of the label map."""
    part = picture[
        int((y - 1) * scale) : int((y + 2) * scale), int((x - 1) * scale) : int((x + 2) * scale)
    ].astype(int)
    return {
        word
        for word, colour in COLOURS.items()
        if (abs(part - np.array(colour)).sum(axis=2) < 60).any()
    }


def test_each_verdict_has_its_colour_where_the_nucleus_lies(sample: Sample, prediction: Prediction):
    picture = draw_nuclei(sample, judge_nuclei(sample, prediction))
    assert picture.shape == (180, 180, 3)
    assert colours_near(picture, 5, 10, 3) == {MATCHED}
    assert colours_near(picture, 5, 40, 3) == {MISSED}
    assert colours_near(picture, 30, 8, 3) == {FALSE}
    assert MISSED not in colours_near(picture, 40, 45, 3)
    # The ambiguous area is paler than the rest.
    assert picture[3 * 59, 3 * 39].tolist() == [180 // 2 + 127] * 3
    assert picture[3 * 25, 3 * 25].tolist() == [180] * 3


def test_an_empty_image_can_be_drawn(sample: Sample):
    empty = Sample("empty", sample.image, np.zeros((60, 60), np.int32), mpp=0.25)
    verdicts = judge_nuclei(empty, Prediction(np.zeros((60, 60), np.int32)))
    assert (draw_nuclei(empty, verdicts) == 180).all()


def test_large_images_are_shrunk(monkeypatch):
    monkeypatch.setattr(drawing, "_LONGEST_SIDE_PX", 350)
    large = Sample(
        "large", np.zeros((400, 500, 3), np.uint8), np.ones((400, 500), np.int32), mpp=0.25
    )
    verdicts = judge_nuclei(large, Prediction(large.labels))
    assert draw_nuclei(large, verdicts).shape == (280, 350, 3)


def test_pixels_are_tinted_by_who_calls_them_nucleus(sample: Sample, prediction: Prediction):
    picture = draw_pixels(sample, prediction)
    for (y, x), verdict in {(10, 10): MATCHED, (10, 40): MISSED, (33, 8): FALSE}.items():
        expected = 180 // 2 + np.array(COLOURS[verdict]) // 2
        assert picture[3 * y, 3 * x].tolist() == expected.tolist()
    assert picture[3 * 25, 3 * 25].tolist() == [180] * 3


def test_the_worst_images_are_kept_worst_first(sample: Sample, prediction: Prediction):
    worst = Worst("aji", n=2)
    for name, aji in (("a", 0.5), ("b", 0.7), ("c", 0.1), ("d", 0.6)):
        worst(sample, prediction, ImageScores(name, {"aji": aji}))
    assert [each.image.name for each in worst.drawings] == ["c", "a"]
    drawn = worst.drawings[0]
    assert drawn.counts == {MATCHED: 1, FALSE: 1, MISSED: 1, AMBIGUOUS: 2}
    picture = cv2.imdecode(np.frombuffer(drawn.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (180, 180, 3)


def test_colours_differ_in_lightness_too():
    grey = {word: float(np.dot(rgb, (0.2126, 0.7152, 0.0722))) for word, rgb in COLOURS.items()}
    drawn = sorted(grey[word] for word in (MATCHED, FALSE, MISSED))
    assert min(np.diff(drawn)) > 25
