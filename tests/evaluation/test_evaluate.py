from dataclasses import replace

import numpy as np
import pytest

from nuguide.datasets import collection
from nuguide.datasets.base import Sample
from nuguide.errors import DataSetError, InputError
from nuguide.evaluation import agreement
from nuguide.evaluation.evaluate import definition_of, evaluate
from nuguide.evaluation.prediction import Prediction
from nuguide.evaluation.record import Scores
from nuguide.evaluation.score import DEFINITIONS
from nuguide.evaluation.types import score_types


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


def run(predict, samples, **options) -> Scores:
    return evaluate(predict, samples, model="fake", data="drawn", split="test", **options)


def test_perfect_predictor_scores_one_on_every_image():
    scores = run(perfect, iter([sample("a", 1), sample("b", 3)]))
    assert [image.name for image in scores.images] == ["a", "b"]
    assert set(scores.summaries) == {*DEFINITIONS, *agreement.DEFINITIONS}
    for name in DEFINITIONS:
        summary = scores.summaries[name]
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


def test_where_a_part_alone_is_annotated_there_is_no_second_score():
    ignore = np.zeros((24, 24), bool)
    ignore[:, :6] = True
    scores = run(blind_to_the_first, [replace(sample("a", 2, ignore), partial=True)])
    assert scores.images[0].scores["pq"] == 1
    assert not [name for name in scores.summaries if "unmasked" in name]


def test_counts_and_sizes_are_pooled_over_the_images():
    scores = run(blind_to_the_first, [sample("a", 1), sample("b", 2), sample("c", 4)])
    count = scores.summaries["count_ratio"]
    assert count.mean == pytest.approx(4 / 7)
    assert (count.low, count.high, count.n, count.std) == (0, pytest.approx(3 / 4), 3, None)
    assert count.definition == agreement.DEFINITIONS["count_ratio"]
    assert scores.summaries["area_ratio"].mean == 1
    assert "count_ratio" not in scores.images[0].scores


def test_the_published_protocol_tells_no_nuclei_apart_to_count():
    scores = run(
        lambda rgb, mpp: (rgb[..., 0] > 0).astype(np.int32), [sample("a", 3)], protocol="released"
    )
    assert set(scores.summaries) == {"dice_weighted", "iou_weighted"}


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


def test_the_images_of_a_patient_are_drawn_together():
    images = [replace(sample(name, 2), patient="p") for name in "ab"]
    scores = run(blind_to_the_first, [*images, replace(sample("c", 4), source="slide 7")])
    assert scores.origins == ["p", "p", "slide 7"]
    assert (scores.unit, scores.n_units) == ("origin", 2)
    dice = scores.summaries["dice_foreground"]
    # Drawn: p p, p c, c p or c c.
    assert (dice.low, dice.high) == pytest.approx((2 / 3, 6 / 7))


def test_the_digest_is_of_pixels_annotations_and_scale():
    def digest(*samples):
        return run(lambda rgb, mpp: rgb[..., 0].astype(np.int32), samples).data_sha256

    plain = sample("a", 2)
    other_labels = plain.labels.copy()
    other_labels[20, 20] = 9
    changed = [
        replace(plain, name="b"),
        replace(plain, image=255 - plain.image),
        replace(plain, labels=other_labels),
        replace(plain, mpp=0.5),
        replace(plain, ignore=np.zeros((24, 24), bool)),
    ]
    assert digest(plain) == digest(sample("a", 2))
    assert len({digest(plain), *(digest(each) for each in changed)}) == 6
    assert digest(plain, changed[0]) != digest(changed[0], plain)
    assert digest(plain, changed[0]) == collection.digest([plain, changed[0]])


def typed(name: str, kinds: tuple[int, ...]) -> Sample:
    plain = sample(name, len(kinds))
    return replace(plain, types=np.array([0, *kinds], np.uint8)[plain.labels])


def calls_the_first_type_two(rgb: np.ndarray, mpp: float) -> Prediction:
    labels = perfect(rgb, mpp)
    return Prediction(labels, np.array([0, 2, 1, 2, 1])[labels])


def test_types_are_scored_where_data_and_model_have_them():
    samples = [typed("a", (1, 1, 2)), typed("b", (2, 1)), typed("c", (2, 1, 2, 2))]
    scores = run(calls_the_first_type_two, samples, classes=("epithelial", "lymphocyte"))
    truths = [each.labels for each in samples]
    expected = score_types(
        truths,
        truths,
        [each.types for each in samples],
        [calls_the_first_type_two(each.image, 0.25).types for each in samples],
        n_types=2,
    )
    got = {name: scores.summaries[name].mean for name in expected}
    assert got == pytest.approx(expected)
    pq = scores.summaries["pq_2"]
    assert pq.low < pq.mean < pq.high
    assert (pq.n, pq.std) == (3, None)
    assert pq.definition.endswith("type 2: lymphocyte")
    assert "pq_2" not in scores.images[0].scores


@pytest.mark.parametrize(
    ("samples", "classes"),
    [([typed("a", (1, 2))], ("nucleus",)), ([sample("a", 2)], ("epithelial", "lymphocyte"))],
)
def test_types_are_not_scored_where_one_side_has_none(samples, classes):
    scores = run(calls_the_first_type_two, samples, classes=classes)
    assert set(scores.summaries) == {*DEFINITIONS, *agreement.DEFINITIONS}


def test_more_types_than_the_model_tells_are_refused_in_words_for_a_user():
    with pytest.raises(InputError, match=r"a: the annotation has type 3, .* 2 apart: x, y"):
        run(calls_the_first_type_two, [typed("a", (1, 3))], classes=("x", "y"))


def test_types_in_some_images_only_are_refused():
    with pytest.raises(DataSetError, match="types in 1 of the first 2 images"):
        run(calls_the_first_type_two, [typed("a", (1,)), sample("b", 1)], classes=("x", "y"))


def test_a_watcher_sees_what_was_scored():
    seen = []
    run(perfect, [sample("a", 1)], watch=lambda *shown: seen.append(shown))
    ((shown, prediction, scores),) = seen
    assert (shown.name, scores.name, scores.scores["pq"]) == ("a", "a", 1)
    assert prediction.labels.max() == 1
