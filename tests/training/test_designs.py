"""Both designs of the second head: what they teach, decoded, gives the nuclei back."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nuguide.datasets.opening import open_dataset
from nuguide.datasets.resampling import resampled
from nuguide.evaluation.score import score
from nuguide.models.card import Decoding
from nuguide.segmentation.decoding import Maps, decode
from nuguide.training.ablation.grid import planned, read_grid
from nuguide.training.gpu.scoring import decode_there
from nuguide.training.targets import centre_offsets, normalised_distance

MPP = 0.5


def perfect(labels: NDArray[np.int32], design: str) -> Maps:
    """Return the maps of a network that makes no mistake."""
    foreground = (labels > 0).astype(np.float32)
    if design == "distance":
        return Maps(foreground, normalised_distance(labels), MPP)
    return Maps(foreground, None, MPP, centre_offsets(labels))


def decoding_of(design: str) -> Decoding:
    """Return the thresholds that the two are compared with."""
    variant = {"distance": "none", "offsets": "offsets"}[design]
    plan = planned(read_grid("targets"), "small")
    return next(each.recipe.decoding for each in plan if each.variant == variant)


@pytest.fixture(params=["distance", "offsets"])
def design(request: pytest.FixtureRequest) -> str:
    return request.param


def ellipses(count: int, size: int, seed: int) -> NDArray[np.int32]:
    """Draw ellipses that overlap here and there; the later lies on top."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for number in range(1, count + 1):
        cy, cx = random.uniform(12, size - 12, 2)
        long, angle = random.uniform(7, 12), random.uniform(0, np.pi)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        inside = (along / long) ** 2 + (across / random.uniform(5, 7)) ** 2 <= 1
        if np.count_nonzero(labels[inside]) < 0.15 * np.count_nonzero(inside):
            labels[inside] = number
    return labels


def test_touching_nuclei_come_back(design: str):
    """A row, a column and a diagonal of discs that touch, and one that stands alone."""
    y, x = np.mgrid[:120, :120]
    labels = np.zeros((120, 120), np.int32)
    centres = [(20, 20), (20, 37), (20, 54), (37, 20), (54, 20), (80, 80), (92, 92), (100, 20)]
    for number, (cy, cx) in enumerate(centres, start=1):
        labels[((y - cy) ** 2 + (x - cx) ** 2 <= 8.6**2) & (labels == 0)] = number
    found = decode(perfect(labels, design), decoding_of(design))
    assert found.max() == len(centres)
    assert score(labels, found)["aji"] > 0.97


def test_crowded_nuclei_come_back(design: str):
    for seed in range(3):
        labels = ellipses(70, 200, seed)
        scores = score(labels, decode(perfect(labels, design), decoding_of(design)))
        assert scores["aji"] > 0.93
        assert scores["dq"] > 0.96


def test_the_division_does_not_depend_on_where_a_region_ends(design: str):
    labels = ellipses(70, 200, 3)
    maps = perfect(labels, design)
    part = np.s_[..., 40:160, 30:170]
    cut = Maps(
        maps.foreground[part],
        None if maps.distance is None else maps.distance[part],
        MPP,
        None if maps.offsets is None else maps.offsets[part],
    )
    whole = decode(maps, decoding_of(design))[part]
    again = decode(cut, decoding_of(design))
    inside = np.s_[30:-30, 30:-30]
    pairs = np.unique(np.stack([whole[inside].ravel(), again[inside].ravel()]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1] > 8


def test_a_little_noise_divides_no_nucleus(design: str):
    labels, random = ellipses(70, 200, 4), np.random.default_rng(0)
    maps = perfect(labels, design)
    noisy = {
        name: None if values is None else values + random.normal(0, 0.04, values.shape)
        for name, values in (("distance", maps.distance), ("offsets", maps.offsets))
    }
    found = decode(
        Maps(maps.foreground, noisy["distance"], MPP, noisy["offsets"]), decoding_of(design)
    )
    assert abs(int(found.max()) - np.unique(labels[labels > 0]).size) <= 2


def test_it_is_decoded_alike_without_opencv(design: str):
    maps = perfect(ellipses(70, 200, 5), design)
    here, there = (each(maps, decoding_of(design)) for each in (decode, decode_there))
    assert here.max() == there.max() > 20
    assert (here == there).mean() > 0.99


def test_annotated_nuclei_come_back(design: str, shared: Path):
    """The ceiling of a design: what its decoding makes of a perfect prediction."""
    for number in (0, 12):
        sample = resampled(open_dataset(shared / "data/monuseg2018", "fit")[number], MPP)
        found = decode(perfect(sample.labels, design), decoding_of(design))
        scores = score(sample.labels, found)
        assert scores["aji"] > 0.88
        assert scores["pq"] > 0.87
