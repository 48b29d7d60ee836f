from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import aperio_xml, write_monuseg_xml
from nuguide.datasets.base import Split
from nuguide.datasets.monuseg import VALIDATION, is_monuseg, is_monuseg_xml, official_parts
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError

CASES = {
    "TCGA-18-5592-01Z-00-DX1": "train",
    "TCGA-E2-A14V-01Z-00-DX1": "train",
    "TCGA-2Z-A9J9-01A-01-TS1": "test",
}


def names(root: Path, split: Split) -> list[str]:
    return [entry.name for entry in open_dataset(root, split).entries]


def one_line(error: pytest.ExceptionInfo[DataSetError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "expected" in text
    return text


def test_an_image_comes_with_labels_scale_organ_and_patient(replica: Path):
    sample = open_dataset(replica, "fit")[0]
    assert (sample.name, sample.patient, sample.organ) == (
        "TCGA-AA-0001-01Z",
        "TCGA-AA-0001",
        "Liver",
    )
    assert (sample.mpp, sample.mpp_estimated) == (0.25, False)
    assert (sample.image.dtype, sample.labels.dtype) == (np.uint8, np.int32)
    red, _, blue = sample.image[sample.labels == 0].mean(axis=0)
    assert red > blue + 20, "colours are RGB"
    assert np.unique(sample.labels).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_parts_divide_the_whole(replica: Path):
    parts = {split: names(replica, split) for split in ("fit", "validation", "test")}
    assert [len(part) for part in parts.values()] == [2, 6, 2]
    assert set(parts["validation"]) == VALIDATION
    assert set(names(replica, "train")) == {*parts["fit"], *parts["validation"]}
    assert set(names(replica, "all")) == set().union(*parts.values())


def test_the_real_data_set_has_its_published_parts(shared: Path):
    root = shared / "data" / "monuseg2018"
    data = recognise(root)
    assert [len(names(root, split)) for split in ("fit", "validation", "test")] == [24, 6, 14]
    assert len({entry.patient for entry in data.entries}) == 44
    official = {entry.name: (entry.part == "test", entry.organ) for entry in data.entries}
    committed = {
        case: (split == "test", organ) for case, (split, organ) in official_parts().items()
    }
    assert official == committed
    organs = {
        part: {entry.organ for entry in open_dataset(root, part).entries}
        for part in ("fit", "validation")
    }
    assert len(organs["validation"]) == 6
    assert organs["validation"] <= organs["fit"]


def test_the_committed_parts_are_the_official_ones():
    parts = official_parts()
    assert [split for split, _ in parts.values()].count("test") == 14
    assert len(parts) == 44
    assert {parts[case][0] for case in VALIDATION} == {"train"}


def test_polygons_as_downloaded_give_the_same_instances(tmp_path: Path):
    truths = write_monuseg_xml(tmp_path, CASES)
    assert is_monuseg_xml(tmp_path)
    assert names(tmp_path, "test") == ["TCGA-2Z-A9J9-01A-01-TS1"]
    assert names(tmp_path, "validation") == ["TCGA-E2-A14V-01Z-00-DX1"]
    for sample in open_dataset(tmp_path):
        np.testing.assert_array_equal(sample.image, truths[sample.name].image)
        np.testing.assert_array_equal(sample.labels, truths[sample.name].labels)
        assert (sample.patient, sample.mpp) == (sample.name[:12], 0.25)
        assert sample.organ == official_parts()[sample.name][1]


def test_of_polygons_that_overlap_the_first_keeps_the_pixels(tmp_path: Path):
    write_monuseg_xml(tmp_path, CASES)
    xml = next(tmp_path.rglob("TCGA-18-5592-01Z-00-DX1.xml"))
    boxes = [np.array([(x, 5), (x + 9, 5), (x + 9, 14), (x, 14)]) for x in (2, 7)]
    xml.write_text(aperio_xml(boxes))
    labels = open_dataset(tmp_path, "fit")[0].labels
    assert (labels[5:15, 2:12] == 1).all()
    assert (labels[5:15, 12:17] == 2).all()
    assert (labels > 0).sum() == 150


def test_files_that_do_not_pair_up_or_are_unknown_are_named(tmp_path: Path):
    write_monuseg_xml(tmp_path, CASES)
    next(tmp_path.rglob("TCGA-18-5592-01Z-00-DX1.xml")).unlink()
    known = next(tmp_path.rglob("TCGA-2Z-A9J9-01A-01-TS1.tif"))
    for suffix in (".tif", ".xml"):
        copy = known.with_name(f"unheard-of{suffix}")
        copy.write_bytes(known.with_suffix(suffix).read_bytes())
    (tmp_path / "spare.xml").write_text("<Annotations/>")
    found = {(f.severity, f.problem, f.file) for f in recognise(tmp_path).findings}
    assert found == {
        ("error", "image without XML", "TCGA-18-5592-01Z-00-DX1.tif"),
        ("error", "unknown case", "unheard-of.tif"),
        ("warning", "XML without image", "spare.xml"),
    }
    with pytest.raises(DataSetError, match=r"without XML; expected .* \(and 1 more: see"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", [None, b"a,b\n1,2\n", b"\xff\xfe\x00\x80" * 100, b""])
def test_another_layout_is_told_apart_and_refused(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "index.csv").write_bytes(content)
    assert not is_monuseg(tmp_path)
    with pytest.raises(DataSetError) as error:
        open_dataset(tmp_path)
    assert "MoNuSeg 2018 (index.csv with monuseg2018_split" in one_line(error)


def test_a_missing_column_is_named(replica: Path):
    index = replica / "index.csv"
    index.write_text(index.read_text().replace("patient", "person"))
    with pytest.raises(DataSetError) as error:
        open_dataset(replica)
    assert "line 2, has no patient" in one_line(error)


def test_an_index_that_is_no_text_is_refused(replica: Path):
    with (replica / "index.csv").open("ab") as file:
        file.write(b"\xff\xff\n")
    with pytest.raises(DataSetError) as error:
        open_dataset(replica)
    assert "is no table" in one_line(error)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_missing_file_is_named(replica: Path, folder: str):
    gone = replica / folder / "TCGA-AA-0002-01Z.png"
    gone.unlink()
    with pytest.raises(DataSetError) as error:
        list(open_dataset(replica, "fit"))
    assert str(gone) in one_line(error)


def test_a_split_without_images_is_refused(replica: Path):
    index = replica / "index.csv"
    rows = index.read_text().splitlines(keepends=True)
    index.write_text("".join(row for row in rows if ",test," not in row))
    with pytest.raises(DataSetError) as error:
        open_dataset(replica, "test")
    assert "no image of the split 'test'" in one_line(error)
