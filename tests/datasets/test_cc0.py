import csv
from pathlib import Path

import numpy as np
import pytest

from fixtures.annotated import tissue
from fixtures.replicas import write_picture, write_table
from nuguide.datasets.cc0 import NUCLS_CLASSES
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError


def write_dsb(root: Path, fractions: list[float]) -> None:
    rows = []
    for i, fraction in enumerate(fractions):
        drawn = tissue(64, i)
        write_picture(root / "images" / f"{i}.png", drawn.image)
        write_picture(root / "masks" / f"{i}.png", drawn.labels.astype(np.uint16))
        row = (f"{i}", "x" * 64, "he_pink", 20, fraction)
        columns = ("case", "kaggle_image_id", "appearance", "n_nuclei", "fg_fraction")
        rows.append(dict(zip(columns, row, strict=True)))
    write_table(root / "index.csv", rows)


def test_scales_are_estimated_from_the_size_of_nuclei_and_say_so(tmp_path: Path):
    area = np.pi / 4 * 24**2  # nuclei 24 px across are 6 um across at 0.25 um/px
    write_dsb(tmp_path, [area * 20 / (256 * 320), 0.9, 0.0001])
    samples = open_dataset(tmp_path)
    assert [sample.mpp for sample in samples] == [0.25, 0.1, 0.5]
    assert all(sample.mpp_estimated for sample in samples)
    stated = open_dataset(tmp_path, mpp=0.4)[0]
    assert (stated.mpp, stated.mpp_estimated) == (0.4, False)
    assert recognise(tmp_path).licence == "CC0-1.0"


def test_an_index_without_areas_is_refused(tmp_path: Path):
    write_dsb(tmp_path, [0.0])
    with pytest.raises(DataSetError, match="line 2, tells no area of nuclei"):
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
