import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.errors import DataSetError, InputError
from nuguide.evaluation.evaluate import Scores, definition_of, evaluate
from nuguide.evaluation.score import DEFINITIONS


def sample(name: str, n_nuclei: int, ignore: np.ndarray | None = None) -> Sample:
    labels = np.zeros((24, 24), np.int32)
    for number in range(n_nuclei):
        labels[2:6, 6 * number + 1 : 6 * number + 5] = number + 1
    # The red channel carries the labels, so that a fake predictor can read them.
    image = np.repeat(labels[..., None], 3, axis=2).astype(np.uint8)
    return Sample(name=name, image=image, labels=labels, mpp=0.25, ignore=ignore)


def perfect(rgb: np.ndarray, mpp: float) -> np.ndarray:
    assert mpp == 0.25
    return rgb[..., 0].astype(np.int32)


def blind_to_the_first(rgb: np.ndarray, mpp: float) -> np.ndarray:
    labels = perfect(rgb, mpp)
    return np.where(labels == 1, 0, labels)


def run(predict, samples) -> Scores:
    return evaluate(predict, samples, model="fake", data="drawn", split="test")


def test_perfect_predictor_scores_one_on_every_image():
    scores = run(perfect, iter([sample("a", 1), sample("b", 3)]))
    assert [image.name for image in scores.images] == ["a", "b"]
    assert set(scores.summaries) == set(DEFINITIONS)
    for summary in scores.summaries.values():
        assert (summary.mean, summary.low, summary.high, summary.std) == (1, 1, 1, 0)
        assert summary.n == 2
    assert (scores.model, scores.data, scores.split) == ("fake", "drawn", "test")


def test_summaries_are_plain_means_over_images():
    scores = run(blind_to_the_first, [sample("a", 1), sample("b", 2), sample("c", 4)])
    dice = [image.scores["dice_foreground"] for image in scores.images]
    assert dice == pytest.approx([0, 2 / 3, 6 / 7])
    summary = scores.summaries["dice_foreground"]
    assert summary.mean == pytest.approx(np.mean(dice))
    assert summary.std == pytest.approx(np.std(dice, ddof=1))
    assert summary.low < summary.mean < summary.high


def test_ambiguous_areas_are_reported_both_ways():
    ignore = np.zeros((24, 24), bool)
    ignore[:, :6] = True
    scores = run(blind_to_the_first, [sample("a", 2, ignore), sample("b", 2)])
    assert [image.scores["pq"] for image in scores.images] == pytest.approx([1, 2 / 3])
    assert [image.scores["pq_unmasked"] for image in scores.images] == pytest.approx([2 / 3] * 2)
    assert scores.summaries["pq_unmasked"].definition == definition_of("pq_unmasked")


def test_every_definition_states_the_averaging_rule():
    for name in DEFINITIONS:
        assert definition_of(name).endswith("; mean over images")
    assert "ambiguous areas" in definition_of("aji_unmasked")


def test_a_split_without_images_is_refused():
    with pytest.raises(DataSetError, match="drawn has no image in split test"):
        run(perfect, [])


def test_an_image_that_cannot_be_scored_is_named():
    everywhere = np.ones((24, 24), bool)
    with pytest.raises(InputError, match=r"^a: the ignore mask covers every pixel"):
        run(perfect, [sample("a", 1, everywhere)])


def test_a_prediction_at_another_resolution_is_refused():
    with pytest.raises(InputError, match=r"^a: the prediction is of shape \(12, 12\)"):
        run(lambda rgb, mpp: perfect(rgb, mpp)[::2, ::2], [sample("a", 1)])
