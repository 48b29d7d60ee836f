from dataclasses import replace

import cv2
import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.training.augmentation import (
    augmented_crop,
    crop_coordinates,
    disturb,
    jitter_stain,
    types_at,
    view,
)
from nuguide.training.recipe_parts import Augmentation

STILL = Augmentation(
    scale=(1, 1),
    rotate=False,
    elastic_px=0,
    stain=0,
    other_stain=0,
    grey=0,
    blur=0,
    noise=0,
    jpeg=0,
)
WILD = Augmentation(scale=(0.5, 2.0), elastic_px=3.0)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def coded() -> Sample:
    """Return an image whose colour, 30 times the label, tells each pixel's label; smooth shapes."""
    labels = np.zeros((160, 200), np.int32)
    for number, (x, y) in enumerate([(40, 40), (100, 60), (160, 40), (60, 120), (140, 120)], 1):
        cv2.ellipse(labels, (x, y), (26, 18), 30 * number, 0, 360, number, -1)
    image = np.repeat((30 * labels).astype(np.uint8)[..., None], 3, axis=2)
    return Sample("coded", image, labels, 0.25)


def crop(sample: Sample, chosen: Augmentation, seed: int = 0, size: int = 64, mpp: float = 0.5):
    return augmented_crop(sample, mpp, size, chosen, random(seed))


@pytest.mark.parametrize("chosen", [Augmentation(), WILD, STILL])
def test_a_seed_decides_everything(coded: Sample, chosen: Augmentation):
    for one, same in zip(crop(coded, chosen, 3), crop(coded, chosen, 3), strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(crop(coded, chosen, 3)[2], crop(coded, chosen, 4)[2])


def test_shapes_types_and_labels(coded: Sample):
    for seed in range(5):
        image, labels, coordinates = crop(coded, WILD, seed)
        assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((64, 64), np.int32)
        assert (coordinates.shape, coordinates.dtype) == ((128, 128, 2), np.float32)
        assert set(np.unique(labels)) <= set(range(6)), "nearest neighbour makes no new numbers"


def test_without_change_a_crop_is_the_resampled_image_turned_by_quarters_or_mirrored(sample):
    """The crop covers the whole image, so that there is but one place for it."""
    size = sample.image.shape[0] // 2
    plain = cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_AREA).astype(int)
    turned = [np.rot90(way, k) for way in (plain, plain[:, ::-1]) for k in range(4)]
    seen = set()
    for seed in range(40):
        coordinates = crop_coordinates(sample, 0.5, size, STILL, random(seed))
        image, _ = view(sample, coordinates)
        off = [np.abs(image.astype(int) - each).max() for each in turned]
        assert min(off) <= 1
        seen.add(int(np.argmin(off)))
    assert seen == set(range(8)), "all eight ways to lay a slide on the stage are drawn"


def test_an_upright_crop_is_the_resampled_image_as_it_lies(sample):
    size = sample.image.shape[0] // 2
    plain = cv2.resize(sample.image, (size, size), interpolation=cv2.INTER_AREA).astype(int)
    upright = STILL.model_copy(update={"upright": True})
    for seed in range(20):
        image, _ = view(sample, crop_coordinates(sample, 0.5, size, upright, random(seed)))
        assert np.abs(image.astype(int) - plain).max() <= 1


@pytest.mark.parametrize(
    "chosen",
    [
        STILL,
        STILL.model_copy(update={"rotate": True}),
        STILL.model_copy(update={"scale": (0.5, 2.0)}),
        STILL.model_copy(update={"elastic_px": 3.0}),
        STILL.model_copy(update={"scale": (0.7, 1.4), "rotate": True, "elastic_px": 2.0}),
    ],
    ids=["still", "rotated", "zoomed", "bent", "all"],
)
def test_image_and_labels_stay_together_within_a_pixel(coded: Sample, chosen: Augmentation):
    for seed in range(12):
        image, labels = view(coded, crop_coordinates(coded, 0.5, 64, chosen, random(seed)))
        # Away from borders colour must tell the label; within one pixel of them it is a mixture.
        lowest, highest = (
            way(labels.astype(np.uint8), np.ones((3, 3), np.uint8))
            for way in (cv2.erode, cv2.dilate)
        )
        inner = lowest == highest
        inner[[0, -1]] = inner[:, [0, -1]] = False  # what lies beyond the crop is not known here
        assert inner.mean() > 0.5
        np.testing.assert_array_equal(np.rint(image[..., 0][inner] / 30), labels[inner])


