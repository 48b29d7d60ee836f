from pathlib import Path

import numpy as np
import pytest

from fixtures.replicas import write_folder, write_picture
from nuguide.datasets import masks
from nuguide.datasets.opening import open_dataset, recognise
from nuguide.errors import DataSetError, ResolutionError


def test_label_maps_are_kept_and_binary_masks_numbered(plain_folder: Path, pair):
    mapped, binary = open_dataset(plain_folder, mpp=0.4)
    assert [mapped.name, binary.name] == ["a", "b"]
    assert (mapped.mpp, binary.mpp) == (0.4, 0.4)
    np.testing.assert_array_equal(mapped.labels, pair[1])
    assert mapped.labels.dtype == binary.labels.dtype == np.int32
    assert np.unique(binary.labels).tolist() == [0, 1], "the two touch: one connected part"
    assert mapped.image[0, 0].tolist() == [200, 0, 0], "colours are RGB"


def test_each_connected_part_of_a_binary_mask_is_an_instance(
    plain_folder: Path, write_picture, pair
):
    mask = np.zeros(pair[1].shape, np.uint8)
    mask[1:5, 1:5] = mask[1:5, 10:15] = mask[12:18, 20:25] = 255
    write_picture(plain_folder / "masks" / "b.tif", mask)
    labels = open_dataset(plain_folder, mpp=0.5)[1].labels
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    assert len(np.unique(labels[1:5, 1:5])) == 1
    np.testing.assert_array_equal(labels > 0, mask > 0)


def in_pieces(shape: tuple[int, ...], value: int, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros(shape, dtype)
    mask[1:5, 1:5] = mask[12:18, 20:25] = value
    return mask


@pytest.mark.parametrize("value", [7, 254])
def test_a_label_map_of_one_nucleus_in_pieces_stays_one(
    plain_folder: Path, write_picture, pair, value: int
):
    mask = in_pieces(pair[1].shape, value)
    for name in "ab":
        write_picture(plain_folder / "masks" / f"{name}.tif", mask)
    sample = open_dataset(plain_folder, mpp=0.5)[1]
    np.testing.assert_array_equal(sample.labels, mask)
    assert not sample.from_binary


def test_a_one_is_what_the_masks_beside_it_say(plain_folder: Path, write_picture, pair):
    mask = in_pieces(pair[1].shape, 1)
    write_picture(plain_folder / "masks" / "b.tif", mask)
    sample = open_dataset(plain_folder, mpp=0.5)[1]
    assert (sample.labels.max(), sample.from_binary) == (1, False), "a.tif is a label map"
    for other in (mask, mask * 255):
        write_picture(plain_folder / "masks" / "a.tif", other)
        sample = open_dataset(plain_folder, mpp=0.5)[1]
        assert (sample.labels.max(), sample.from_binary) == (2, True)


def test_a_binary_mask_of_16_bits_is_one(plain_folder: Path, write_picture, pair):
    write_picture(plain_folder / "masks" / "b.tif", in_pieces(pair[1].shape, 65535, np.uint16))
    sample = open_dataset(plain_folder, mpp=0.5)[1]
    assert (sample.labels.max(), sample.from_binary) == (2, True)


def test_few_masks_are_decoded_and_none_by_opening(
    plain_folder: Path, write_picture, monkeypatch, pair
):
    mask = in_pieces(pair[1].shape, 1)
    for number in range(200):
        for kind, pixels in (("images", pair[0]), ("masks", mask)):
            write_picture(plain_folder / kind / f"{number:03}.png", pixels)
    for name in "ab":
        write_picture(plain_folder / "masks" / f"{name}.tif", mask)
    decoded = []
    read = masks.read_labels
    monkeypatch.setattr(masks, "read_labels", lambda path: decoded.append(path) or read(path))
    samples = open_dataset(plain_folder, mpp=0.5)
    assert not decoded
    assert [samples[number].labels.max() for number in (0, 1)] == [2, 2]
    assert 32 <= len(decoded) <= masks.LOOKED_AT


@pytest.mark.parametrize("value", [0, 7])
def test_nuclei_that_leave_no_background_and_empty_masks(
    plain_folder: Path, write_picture, pair, value: int
):
    """Two values without 0 are two nuclei, not a binary mask; no value at all is no nucleus."""
    mask = np.full(pair[1].shape, value, np.uint8)
    mask[:10] *= 2
    write_picture(plain_folder / "masks" / "b.tif", mask)
    np.testing.assert_array_equal(open_dataset(plain_folder, mpp=0.5)[1].labels, mask)


def test_other_files_are_left_alone(plain_folder: Path):
    (plain_folder / "images" / "notes.txt").write_text("not a picture")
    assert len(open_dataset(plain_folder, mpp=0.5)) == 2


def test_a_folder_without_images_is_refused(tmp_path: Path):
    with pytest.raises(DataSetError, match=r"holds nothing, which is no data set known here"):
        open_dataset(tmp_path, mpp=0.5)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataSetError, match="no pictures in images/; expected"):
        open_dataset(tmp_path, mpp=0.5)


