from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fixtures import replicas
from fixtures.annotated import tissue
from fixtures.replicas import write_folder, write_picture
from nuguide.datasets.check import check, contact_names, count_pieces
from nuguide.datasets.opening import recognise
from nuguide.datasets.report import Report

WRITERS: dict[str, tuple[Callable[[Path], object], int]] = {
    "monuseg": (replicas.write_monuseg, 10),
    "cryonuseg": (lambda root: replicas.write_cryonuseg(root, size=32), 30),
    "nuinsseg": (replicas.write_nuinsseg, 10),
    "conic": (replicas.write_conic, 18),
    "consep": (replicas.write_consep, 6),
    "consep tiles": (replicas.write_consep_tiles, 6),
    "folder": (replicas.write_folder, 4),
    "qupath": (replicas.write_qupath, 2),
}


def report_on(root: Path, mpp: float = 0.5) -> Report:
    return check(recognise(root, mpp))


def problems(report: Report) -> set[tuple[str, str, str]]:
    """Leave out what is true of every replica without patients."""
    found = {(f.severity, f.problem, f.file) for f in report.findings}
    assert all("\n" not in f.text and "; expected " in f.text for f in report.findings)
    return {each for each in found if each[1] != "patients unknown"}


@pytest.mark.parametrize("kind", WRITERS)
def test_sound_replicas_are_counted_and_found_sound(tmp_path: Path, kind: str):
    write, images = WRITERS[kind]
    truths = write(tmp_path)
    report = report_on(tmp_path)
    assert report.usable
    assert {p for _, p, _ in problems(report)} <= {"size of nuclei", "binary mask"}
    assert len(report.images) == images
    nuclei = sum(int(truth.labels.max()) for truth in truths.values())
    assert sum(facts.nuclei for facts in report.images) == nuclei
    assert sum(n for _, n in report.counts("part").values()) == nuclei
    assert sum(n for n, _ in report.counts("organ").values()) == images
    types = report.counts("type")
    assert sum(n for _, n in types.values()) == (nuclei if types else 0)


def test_a_binary_mask_is_told_by_file(tmp_path: Path):
    write_folder(tmp_path, "abc")
    alone = np.zeros((64, 64), np.uint16)
    alone[20:30, 20:30] = 1
    write_picture(tmp_path / "masks" / "c.tif", alone)
    report = report_on(tmp_path)
    found = [f for f in report.findings if f.problem == "binary mask"]
    assert [(f.severity, f.file) for f in found] == [("warning", "b")]
    pieces = next(facts.nuclei for facts in report.images if facts.name == "b")
    assert f"touching nuclei become one; {pieces} pieces; expected" in found[0].text


def test_classes_are_counted_by_nucleus(tmp_path: Path):
    truths = replicas.write_conic(tmp_path)
    expected = Counter(int(kind) for truth in truths.values() for kind in truth.classes)
    report = report_on(tmp_path)
    counted = {name: nuclei for name, (_, nuclei) in report.counts("type").items()}
    assert counted == {report.data.classes[kind - 1]: n for kind, n in sorted(expected.items())}


