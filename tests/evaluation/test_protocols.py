import cv2
import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.errors import InputError
from nuguide.evaluation.evaluate import evaluate
from nuguide.evaluation.protocols import PROTOCOLS


@pytest.fixture
def large() -> Sample:
    """Return an image of 512 px, left half nucleus (of two labels), its red channel a ramp."""
    labels = np.zeros((512, 512), np.int32)
    labels[:256, :256], labels[256:, :256] = 1, 2
    image = np.zeros((512, 512, 3), np.uint8)
    image[..., 0] = np.arange(512) // 2
    ignore = np.zeros((512, 512), bool)
    ignore[:, 300:] = True
    return Sample("large", image, labels, mpp=0.25, ignore=ignore, types=labels.astype(np.uint8))


def test_released_sees_the_whole_image_at_256_px(large: Sample):
    seen = PROTOCOLS["released"].view(large)
    assert seen.image.shape == (256, 256, 3)
    assert seen.mpp == 0.5
    assert (seen.types, seen.ignore) == (None, None)
    expected = cv2.resize(large.image, (256, 256), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(seen.image, expected)
    assert seen.labels[:, :127].all()
    assert not seen.labels[:, 129:].any()


def test_released_thresholds_the_resized_mask_at_150(large: Sample):
    speckles = np.random.default_rng(0).integers(0, 3, (512, 512)).astype(np.int32)
    white = np.where(speckles > 0, 255, 0).astype(np.uint8)
    mask = cv2.resize(white, (256, 256), interpolation=cv2.INTER_CUBIC)
    assert ((mask > 140) & (mask <= 150)).any()
    assert ((mask > 150) & (mask < 160)).any()
    sample = Sample("speckles", large.image, speckles, mpp=0.25)
    assert np.array_equal(PROTOCOLS["released"].view(sample).labels, mask > 150)


def test_released_scores_are_weighted_by_class_share(large: Sample):
    def upper_half(rgb, mpp):
        assert rgb.shape == (256, 256, 3)
        labels = np.zeros((256, 256), np.int32)
        labels[:128] = 1
        return labels

    scores = evaluate(upper_half, [large], model="m", data="d", split="all", protocol="released")
    assert set(scores.summaries) == {"dice_weighted", "iou_weighted"}
    # Half of each class is right, and half of what is called so: Dice 1/2, IoU 1/3, of both.
    values = scores.images[0].scores
    assert values["dice_weighted"] == pytest.approx(1 / 2, abs=0.01)
    assert values["iou_weighted"] == pytest.approx(1 / 3, abs=0.01)
    assert scores.protocol == "released"
    assert "256 x 256" in scores.summaries["dice_weighted"].definition


def test_released_weighs_nucleus_and_background_by_their_share():
    labels = np.zeros((256, 256), np.int32)
    labels[:64] = 1
    sample = Sample("quarter", np.zeros((256, 256, 3), np.uint8), labels, mpp=0.5)
    nothing = PROTOCOLS["released"].score(PROTOCOLS["released"].view(sample), labels * 0)
    # The nucleus scores 0; background has Dice 2 * 192 / (192 + 256) and weighs 3/4.
    assert nothing["dice_weighted"] == pytest.approx(0.75 * 2 * 192 / 448, abs=0.005)
    assert nothing["iou_weighted"] == pytest.approx(0.75 * 0.75, abs=0.005)


def test_released_cannot_take_an_oblong_image():
    oblong = Sample("o", np.zeros((8, 16, 3), np.uint8), np.zeros((8, 16), np.int32), mpp=0.25)
    with pytest.raises(InputError, match="o: the image is 8 x 16 px; expected a square"):
        evaluate(
            lambda rgb, mpp: rgb[..., 0],
            [oblong],
            model="m",
            data="d",
            split="all",
            protocol="released",
        )


def test_protocols_share_no_definition():
    definitions = [
        {rules.definition_of(name) for name in rules.names} for rules in PROTOCOLS.values()
    ]
    assert not set.intersection(*definitions)
