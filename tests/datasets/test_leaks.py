"""No patient, no slide and no identical picture lies on two sides, whatever the data set."""

import hashlib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from fixtures import replicas
from nuguide.datasets.base import Sample
from nuguide.datasets.opening import open_dataset, recognise

CASES = {
    "TCGA-18-5592-01Z-00-DX1": "train",
    "TCGA-E2-A14V-01Z-00-DX1": "train",
    "TCGA-2Z-A9J9-01A-01-TS1": "test",
}
NAMES = "abcdefghij"
ROWS = [{"name": n, "patient": p} for n, p in zip(NAMES, "AABBCCDDEE", strict=True)]
WRITERS: dict[str, Callable[[Path], object]] = {
    "monuseg": replicas.write_monuseg,
    "monuseg xml": lambda root: replicas.write_monuseg_xml(root, CASES),
    "cryonuseg": lambda root: replicas.write_cryonuseg(root, size=32),
    "nuinsseg": replicas.write_nuinsseg,
    "conic": replicas.write_conic,
    "consep": replicas.write_consep,
    "consep tiles": replicas.write_consep_tiles,
    "folder": lambda root: replicas.write_folder(root, NAMES, ROWS),
    "qupath": lambda root: replicas.write_qupath(root, "abcde"),
}
REAL = ("monuseg2018", "consep", "nucls_sample", "dsb2018_brightfield")
KEYS: dict[str, Callable[[Sample], str]] = {
    "name": lambda s: s.name,
    "patient": lambda s: s.patient,
    "slide": lambda s: s.source,
    "picture": lambda s: hashlib.sha256(s.image.tobytes()).hexdigest(),
}
Sides = dict[str, list[dict[str, str]]]


def assert_no_leak(sides: Sides) -> None:
    for (first, some), (second, others) in combinations(sides.items(), 2):
        for what in KEYS:
            shared = {each[what] for each in some} & {each[what] for each in others} - {""}
            assert not shared, f"{first} and {second} share a {what}: {shared}"


def sides_of(root: Path, names: tuple[str, ...], **chosen: object) -> Sides:
    return {
        name: [
            {what: key(sample) for what, key in KEYS.items()}
            for sample in open_dataset(root, name, 0.25, **chosen)
        ]
        for name in names
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_replicas_are_divided_without_a_leak(tmp_path: Path, kind: str):
    WRITERS[kind](tmp_path)
    data = recognise(tmp_path, 0.25)
    tested = data.folds_by_default or any(entry.part == "test" for entry in data.entries)
    names = ("fit", "validation", "test") if tested else ("fit", "validation")
    sides = sides_of(tmp_path, names)
    assert_no_leak(sides)
    assert sum(map(len, sides.values())) == len(data.entries), "every image lies on some side"


@pytest.mark.parametrize(
    ("kind", "folds"),
    [("cryonuseg", 3), ("cryonuseg", 10), ("nuinsseg", 5), ("conic", 5), ("folder", 5)],
)
def test_folds_cover_every_image_once_and_do_not_leak(tmp_path: Path, kind: str, folds: int):
    WRITERS[kind](tmp_path)
    tested: list[str] = []
    for fold in range(1, folds + 1):
        sides = sides_of(tmp_path, ("fit", "validation", "test"), fold=fold, folds=folds)
        assert_no_leak(sides)
        tested += [each["name"] for each in sides["test"]]
    assert sorted(tested) == sorted(entry.name for entry in recognise(tmp_path, 0.25).entries)


@pytest.mark.parametrize("name", REAL)
def test_real_data_sets_do_not_leak(shared: Path, name: str):
    root = shared / "data" / name
    names = ("fit", "validation") if name.startswith("dsb") else ("fit", "validation", "test")
    assert_no_leak(sides_of(root, names))


def test_a_leak_would_be_seen(replica: Path):
    sides = sides_of(replica, ("fit", "validation", "test"))
    sides["test"].append(sides["fit"][0])
    with pytest.raises(AssertionError, match="fit and test share a name"):
        assert_no_leak(sides)