def test_zoom_is_measured_against_the_recipes_scale(coded: Sample):
    def step(scale: float, mpp: float) -> float:
        chosen = STILL.model_copy(update={"scale": (scale, scale)})
        at = crop_coordinates(coded, mpp, 32, chosen, random())
        return float(np.linalg.norm(at[0, 2] - at[0, 0]))  # two half pixels: one of the crop

    assert step(1.0, 0.5) == pytest.approx(2.0, rel=1e-4)
    assert step(2.0, 0.5) == pytest.approx(1.0, rel=1e-4)
    assert step(1.0, 0.25) == pytest.approx(1.0, rel=1e-4)


def test_a_crop_larger_than_its_image_is_filled_by_mirrors(coded: Sample):
    image, labels, _ = crop(coded, STILL, size=256)
    assert image.shape == (256, 256, 3)
    assert labels.max() > 0


def test_large_numbers_survive(sample: Sample):
    numbers = np.where(sample.labels > 0, sample.labels + (1 << 24), 0).astype(np.int32)
    numbered = Sample("numbered", sample.image, numbers, sample.mpp)
    labels = crop(numbered, WILD)[1]
    assert set(np.unique(labels)) <= set(np.unique(numbers))


def test_no_jitter_of_stains_is_the_image_itself(sample: Sample):
    np.testing.assert_array_equal(jitter_stain(sample.image, STILL, random()), sample.image)


def test_jitter_of_stains_changes_colours_but_not_form(sample: Sample):
    for seed in range(10):
        jittered = jitter_stain(
            sample.image, Augmentation(stain=1.5, other_stain=0.5), random(seed)
        )
        assert (jittered.shape, jittered.dtype) == (sample.image.shape, np.uint8)
        assert not np.array_equal(jittered, sample.image)


def test_a_jitter_too_small_to_see_leaves_the_image(sample: Sample):
    """Unmixing and mixing anew are inverse to each other."""
    jittered = jitter_stain(sample.image, STILL.model_copy(update={"stain": 1e-9}), random())
    np.testing.assert_allclose(jittered.astype(int), sample.image, atol=1)


@pytest.mark.parametrize("extreme", [0, 255])
def test_black_and_white_are_jittered_without_overflow(extreme: int):
    image = np.full((8, 8, 3), extreme, np.uint8)
    jittered = jitter_stain(image, Augmentation(stain=2.0), random())
    assert np.abs(jittered.astype(int) - extreme).max() < 128


@pytest.mark.parametrize("what", ["grey", "blur", "noise", "jpeg"])
def test_each_disturbance_keeps_form_and_range(sample: Sample, what: str):
    disturbed = disturb(sample.image, STILL.model_copy(update={what: 1.0}), random())
    assert (disturbed.shape, disturbed.dtype) == (sample.image.shape, np.uint8)
    assert not np.array_equal(disturbed, disturb(sample.image, STILL, random()))
    if what == "grey":
        np.testing.assert_array_equal(disturbed[..., 0], disturbed[..., 2])


def test_jpeg_keeps_the_order_of_channels():
    red = np.full((32, 32, 3), (200, 40, 60), np.uint8)
    packed = disturb(red, STILL.model_copy(update={"jpeg": 1.0}), random())
    assert packed[..., 0].mean() > packed[..., 2].mean() + 50


def test_the_image_handed_in_is_left_as_it_was(sample: Sample):
    before = sample.image.copy()
    crop(sample, WILD)
    np.testing.assert_array_equal(sample.image, before)


def test_types_are_read_where_the_labels_are(sample: Sample):
    typed = replace(sample, types=sample.labels.astype(np.uint8))
    random = np.random.default_rng(3)
    coordinates = crop_coordinates(typed, 0.5, 48, Augmentation(), random)
    _, labels = view(typed, coordinates)
    assert labels.any()
    assert (types_at(typed, coordinates) == labels).all()
    assert not types_at(sample, coordinates).any()
