import hashlib
from pathlib import Path

import numpy as np
import pytest

from nuguide.datasets.base import Sample, Split
from nuguide.datasets.monuseg import VALIDATION, is_monuseg, load_monuseg
from nuguide.errors import DataSetError

PARTS: tuple[Split, ...] = ("fit", "validation", "test")


def names(samples: list[Sample]) -> set[str]:
    return {sample.name for sample in samples}


def one_line(error: pytest.ExceptionInfo[DataSetError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "expected" in text
    return text


def assert_no_leak(parts: dict[Split, list[Sample]]) -> None:
    """No patient and no identical picture on two sides."""
    for i, first in enumerate(PARTS):
        for second in PARTS[i + 1 :]:
            for key in (lambda s: s.patient, lambda s: hashlib.sha256(s.image).hexdigest()):
                shared = {key(s) for s in parts[first]} & {key(s) for s in parts[second]}
                assert not shared, f"{first} and {second} share {shared}"


def test_an_image_comes_with_labels_scale_organ_and_patient(replica: Path, pair):
    sample = load_monuseg(replica, "fit")[0]
    assert (sample.name, sample.patient, sample.organ) == (
        "TCGA-AA-0001-01Z",
        "TCGA-AA-0001",
        "Liver",
    )
    assert sample.mpp == 0.25
    assert (sample.image.dtype, sample.labels.dtype) == (np.uint8, np.int32)
    assert sample.image[5, 5].tolist() == [200, 0, 0], "colours are RGB"
    np.testing.assert_array_equal(sample.labels, pair[1])


def test_parts_divide_the_whole(replica: Path):
    parts = {split: load_monuseg(replica, split) for split in PARTS}
    assert [len(parts[split]) for split in PARTS] == [2, 6, 2]
    assert names(parts["validation"]) == VALIDATION
    assert names(load_monuseg(replica, "train")) == names(parts["fit"] + parts["validation"])
    assert names(load_monuseg(replica, "all")) == set().union(*map(names, parts.values()))
    assert_no_leak(parts)


def test_the_real_data_set_has_its_published_parts_and_no_leak(shared: Path):
    parts = {split: load_monuseg(shared / "data" / "monuseg2018", split) for split in PARTS}
    assert [len(parts[split]) for split in PARTS] == [24, 6, 14]
    assert all(s.image.shape == (1000, 1000, 3) for part in parts.values() for s in part)
    assert all(s.labels.max() > 50 for part in parts.values() for s in part)
    assert len({s.patient for part in parts.values() for s in part}) == 44
    assert len({s.organ for s in parts["validation"]}) == 6
    assert {s.organ for s in parts["validation"]} <= {s.organ for s in parts["fit"]}
    assert_no_leak(parts)


def test_a_leak_would_be_seen(replica: Path):
    parts = {split: load_monuseg(replica, split) for split in PARTS}
    parts["test"].append(parts["fit"][0])
    with pytest.raises(AssertionError, match="fit and test share"):
        assert_no_leak(parts)


@pytest.mark.parametrize("content", [None, b"a,b\n1,2\n", b"\xff\xfe\x00\x80" * 100, b""])
def test_another_layout_is_told_apart_and_refused(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "index.csv").write_bytes(content)
    assert not is_monuseg(tmp_path)
    with pytest.raises(DataSetError) as error:
        load_monuseg(tmp_path, "all")
    assert "is not MoNuSeg 2018" in one_line(error)


def test_a_missing_column_is_named(replica: Path):
    index = replica / "index.csv"
    index.write_text(index.read_text().replace("patient", "person"))
    with pytest.raises(DataSetError) as error:
        load_monuseg(replica, "all")
    assert "line 2, has no patient" in one_line(error)


def test_an_index_that_is_no_text_is_refused(replica: Path):
    with (replica / "index.csv").open("ab") as file:
        file.write(b"\xff\xff\n")
    with pytest.raises(DataSetError) as error:
        load_monuseg(replica, "all")
    assert "is no table" in one_line(error)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_missing_file_is_named(replica: Path, folder: str):
    gone = replica / folder / "TCGA-AA-0002-01Z.png"
    gone.unlink()
    with pytest.raises(DataSetError) as error:
        load_monuseg(replica, "fit")
    assert str(gone) in one_line(error)


def test_a_split_without_images_is_refused(replica: Path):
    index = replica / "index.csv"
    rows = index.read_text().splitlines(keepends=True)
    index.write_text("".join(row for row in rows if ",test," not in row))
    with pytest.raises(DataSetError) as error:
        load_monuseg(replica, "test")
    assert "no image of the split 'test'" in one_line(error)
