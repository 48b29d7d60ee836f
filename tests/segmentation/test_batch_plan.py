"""Each image has its own folder, and keeps it."""

from pathlib import Path

import pytest

from nuguide.errors import OutputError
from nuguide.segmentation.batch import Ended
from nuguide.segmentation.batch_plan import plan_batch
from nuguide.segmentation.batch_summary import write_summary
from nuguide.segmentation.result import Run
from nuguide.segmentation.run import segment

RECORD = """
[configuration]
image = "a.png"
model = "small"
model_version = "0"
mpp = 0.5
mpp_source = "--mpp"
regions = {}
[found]
nuclei = 3
seconds = 1.0
[licences]
weights = "CC0-1.0"
"""


def names(images: list[Path], out: Path) -> list[str]:
    return [str(folder.relative_to(out)) for _, folder in plan_batch(images, out)]


def segmented(images: list[Path], out: Path) -> None:
    """Leave behind what a command of several images does."""
    ended = []
    for image, folder in plan_batch(images, out):
        folder.mkdir(parents=True)
        (folder / "run.toml").write_text(RECORD)
        ended.append(Ended(image, Run(folder, ())))
    write_summary(ended, out / "summary.csv")


def test_equal_stems_are_told_apart(tmp_path: Path) -> None:
    images = [Path("a/x.png"), Path("b/x.png"), Path("x-1.tif"), Path("y.png"), Path("X.jpg")]
    assert names(images, tmp_path) == ["x-2", "x-3", "x-1", "y", "X-4"]
    assert plan_batch(images[:1], tmp_path) == [(images[0], tmp_path)]


def test_no_folder_is_called_like_the_summary(tmp_path: Path) -> None:
    images = [Path("a.png"), Path("Summary.csv.png"), Path("summary.csv-1.png")]
    assert names(images, tmp_path) == ["a", "Summary.csv-2", "summary.csv-1"]


def test_no_folder_lies_outside_whatever_an_image_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dicom").mkdir()
    monkeypatch.chdir(tmp_path / "dicom")
    images = [Path("...png"), Path("..png"), Path(), Path("a.png")]
    assert names(images, tmp_path / "out") == ["...png", "..png", "dicom", "a"]


def test_a_folder_out_of_reach_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="too long"):
        plan_batch([Path("a.png")], tmp_path / ("x" * 300))

    def stat(self: Path, **_: object) -> None:  # the superuser may look anywhere
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(OutputError, match=r"out cannot be written \(Permission denied\)"):
        plan_batch([Path("a.png")], tmp_path / "out")


def test_an_image_that_has_a_folder_keeps_it(tmp_path: Path) -> None:
    out, a, b, other = tmp_path / "out", Path("x/a.png"), Path("b.png"), Path("y/a.png")
    segmented([a, b], out)
    assert names([b], out) == ["b"]
    assert names([other], out) == ["a"]  # where it is told that another run lies there
    assert names([other, a], out) == ["a-1", "a"]
    assert names([a.resolve(), Path("c.png")], out) == ["a", "c"]


def test_of_equal_stems_each_keeps_its_folder_when_it_comes_alone(tmp_path: Path) -> None:
    out, images = tmp_path / "out", [Path("x/a.png"), Path("y/a.png")]
    segmented(images, out)
    assert [names([image], out) for image in images] == [["a-1"], ["a-2"]]


def test_a_summary_of_somebodys_own_makes_no_batch(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text("image,folder\na.png,a\n")
    assert names([Path("a.png")], tmp_path) == ["."]
    with pytest.raises(OutputError, match=r"summary\.csv would be replaced"):
        plan_batch([Path("a.png"), Path("b.png")], tmp_path)


def test_a_page_of_somebodys_own_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "summary.html").write_text("mine")
    with pytest.raises(OutputError, match=r"summary\.html would be replaced"):
        plan_batch([Path("a.png"), Path("b.png")], tmp_path)
    assert (tmp_path / "summary.html").read_text() == "mine"


def test_a_folder_whose_run_was_removed_is_forgotten(tmp_path: Path) -> None:
    out, images = tmp_path / "out", [Path("x/a.png"), Path("y/a.png")]
    segmented(images, out)
    for folder in ("a-1", "a-2"):
        (out / folder / "run.toml").unlink()
    assert names(images[:1], out) == ["."]


def test_several_images_are_not_put_into_the_run_of_one(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(RECORD)
    with pytest.raises(OutputError, match=r"holds the run of one image.*2 were given"):
        plan_batch([Path("a.png"), Path("b.png")], tmp_path)
    assert names([Path("a.png")], tmp_path) == ["."]


def test_in_python_one_image_goes_on_in_its_folder_of_several(
    model, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segmented([picture, Path("b.png")], out)
    (out / "tissue" / "run.toml").unlink()
    (out / "tissue" / "ledger.sqlite").touch()
    run = segment(picture, 0.25, model=model, out=out)
    assert run.folder == out / "tissue"
    rows = (out / "summary.csv").read_text().splitlines()[1:]
    assert sorted(Path(row.partition(",")[0]).name for row in rows) == ["b.png", "tissue.png"]
    assert any(",96," in row and ",0.25," in row for row in rows)
