from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fixtures.annotated import tissue
from fixtures.replicas import write_folder
from nuguide.datasets.base import Sample
from nuguide.datasets.collection import Entry, Samples, digest
from nuguide.datasets.opening import open_dataset
from nuguide.errors import DataSetError


def drawn(name: str = "a") -> Sample:
    made = tissue(32)
    return Sample(name, made.image, made.labels, 0.25)


def test_a_sample_is_decoded_when_asked_for_and_not_held():
    asked = []

    def read(name: str) -> Sample:
        asked.append(name)
        return drawn(name)

    samples = Samples([Entry(name, lambda name=name: read(name)) for name in "abc"])
    assert len(samples) == 3
    assert asked == []
    assert [sample.name for sample in samples[1:]] == ["b", "c"]
    assert samples[-1].name == "c"
    assert asked == ["b", "c", "c"]
    with pytest.raises(IndexError):
        samples[3]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"mpp": 0.5},
        {"image": tissue(32, seed=1).image},
        {"labels": tissue(32, seed=1).labels},
        {"types": tissue(32).types},
        {"ignore": np.zeros((32, 32), bool)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_sees_whatever_training_sees(change: dict):
    assert digest([drawn()]) == digest([drawn()])
    assert digest([drawn()]) != digest([replace(drawn(), **change)])


def test_the_digest_sees_the_order():
    assert digest([drawn("a"), drawn("b")]) != digest([drawn("b"), drawn("a")])


@pytest.mark.parametrize("which", ["folder", "image"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, which: str):
    root = tmp_path / "set"
    write_folder(root, "ab")
    if which == "folder":
        root = root.rename(tmp_path / "caf\udce9")
    else:
        for part in ("images", "masks"):
            for file in list((root / part).glob("a.*")):
                file.rename(file.with_stem("caf\udce9"))
    with pytest.raises(DataSetError, match="no text in UTF-8; expected one that is; rename it"):
        open_dataset(root, "all", 0.25)


def test_low_data_parts_are_nested(tmp_path: Path):
    write_folder(tmp_path, "abcdefgh")
    names = [
        {e.name for e in open_dataset(tmp_path, "train", 0.25, images=n).entries} for n in (2, 5)
    ]
    assert names[0] < names[1]
    assert len(names[1]) == 5
