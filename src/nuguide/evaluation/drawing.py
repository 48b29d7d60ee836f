"""What went right and wrong in one image: outlines of what is matched, false and missed."""

from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nuguide.datasets.base import Sample
from nuguide.evaluation.instances import MATCH_IOU
from nuguide.evaluation.overlap import instances_of, overlap_of
from nuguide.evaluation.prediction import Prediction
from nuguide.evaluation.record import ImageScores
from nuguide.export.overlay import SUBPIXEL_BITS, drawable_outlines
from nuguide.nuclei.outlines import trace

MATCHED, FALSE, MISSED, AMBIGUOUS = "matched", "false", "missed", "ambiguous"

COLOURS = {
    MATCHED: (100, 200, 255),
    FALSE: (213, 40, 0),
    MISSED: (255, 232, 40),
    AMBIGUOUS: (150, 150, 150),
}
"""RGB. Blue, red and yellow differ in lightness too, so they are told apart in every kind of
colour vision and in grey; all are seen on pink and purple tissue."""

_THICKNESS_PX = {MATCHED: 1, FALSE: 2, MISSED: 2, AMBIGUOUS: 1}
_LONGEST_SIDE_PX = 1400
_JPEG_QUALITY = 85


class Verdicts(NamedTuple):
    """What became of each nucleus, by label of the numbered maps.

    Attributes
    ----------
    truth, prediction : ndarray
        (H, W), nuclei numbered from 1.
    of_truth, of_prediction : list of str
        A verdict for each, nucleus 1 first.
    """

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    of_truth: list[str]
    of_prediction: list[str]

    def count(self, verdict: str) -> int:
        """Return how many nuclei got a verdict; a matched pair counts once."""
        return self.of_prediction.count(verdict) + (
            0 if verdict == MATCHED else self.of_truth.count(verdict)
        )


def judge_nuclei(sample: Sample, prediction: Prediction) -> Verdicts:
    """Tell for each true and each predicted nucleus whether it is matched, at IoU > 0.5.

    Left alone, a nucleus that lies mostly under the ignore mask is ambiguous.
    """
    truth = instances_of(sample.labels, "truth")
    found = instances_of(prediction.labels, "prediction")
    overlap = overlap_of(truth, found, sample.ignore)
    matched = overlap.iou > MATCH_IOU
    sides = (
        (overlap.truth_optional, overlap.truth_of[matched], MISSED),
        (overlap.prediction_optional, overlap.prediction_of[matched], FALSE),
    )
    verdicts = []
    for optional, taken, otherwise in sides:
        words = np.where(optional, AMBIGUOUS, otherwise).astype(object)
        words[taken] = MATCHED
        verdicts.append([str(word) for word in words])
    return Verdicts(truth.index, found.index, *verdicts)


def draw_nuclei(sample: Sample, verdicts: Verdicts) -> NDArray[np.uint8]:
    """Draw outlines on the image: predicted ones where matched or false, true ones where missed.

    Returns
    -------
    ndarray
        (h, w, 3) uint8 RGB, at most ``_LONGEST_SIDE_PX`` wide or high; ambiguous areas are paler.
    """
    picture = _enlarged(sample)
    size = (picture.shape[1], picture.shape[0])
    per_label = (size[0] / sample.labels.shape[1], size[1] / sample.labels.shape[0])
    if sample.ignore is not None:
        pale = _stretched(sample.ignore, size)
        picture[pale] = picture[pale] // 2 + 127
    # Errors lie on top of what is right.
    for verdict in (AMBIGUOUS, MATCHED, FALSE, MISSED):
        sides = [(verdicts.prediction, verdicts.of_prediction)]
        if verdict != MATCHED:
            sides.append((verdicts.truth, verdicts.of_truth))
        for labels, words in sides:
            chosen = np.array([0, *(i * (w == verdict) for i, w in enumerate(words, start=1))])
            cv2.polylines(
                picture,
                drawable_outlines(trace(chosen[labels]).polygons, per_label),
                isClosed=True,
                color=COLOURS[verdict],
                thickness=_THICKNESS_PX[verdict],
                lineType=cv2.LINE_AA,
                shift=SUBPIXEL_BITS,
            )
    return picture


def draw_pixels(sample: Sample, prediction: Prediction) -> NDArray[np.uint8]:
    """Tint the pixels that both, only the truth, or only the prediction call nucleus.

    Returns
    -------
    ndarray
        (h, w, 3) uint8 RGB, sized as by ``draw_nuclei``.
    """
    picture = _enlarged(sample)
    true, found = sample.labels > 0, prediction.labels > 0
    for verdict, mask in (
        (MATCHED, true & found),
        (FALSE, found & ~true),
        (MISSED, true & ~found),
    ):
        tinted = _stretched(mask, (picture.shape[1], picture.shape[0]))
        picture[tinted] = picture[tinted] // 2 + np.array(COLOURS[verdict], np.uint8) // 2
    return picture


def _enlarged(sample: Sample) -> NDArray[np.uint8]:
    height, width = sample.labels.shape
    scale = min(3.0, _LONGEST_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(sample.image, size, interpolation=how), np.uint8)


def _stretched(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    stretched = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return np.asarray(stretched > 0)


@dataclass(frozen=True)
class Drawing:
    """One image, drawn.

    Attributes
    ----------
    image : ImageScores
        Its name and scores.
    jpeg : bytes
        The picture.
    counts : dict of str to int
        Nuclei by verdict; empty where pixels were judged.
    """

    image: ImageScores
    jpeg: bytes
    counts: dict[str, int]


@dataclass
class Worst:
    """Draws the images of lowest score while they pass, and keeps no others.

    Attributes
    ----------
    score : str
        By which images are ranked.
    pixels : bool
        Whether pixels are judged, not nuclei.
    n : int
        How many are kept.
    drawings : list of Drawing
        The worst so far, worst first.
    """

    score: str
    pixels: bool = False
    n: int = 4
    drawings: list[Drawing] = field(default_factory=list)

    def __call__(self, sample: Sample, prediction: Prediction, image: ImageScores) -> None:
        """Take note of one scored image (a ``Watcher`` of ``evaluate``)."""
        if len(self.drawings) == self.n and self._rank(self.drawings[-1].image) <= self._rank(
            image
        ):
            return
        if self.pixels:
            counts, picture = {}, draw_pixels(sample, prediction)
        else:
            verdicts = judge_nuclei(sample, prediction)
            counts = {word: verdicts.count(word) for word in COLOURS}
            picture = draw_nuclei(sample, verdicts)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        self.drawings.append(Drawing(image, jpeg.tobytes(), counts))
        self.drawings.sort(key=lambda drawing: self._rank(drawing.image))
        del self.drawings[self.n :]

    def _rank(self, image: ImageScores) -> float:
        return image.scores[self.score]