def test_a_missing_mask_is_named(plain_folder: Path):
    (plain_folder / "masks" / "b.tif").unlink()
    with pytest.raises(DataSetError, match=r"b\.png has no mask; expected a picture named b\.\*"):
        open_dataset(plain_folder, mpp=0.5)


def test_a_mask_of_another_size_is_named(plain_folder: Path, write_picture):
    write_picture(plain_folder / "masks" / "b.tif", np.zeros((20, 31), np.uint8))
    with pytest.raises(DataSetError, match=r"b\.tif is 20 x 31 px; expected 20 x 30 px"):
        list(open_dataset(plain_folder, mpp=0.5))


def test_two_pictures_of_one_stem_are_refused(plain_folder: Path, write_picture, pair):
    write_picture(plain_folder / "images" / "b.jpg", pair[0])
    with pytest.raises(DataSetError, match=r"b\.jpg and b\.png; expected one picture a stem"):
        open_dataset(plain_folder, mpp=0.5)


@pytest.mark.parametrize("mpp", [0.0, float("nan"), 50.0])
def test_a_scale_that_cannot_be_is_refused(plain_folder: Path, mpp: float):
    with pytest.raises(ResolutionError, match="--mpp says"):
        open_dataset(plain_folder, mpp=mpp)


def test_without_a_scale_the_index_is_named(plain_folder: Path):
    with pytest.raises(
        ResolutionError, match=r"a\.png has no um/px; expected --mpp, .*index\.csv"
    ) as error:
        open_dataset(plain_folder)
    assert "None" not in str(error.value)


def test_the_index_of_the_page_on_training_is_read(tmp_path: Path):
    page = Path(__file__).parents[2] / "docs" / "training.md"
    lines = [line.strip() for line in page.read_text(encoding="utf-8").splitlines()]
    start = lines.index("name,mpp,split,organ,patient,source")
    write_folder(tmp_path, ("a1", "a2", "b1", "c1"))
    (tmp_path / "index.csv").write_text("\n".join(lines[start : start + 5]) + "\n")
    assert recognise(tmp_path).findings == ()
    counts = {part: len(open_dataset(tmp_path, part)) for part in ("fit", "validation", "test")}
    assert counts == {"fit": 2, "validation": 1, "test": 1}
    assert [sample.mpp for sample in open_dataset(tmp_path)] == [0.25, 0.25, 0.5, 0.25]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("stem,mpp\na,0.25\n", "begins with 'stem,mpp'; expected columns divided by commas"),
        ("name;mpp\na;0.25\n", "begins with 'name;mpp'; expected columns divided by commas"),
        ("", "begins with ''; expected columns"),
        ("Name,MPP\na,0.25\n", "has a column 'Name'; expected 'name'"),
        ("name, mpp\na,0.25\n", "has a column ' mpp'; expected 'mpp'"),
        ("name,mpp\na,0.25\na.png,0.5\n", "line 3, names a again; expected one row"),
    ],
)
def test_an_index_that_is_not_understood_is_refused(plain_folder: Path, table: str, said: str):
    (plain_folder / "index.csv").write_text(table)
    with pytest.raises(DataSetError, match=said) as error:
        open_dataset(plain_folder, mpp=0.5)
    assert "\n" not in str(error.value)


