from dataclasses import replace

import numpy as np
import pytest

from nuguide.datasets.base import Sample
from nuguide.datasets.turning import every_way


@pytest.fixture(scope="module")
def coded() -> Sample:
    """Return a sample whose maps all tell the place of each pixel."""
    place = np.arange(12).reshape(3, 4)
    image = np.repeat(place.astype(np.uint8)[..., None], 3, axis=2)
    return Sample(
        "coded",
        image,
        place.astype(np.int32),
        0.5,
        organ="Liver",
        types=(place + 20).astype(np.uint8),
        ignore=place % 2 == 0,
    )


def test_all_eight_ways_are_there_and_the_first_is_the_sample(coded: Sample):
    ways = every_way(coded)
    assert len({way.labels.tobytes() + bytes(way.labels.shape) for way in ways}) == 8
    np.testing.assert_array_equal(ways[0].image, coded.image)
    assert {way.name for way in ways} == {f"coded-{number}" for number in range(8)}
    assert {(way.mpp, way.organ) for way in ways} == {(0.5, "Liver")}


def test_all_maps_turn_together(coded: Sample):
    for way in every_way(coded):
        np.testing.assert_array_equal(way.image[..., 0], way.labels)
        np.testing.assert_array_equal(way.types, way.labels + 20)
        np.testing.assert_array_equal(way.ignore, way.labels % 2 == 0)


def test_what_a_sample_does_not_have_it_does_not_get(coded: Sample):
    plain = replace(coded, types=None, ignore=None)
    assert all(way.types is None and way.ignore is None for way in every_way(plain))
