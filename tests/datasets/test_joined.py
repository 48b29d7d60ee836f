from pathlib import Path

import pytest

from fixtures import replicas
from nuguide.datasets.joined import join
from nuguide.datasets.opening import classes_of, open_dataset, recognise, sources
from nuguide.datasets.splits import divide
from nuguide.errors import DataSetError

NAMES = "abcdefghij"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Write two plain folders whose images have the same names."""
    for name in ("first", "second"):
        rows = [{"name": each, "mpp": 0.5, "patient": f"{name}-{each}"} for each in NAMES]
        replicas.write_folder(tmp_path / name, NAMES, rows)
    return [tmp_path / "first", tmp_path / "second"]


def test_each_set_keeps_its_own_division(folders: list[Path]):
    parts = {}
    for folder in folders:
        alone = recognise(folder)
        for entry, part in zip(alone.entries, divide(alone), strict=True):
            parts[f"{folder.name}/{entry.name}"] = part
    joined = join([recognise(folder) for folder in folders])
    names = [entry.name for entry in joined.entries]
    assert dict(zip(names, divide(joined), strict=True)) == parts
    assert {"fit", "validation"} == set(parts.values())


def test_where_samples_come_from_is_told_with_their_number(folders: list[Path]):
    joined = {sample.name for sample in open_dataset(folders, "fit")}
    alone = [len(open_dataset(folder, "fit")) for folder in folders]
    found = sources(folders, joined)
    assert [(each.root, count) for each, count in found] == list(zip(folders, alone, strict=True))
    second = {name for name in joined if name.startswith("second/")}
    assert [each.root for each, _ in sources(folders, second)] == folders[1:]
    one = {sample.name for sample in open_dataset(folders[0], "fit")}
    assert [count for _, count in sources(folders[0], one)] == alone[:1]


def test_samples_of_several_folders_have_names_of_their_own(folders: list[Path]):
    samples = open_dataset(folders, "fit")
    assert len(samples) == sum(len(open_dataset(folder, "fit")) for folder in folders)
    assert len({sample.name for sample in samples}) == len(samples)
    assert [sample.name for sample in samples] == [entry.name for entry in samples.entries]
    assert all(e.name.startswith(f"{e.data_set}/") for e in samples.entries)
    assert {entry.data_set for entry in samples.entries} == {"first", "second"}
    alone = open_dataset(folders[1], "fit")[0]
    twin = next(s for s in samples if s.name == f"second/{alone.name}")
    assert (twin.image == alone.image).all()
    assert len(open_dataset(folders, "fit", images=3)) == 3


def test_one_set_is_left_as_it_is(folders: list[Path]):
    data = recognise(folders[0])
    assert join([data]) is data


def test_sets_of_two_kinds_are_named_after_their_kind(tmp_path: Path, folders: list[Path]):
    replicas.write_monuseg(tmp_path / "third")
    joined = join([recognise(folders[0]), recognise(tmp_path / "third")])
    assert joined.name == "folder+monuseg2018"
    assert joined.licence == "not told, CC BY-NC-SA 4.0"
    assert {"test"} <= set(divide(joined))


def test_classes_of_different_meaning_are_dropped(tmp_path: Path):
    replicas.write_consep(tmp_path / "four")
    replicas.write_conic(tmp_path / "six")
    both = [tmp_path / "four", tmp_path / "six"]
    assert all(open_dataset(each, "fit")[0].types is not None for each in both)
    assert all(sample.types is None for sample in open_dataset(both, "fit"))
    assert classes_of(both) == ()


def test_classes_stay_beside_a_set_without_any(tmp_path: Path, folders: list[Path]):
    replicas.write_consep(tmp_path / "types")
    both = [tmp_path / "types", folders[0]]
    assert classes_of(both) == classes_of(tmp_path / "types") != ()
    typed = [sample.types is not None for sample in open_dataset(both, "fit")]
    assert any(typed)
    assert not all(typed)


def test_a_set_given_twice_is_refused(folders: list[Path]):
    again = folders[0].parent / "second" / ".." / "first"
    with pytest.raises(DataSetError, match="first is given 2 times"):
        open_dataset([folders[0], again])


def test_a_patient_on_two_sides_is_refused(tmp_path: Path):
    for name, splits in (("one", ("train", "validation")), ("two", ("validation", "train"))):
        rows = [
            {"name": "a", "mpp": 0.5, "patient": "TCGA-18-5592", "split": splits[0]},
            {"name": "b", "mpp": 0.5, "patient": name, "split": splits[1]},
        ]
        replicas.write_folder(tmp_path / name, "ab", rows)
    both = [tmp_path / "one", tmp_path / "two"]
    with pytest.raises(DataSetError, match="TCGA-18-5592 has images in fit and validation"):
        open_dataset(both, "fit")
    assert len(open_dataset(both)) == 4, "no sides, no leak"


def test_slides_of_one_name_in_two_sets_are_two_slides(tmp_path: Path):
    for name, splits in (("one", ("train", "validation")), ("two", ("validation", "train"))):
        rows = [
            {"name": each, "mpp": 0.5, "source": f"slide-{each}", "split": split}
            for each, split in zip("ab", splits, strict=True)
        ]
        replicas.write_folder(tmp_path / name, "ab", rows)
    samples = open_dataset([tmp_path / "one", tmp_path / "two"], "fit")
    assert [sample.name for sample in samples] == ["one/a", "two/b"]