def test_every_fault_is_told_by_file(tmp_path: Path):
    write_folder(tmp_path, "abcdefgh")
    images, masks = tmp_path / "images", tmp_path / "masks"
    write_picture(masks / "a.tif", np.zeros((64, 60), np.uint16))
    write_picture(masks / "b.tif", np.zeros((64, 64), np.uint16))
    write_picture(masks / "c.tif", np.zeros((64, 64, 3), np.uint8))
    write_picture(masks / "d.tif", np.zeros((64, 64), np.float32))
    (masks / "e.tif").write_bytes((masks / "e.tif").read_bytes()[:60])
    (masks / "f.tif").unlink()
    (images / "g.png").write_bytes((images / "h.png").read_bytes())
    write_picture(masks / "z.tif", np.zeros((64, 64), np.uint16))
    report = report_on(tmp_path)
    found = problems(report)
    parts = {facts.name: facts.part for facts in report.images}
    apart = parts["g"] != parts["h"]
    assert found == {
        ("error", "cannot be read", "a"),
        ("warning", "no nuclei", "b"),
        ("error", "cannot be read", "c"),
        ("error", "cannot be read", "d"),
        ("error", "cannot be read", "e"),
        ("error", "image without mask", "f.png"),
        ("error" if apart else "warning", "duplicate", "h"),
        ("warning", "mask without image", "z.tif"),
        ("warning", "binary mask", "h"),
    }
    texts = {f.file: f.text for f in report.findings}
    assert "is 64 x 60 px; expected 64 x 64 px" in texts["a"]
    assert "labels stored as RGB?" in texts["c"]
    assert "float32 numbers" in texts["d"]
    assert "e.tif is missing or no picture" in texts["e"]
    assert not report.usable


def test_a_patient_and_a_picture_on_two_sides_are_errors(tmp_path: Path):
    rows = [
        {"name": name, "split": split, "patient": patient}
        for name, split, patient in (("a", "train", "P"), ("b", "test", "P"), ("c", "train", "Q"))
    ]
    write_folder(tmp_path, "abc", rows)
    for folder, suffix in (("images", "png"), ("masks", "tif")):
        source = tmp_path / folder / f"b.{suffix}"
        (tmp_path / folder / f"c.{suffix}").write_bytes(source.read_bytes())
    report = report_on(tmp_path)
    found = problems(report)
    assert ("error", "patient on two sides", "P") in found
    assert ("error", "duplicate", "c") in found
    assert not report.usable
    (text,) = [f.text for f in report.findings if f.problem == "duplicate"]
    assert "one of test" in text


def test_pieces_and_specks_are_told_apart():
    labels = np.zeros((40, 40), np.int32)
    labels[2:10, 2:10] = 7  # whole
    labels[2:10, 20:28] = 9  # with a speck of 1 in 65
    labels[15, 39] = 9
    labels[20:24, 2:10] = labels[28:32, 2:10] = 300  # in two halves
    labels[36, 36] = labels[37, 37] = 12  # meets at a corner: one piece
    assert count_pieces(labels) == (1, 1)
    assert count_pieces(np.zeros((5, 5), np.int32)) == (0, 0)


def test_specks_and_pieces_are_warnings_with_counts(tmp_path: Path):
    write_folder(tmp_path, "a")
    labels = tissue(64).labels.astype(np.uint16)
    labels[0, 0] = 1
    write_picture(tmp_path / "masks" / "a.tif", labels)
    report = report_on(tmp_path)
    assert problems(report) == {("warning", "specks", "a")}
    assert "1 of 6 instances have a speck cut off" in report.findings[0].text
    assert report.usable


def test_classes_stored_as_instances_are_an_error(tmp_path: Path):
    write_folder(tmp_path, "a")
    write_picture(tmp_path / "masks" / "a.tif", tissue(64, nuclei=9, n_types=3).types)
    report = report_on(tmp_path)
    assert problems(report) == {("error", "classes for instances", "a")}
    assert "3 of 3 instances lie in several pieces" in report.findings[0].text


@pytest.mark.parametrize("mpp", [0.05, 5.0])
def test_a_scale_that_makes_nuclei_too_small_or_large_is_doubted(tmp_path: Path, mpp: float):
    write_folder(tmp_path, "a")
    found = problems(report_on(tmp_path, mpp))
    assert found == {("warning", "size of nuclei", "a")}


def test_contact_names_are_spread_over_parts(tmp_path: Path):
    replicas.write_monuseg(tmp_path)
    data = recognise(tmp_path)
    assert len(contact_names(data, 24)) == 10
    parts = {entry.name: entry.part for entry in data.entries}
    assert {parts[name] for name in contact_names(data, 4)} == {"train", "validation", "test"}
