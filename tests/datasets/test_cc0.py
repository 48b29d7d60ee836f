import csv
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.annotated import tissue
from fixtures.replicas import write_picture, write_table
from nuguide.datasets.cc0 import DSB_MPP, NUCLS_CLASSES
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError

PINK, WHITE, OVERLAPPING = "4193474b2f1c72f7", "00ae65c1c6631ae6", "1e488c42eb1a54a3"


def write_dsb(root: Path, cases: list[str]) -> None:
    rows = []
    for seed, case in enumerate(cases):
        drawn = tissue(64, seed)
        write_picture(root / "images" / f"{case}.png", drawn.image)
        write_picture(root / "masks" / f"{case}.png", drawn.labels.astype(np.uint16))
        columns = ("case", "kaggle_image_id", "appearance", "n_nuclei", "fg_fraction")
        rows.append(dict(zip(columns, (case, "x" * 64, "he_pink", 20, 0.1), strict=True)))
    write_table(root / "index.csv", rows)


def test_scales_are_estimates_and_say_so(tmp_path: Path):
    write_dsb(tmp_path, [PINK, WHITE])
    samples = {sample.name: sample for sample in open_dataset(tmp_path)}
    assert samples[PINK].mpp == DSB_MPP["pink"]
    assert samples[WHITE].mpp == DSB_MPP["white"]
    assert all(sample.mpp_estimated for sample in samples.values())
    stated = open_dataset(tmp_path, mpp=0.4)[0]
    assert (stated.mpp, stated.mpp_estimated) == (0.4, False)
    assert recognise(tmp_path).licence == "CC0-1.0"


def test_one_place_at_two_scales_is_one_picture(tmp_path: Path):
    coarse = "2246874c8b5ba218"
    write_dsb(tmp_path, [OVERLAPPING, coarse])
    fine, other = open_dataset(tmp_path)
    assert fine.source == other.source != ""
    assert (fine.mpp, other.mpp) == (DSB_MPP["fine"], DSB_MPP["coarse"])
    assert DSB_MPP["coarse"] / DSB_MPP["fine"] == pytest.approx(2.5, rel=0.01)


def test_an_unknown_image_is_refused(tmp_path: Path):
    write_dsb(tmp_path, [PINK, "another"])
    with pytest.raises(DataSetError, match="names the image 'another'; expected one of the 107"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "images", "title"),
    [
        ("dsb2018_brightfield", 107, "DSB 2018, bright-field tissue"),
        ("nucls_sample", 15, "NuCLS sample"),
    ],
)
def test_the_real_sets_open_under_their_names(shared: Path, name: str, images: int, title: str):
    root = shared / "data" / name
    data = recognise(root)
    assert (data.title, data.licence, len(data.entries)) == (title, "CC0-1.0", images)
    assert data.entries[0].read().mpp_estimated
    if name == "nucls_sample":
        with (root / "index.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert data.classes == NUCLS_CLASSES
        assert set(np.unique(data.entries[0].read().types)) == {0, 1, 2}
        tested = {entry.name for entry in open_dataset(root, "test").entries}
        assert tested == {row["case"] for row in rows if row["split"] == "test"}


def continues(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return how alike two borders are, (n, 3) each: 1 where one goes on in the other."""
    if one.shape != other.shape or min(one.std(0).min(), other.std(0).min()) < 3:
        return 0.0
    a, b = (border - border.mean(0) for border in (one.astype(float), other.astype(float)))
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


@pytest.mark.parametrize("name", ["dsb2018_brightfield", "nucls_sample"])
def test_no_image_is_fitted_on_whose_neighbour_is_validated_on(shared: Path, name: str):
    """Borders that fit together correlate at 0.94 or more, others at 0.86 or less."""
    root = shared / "data" / name
    parts = {
        entry.name: part
        for part in ("fit", "validation")
        for entry in open_dataset(root, part).entries
    }
    samples = {sample.name: sample for sample in open_dataset(root, "train")}
    neighbours = 0
    for one, other in permutations(samples.values(), 2):
        right = continues(one.image[:, -1], other.image[:, 0])
        below = continues(one.image[-1], other.image[0])
        if max(right, below) > 0.9:
            neighbours += 1
            assert parts[one.name] == parts[other.name], f"{one.name} continues in {other.name}"
            assert one.source == other.source
    assert neighbours >= {"dsb2018_brightfield": 80, "nucls_sample": 2}[name]
