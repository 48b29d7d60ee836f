import itertools
import os
from pathlib import Path

import pytest
from filelock import Timeout

from nuguide.errors import OutputError
from nuguide.files import held, make_folder, replacing, replacing_folder


def test_a_good_end_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
        assert aside.parent == tmp_path
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt])
def test_a_bad_end_leaves_what_was_there(tmp_path: Path, end: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replacing(path) as aside:
            aside.write_text("half")
            raise end

    with pytest.raises(end):
        interrupted()
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with replacing(path) as aside:
            aside.write_text("x")

    with pytest.raises(OutputError, match="expected a folder") as caught:
        write(tmp_path / "absent" / "a.txt")
    assert "\n" not in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file" / "a.txt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "folder")


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with replacing(tmp_path / "a.txt") as aside:
            aside.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_line_with_the_advice(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written.*; set HOME$"):
        make_folder(tmp_path / "file" / "b", "set HOME")


def test_a_good_end_replaces_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in ("old", "new"):
        with replacing_folder(path) as aside:
            (aside / content).write_text(content)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in path.iterdir()] == ["new"]


def test_a_bad_end_leaves_the_folder_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (path / "old").mkdir(parents=True)

    def interrupted(end: type[BaseException]) -> None:
        with replacing_folder(path) as aside:
            (aside / "half").write_text("half")
            raise end

    with pytest.raises(KeyboardInterrupt):
        interrupted(KeyboardInterrupt)
    with pytest.raises(OutputError, match="cannot be written"):
        interrupted(PermissionError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in path.iterdir()] == ["old"]


def test_a_folder_in_no_folder_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written"),
        replacing_folder(tmp_path / "absent" / "a"),
    ):
        pass


def broken_renames(
    monkeypatch: pytest.MonkeyPatch, end: BaseException, before: set[int], after: set[int]
) -> None:
    """End the renames of these numbers, counted from 1, before or after they are made."""
    rename, calls = Path.rename, itertools.count(1)

    def breaking(self: Path, target: Path) -> Path:
        number = next(calls)
        if number in before:
            raise end
        renamed = rename(self, target)
        if number in after:
            raise end
        return renamed

    monkeypatch.setattr(Path, "rename", breaking)


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [({1}, set(), "old"), (set(), {1}, "old"), ({2}, set(), "old"), (set(), {2}, "new")],
)
@pytest.mark.parametrize("end", [KeyboardInterrupt(), PermissionError(13, "denied")])
def test_an_end_between_the_renames_leaves_one_whole_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: set[int],
    after: set[int],
    left: str,
    end: BaseException,
) -> None:
    path = tmp_path / "a"
    (path / "old").mkdir(parents=True)
    broken_renames(monkeypatch, end, before, after)
    with pytest.raises((KeyboardInterrupt, OutputError)), replacing_folder(path) as aside:
        (aside / "new").mkdir()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]
    assert [entry.name for entry in path.iterdir()] == [left]


def test_a_folder_that_cannot_be_brought_back_is_kept_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    (path / "old").mkdir(parents=True)
    broken_renames(monkeypatch, PermissionError(13, "denied"), {2, 3}, set())
    with pytest.raises(OutputError), replacing_folder(path) as aside:
        (aside / "new").mkdir()
    (kept,) = tmp_path.iterdir()
    assert [entry.name for entry in kept.iterdir()] == ["old"]


def test_a_file_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock), pytest.raises(Timeout), held(lock, timeout_s=0.0):
        pass
    with held(lock, timeout_s=0.0):
        pass


def test_a_file_that_cannot_be_held_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot be written \(Is a directory\).*; elsewhere"),
        held(tmp_path, "elsewhere"),
    ):
        pass
