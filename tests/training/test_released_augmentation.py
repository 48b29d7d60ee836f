import cv2
import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.errors import RecipeError
from nuguide.evaluation.protocols import PROTOCOLS
from nuguide.training.crops import Crops, TokenMap
from nuguide.training.recipe_file import checked_recipe, read_recipe
from nuguide.training.recipe_parts import ReleasedAugmentation
from nuguide.training.released_augmentation import check_view, released_crop, whole, with_gamma

STILL = ReleasedAugmentation(mirror=0, rotate=False, zoom=(1, 1), noise=0, gamma=(1,))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def changed(**values) -> ReleasedAugmentation:
    return STILL.model_copy(update=values)


@pytest.fixture(scope="module")
def coded() -> Sample:
    """Return an image of 512 px whose colour, 30 times the label, tells each pixel's label."""
    labels = np.zeros((512, 512), np.int32)
    places = [(120, 130), (260, 150), (400, 140), (150, 330), (360, 300), (240, 420)]
    for number, at in enumerate(places, start=1):
        cv2.ellipse(labels, at, (60, 40), 30 * number, 0, 360, number, -1)
    image = np.repeat((30 * labels).astype(np.uint8)[..., None], 3, axis=2)
    return Sample("coded", image, labels, 0.25)


@pytest.mark.parametrize("chosen", [ReleasedAugmentation(), STILL])
def test_a_seed_decides_everything(coded: Sample, chosen: ReleasedAugmentation):
    for one, same in zip(
        released_crop(coded, chosen, random(3)),
        released_crop(coded, chosen, random(3)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, same)


def test_seeds_differ(coded: Sample):
    one, other = (released_crop(coded, ReleasedAugmentation(), random(seed))[2] for seed in (0, 1))
    assert not np.allclose(one, other)


def test_shapes_types_and_labels(coded: Sample):
    for seed in range(5):
        image, labels, coordinates = released_crop(coded, ReleasedAugmentation(), random(seed))
        assert (image.shape, image.dtype) == ((256, 256, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((256, 256), np.int32)
        assert (coordinates.shape, coordinates.dtype) == ((512, 512, 2), np.float32)
        assert set(np.unique(labels)) <= set(range(7))


def test_without_change_it_is_what_the_protocol_released_sees(coded: Sample):
    image, labels, _ = released_crop(coded, STILL, random())
    seen = PROTOCOLS["released"].view(coded)
    assert np.abs(image.astype(int) - seen.image).max() <= 1
    assert ((labels > 0) != (seen.labels > 0)).mean() < 1e-3


@pytest.mark.parametrize(
    "chosen",
    [
        STILL,
        changed(mirror=0.5),
        changed(rotate=True),
        changed(zoom=(1, 2)),
        changed(mirror=0.5, rotate=True, zoom=(1, 2)),
    ],
    ids=["still", "mirrored", "turned", "enlarged", "all"],
)
def test_image_and_labels_stay_together(coded: Sample, chosen: ReleasedAugmentation):
    for seed in range(8):
        image, labels, _ = released_crop(coded, chosen, random(seed))
        lowest, highest = (
            way(labels.astype(np.uint8), np.ones((5, 5), np.uint8))
            for way in (cv2.erode, cv2.dilate)
        )
        inner = lowest == highest  # cubic sampling rings at borders
        inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False  # unknown beyond the view
        assert inner.mean() > 0.5
        np.testing.assert_array_equal(np.rint(image[..., 0][inner] / 30), labels[inner])


def test_both_mirrors_are_drawn_each_for_itself(coded: Sample):
    plain = released_crop(coded, STILL, random())[0]
    ways = [plain, plain[::-1], plain[:, ::-1], plain[::-1, ::-1]]
    seen = set()
    for seed in range(30):
        image = released_crop(coded, changed(mirror=0.5), random(seed))[0]
        off = [np.abs(image.astype(int) - way).max() for way in ways]
        assert min(off) <= 1
        seen.add(int(np.argmin(off)))
    assert seen == {0, 1, 2, 3}


def test_a_turned_image_is_cut_to_what_is_inside_it(coded: Sample):
    narrowest = 512.0
    for seed in range(40):
        _, _, at = released_crop(coded, changed(rotate=True), random(seed))
        assert at.min() >= -0.5
        assert at.max() <= 511.5
        step = 2 * float(np.linalg.norm(at[0, 1] - at[0, 0]))
        narrowest = min(narrowest, 256 * step)
        # The largest square touches the border of the image with all four corners.
        assert at.max() > 510.5
    assert narrowest == pytest.approx(512 / np.sqrt(2), rel=0.02), "the diagonal, at 45 degrees"


def test_zoom_is_drawn_from_its_range_about_the_middle(coded: Sample):
    zooms = []
    for seed in range(60):
        _, _, at = released_crop(coded, changed(zoom=(1, 2)), random(seed))
        zooms.append(512 / (at[-1, 0, 0] - at[0, 0, 0]) * 511 / 512)
        np.testing.assert_allclose(at.mean((0, 1), dtype=float), 255.5, atol=1e-3)
    assert 0.99 < min(zooms) < 1.1
    assert 1.9 < max(zooms) < 2.01
    assert np.mean(zooms) == pytest.approx(1.5, abs=0.1)


def test_noise_is_blended_in_with_its_share_and_probability(coded: Sample):
    plain = released_crop(coded, STILL, random())[0].astype(float)
    noisy = 0
    for seed in range(12):
        image = released_crop(coded, changed(noise=0.5), random(seed))[0]
        if np.abs(image - plain).max() > 1:
            noisy += 1
            off = image - 0.7 * plain
            assert off.min() >= -2
            assert off.max() <= 0.3 * 255 + 2
            assert np.ptp(off) > 60, "the noise fills its range"
    assert 2 <= noisy <= 10


def test_gamma_is_one_of_those_named(coded: Sample):
    plain = released_crop(coded, STILL, random())[0]
    bright = with_gamma(plain, 1.5)
    counts = [0, 0]
    for seed in range(60):
        image = released_crop(coded, changed(gamma=(1, 1, 1.5)), random(seed))[0]
        counts[int(np.array_equal(image, bright))] += 1
        assert np.array_equal(image, bright) or np.array_equal(image, plain)
    assert counts[0] > counts[1] > 8, "one in three is brightened"


def test_gamma_above_one_brightens_and_one_changes_nothing():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_allclose(with_gamma(ramp, 1.0).astype(int), ramp, atol=1)
    brighter = with_gamma(ramp, 1.5)
    assert (brighter[0, 1:-1, 0] >= ramp[0, 1:-1, 0]).all()
    assert brighter[0, 64, 0] == int((64 / 255) ** (1 / 1.5) * 255)


def test_whole_keeps_touching_nuclei_apart_where_the_protocol_has_one_mask():
    labels = np.zeros((512, 512), np.int32)
    labels[100:200, 100:200], labels[100:200, 200:300] = 5, 9
    sample = Sample("pair", np.zeros((512, 512, 3), np.uint8), labels, 0.25)
    seen, of_protocol = whole(sample), PROTOCOLS["released"].view(sample)
    np.testing.assert_array_equal(seen.labels > 0, of_protocol.labels > 0)
    np.testing.assert_array_equal(seen.image, of_protocol.image)
    assert set(np.unique(seen.labels)) == {0, 5, 9}
    assert seen.labels[75, 99] == 5
    assert seen.labels[75, 100] == 9
    assert seen.mpp == 0.5


def test_an_image_without_nuclei_stays_so():
    blank = Sample("blank", np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.int32), 2.0)
    assert whole(blank).labels.max() == 0
    assert released_crop(blank, ReleasedAugmentation(), random())[1].max() == 0


def test_the_image_handed_in_is_left_as_it_was(coded: Sample):
    before = coded.image.copy()
    released_crop(coded, ReleasedAugmentation(noise=1, gamma=(1.5,)), random())
    np.testing.assert_array_equal(coded.image, before)


def crops(samples: list[Sample], tokens=None, **changes) -> Crops:
    chosen = {"seed": 7, "epoch": 0, "length": 6} | changes
    return Crops(samples, tokens, mpp=0.5, size=256, augmentation=STILL, targets=(), **chosen)


def test_every_image_is_seen_once_before_any_is_seen_again():
    shades = [
        Sample(str(i), np.full((256, 256, 3), 40 * i, np.uint8), np.eye(256, dtype=np.int32), 0.5)
        for i in range(6)
    ]
    drawn = crops(shades, length=14)
    order = [round(float(drawn[i]["image"][0, 128, 0]) * 255 / 40) for i in range(14)]
    assert sorted(order[:6]) == sorted(order[6:12]) == list(range(6))
    assert order[:6] != order[6:12], "in another order"
    again = crops(shades, length=14)
    assert torch_equal(drawn[13], again[13])
    other = [
        round(float(crops(shades, length=14, epoch=1)[i]["image"][0, 128, 0]) * 255 / 40)
        for i in range(6)
    ]
    assert other != order[:6]


def torch_equal(one: dict, other: dict) -> bool:
    return all(bool((one[key] == other[key]).all()) for key in one)


def test_tokens_are_read_where_the_pixels_lie(coded: Sample):
    """A map that tells the place of its tissue gives back each token's place, um."""
    import torch

    values = torch.zeros(256, 64, 64, dtype=torch.float16)
    values[0] = (torch.arange(64)[:, None] + 0.5) * 2
    values[1] = (torch.arange(64)[None, :] + 0.5) * 2
    for seed in range(6):
        chosen = changed(mirror=0.5, rotate=True, zoom=(1.1, 2))
        _, _, at = released_crop(coded, chosen, random(seed))
        read = TokenMap(values, 2.0).at(at, coded.mpp)[:2].numpy()
        assert read.shape == (2, 64, 64)
        blocks = at.reshape(64, 8, 64, 8, 2).mean((1, 3))
        places = np.moveaxis((blocks + 0.5) * coded.mpp, -1, 0)
        inside = ((places > 1) & (places < 127)).all(0)
        np.testing.assert_allclose(read[:, inside], places[:, inside], atol=0.1)


def refusal(sample: Sample, mpp: float = 0.5) -> str:
    recipe = checked_recipe(read_recipe("released", {"mpp": mpp}).model_dump(mode="json"), "test")
    with pytest.raises(RecipeError) as error:
        check_view(sample, recipe)
    return str(error.value)


def test_a_view_that_is_not_the_recipes_is_refused(coded: Sample):
    check_view(coded, read_recipe("released"))
    assert "coded has 0.5 um/px when it is resized whole to 256 px; expected 0.25" in refusal(
        coded, 0.25
    )
    oblong = Sample("o", np.zeros((8, 16, 3), np.uint8), np.zeros((8, 16), np.int32), 0.5)
    assert "o is 8 x 16 px; expected square images" in refusal(oblong)