def test_other_columns_of_the_index_are_left_alone(plain_folder: Path):
    (plain_folder / "index.csv").write_text("stain,name,mpp\nHE,a,0.25\nHE,b,0.5\n")
    assert [sample.mpp for sample in open_dataset(plain_folder)] == [0.25, 0.5]


def test_the_index_tells_scale_split_organ_patient_and_slide(tmp_path: Path):
    rows = [
        ("a.png", 0.25, "Train", "liver", "P1", "S1"),
        ("b", 0.5, "val", "colon", "P2", ""),
        ("c", 0.4, "test", "", "P3", ""),
    ]
    columns = ("image", "mpp", "split", "organ", "patient", "source")
    write_folder(tmp_path, "abc", [dict(zip(columns, row, strict=True)) for row in rows])
    samples = {sample.name: sample for sample in open_dataset(tmp_path)}
    assert [samples[name].mpp for name in "abc"] == [0.25, 0.5, 0.4]
    first = samples["a"]
    assert (first.organ, first.patient, first.source) == ("liver", "P1", "S1")
    for split, name in (("fit", "a"), ("validation", "b"), ("test", "c")):
        assert [entry.name for entry in open_dataset(tmp_path, split).entries] == [name]
    assert open_dataset(tmp_path, mpp=1.0)[0].mpp == 1.0, "what is stated goes first"


def test_a_blank_behind_a_comma_makes_no_other_patient(tmp_path: Path):
    blank = {"name": " b.png ", "mpp": " 0.5", "organ": " colon", "patient": " P1", "source": "S1 "}
    rows = [{"name": "a", "mpp": 0.5, "organ": "colon", "patient": "P1", "source": "S1"}, blank]
    write_folder(tmp_path, "ab", rows)
    told = {(e.organ, e.patient, e.source) for e in open_dataset(tmp_path).entries}
    assert told == {("colon", "P1", "S1")}


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ({"split": "dev"}, DataSetError, "line 2, names the split 'dev'; expected train"),
        ({"mpp": "fine"}, ResolutionError, "line 2, says 'fine' um/px"),
        ({"mpp": "40"}, ResolutionError, "line 2, says '40' um/px"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, row, error, message: str):
    write_folder(tmp_path, "a", [{"name": "a", **row}])
    with pytest.raises(error, match=message):
        open_dataset(tmp_path, mpp=0.5)


def test_rows_and_images_that_do_not_answer_each_other_are_named(tmp_path: Path):
    write_folder(tmp_path, "ab", [{"name": "a"}, {"name": "z"}])
    found = {(f.severity, f.problem, f.file) for f in recognise(tmp_path, 0.5).findings}
    assert found == {
        ("warning", "row without image", "z"),
        ("warning", "image without row", "b.png"),
    }


def test_classes_and_ambiguous_areas_lie_beside_the_masks(tmp_path: Path):
    truths = write_folder(tmp_path, "ab")
    ignore = np.zeros((64, 64), np.uint8)
    ignore[:9] = 255
    write_picture(tmp_path / "types" / "a.png", truths["a"].types)
    write_picture(tmp_path / "ignore" / "a.png", ignore)
    first, second = open_dataset(tmp_path, mpp=0.5)
    np.testing.assert_array_equal(first.types, truths["a"].types)
    np.testing.assert_array_equal(first.ignore, ignore > 0)
    assert (second.types, second.ignore) == (None, None)
    write_picture(tmp_path / "ignore" / "a.png", ignore[:, :9])
    with pytest.raises(DataSetError, match=r"ignore.a\.png is 64 x 9 px; expected 64 x 64 px"):
        list(open_dataset(tmp_path, mpp=0.5))


def test_a_class_beyond_255_is_refused(tmp_path: Path):
    write_folder(tmp_path, "a")
    write_picture(tmp_path / "types" / "a.png", np.full((64, 64), 256, np.uint16))
    with pytest.raises(DataSetError, match="holds class 256; expected classes from 1 to 255"):
        list(open_dataset(tmp_path, mpp=0.5))
