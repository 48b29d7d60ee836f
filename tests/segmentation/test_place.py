"""No run is written over an image, or among the images."""

import shutil
from pathlib import Path

import pytest

from nuguide.errors import OutputError
from nuguide.models.model import Model
from nuguide.segmentation.batch_plan import plan_batch
from nuguide.segmentation.job import Job, Settings, begin
from nuguide.segmentation.ledger import Ledger
from nuguide.segmentation.outputs import Outputs
from nuguide.segmentation.place import check_place
from nuguide.segmentation.run import segment


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def put(picture: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(picture, place))


@pytest.mark.parametrize("labels", ["auto", "none"])
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["overlay.png", "labels.tif", "labels.ome.zarr/a.png", "fragments/below/a.png"]
)
def test_a_run_does_not_touch_its_own_image(
    model: Model, picture: Path, out: Path, name: str, overwrite: bool, labels: str
) -> None:
    image = put(picture, out / name)
    settings = Settings(0.5, outputs=Outputs(labels), overwrite=overwrite)
    before = sorted(out.rglob("*"))
    with pytest.raises(OutputError, match=r"is the folder of the images|would be replaced"):
        begin(image, out, model, settings)
    assert image.read_bytes() == picture.read_bytes()
    assert sorted(out.rglob("*")) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_lies_in_memory_is_not_saved_over_its_image(
    model: Model, picture: Path, out: Path, overwrite: bool
) -> None:
    image = put(picture, out / "labels.ome.zarr" / "a.png")
    result = segment(image, 0.5, model=model)
    with pytest.raises(OutputError, match=r"labels\.ome\.zarr would be replaced"):
        result.save(out, overwrite=overwrite, outputs=Outputs("zarr"))
    with pytest.raises(OutputError, match="is the folder of the images"):
        result.save(image.parent)
    assert image.exists()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_does_not_hide_an_image(picture: Path, out: Path, link) -> None:
    link(out / "overlay.png", picture)
    with pytest.raises(OutputError, match=r"overlay\.png would be replaced"):
        check_place([picture], [out])
    with pytest.raises(OutputError, match="is the folder of the images"):
        check_place([out / "overlay.png"], [out])


def test_a_linked_folder_is_the_folder_itself(picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "link"
    folder.symlink_to(picture.parent)
    with pytest.raises(OutputError, match="is the folder of the images"):
        check_place([picture], [folder])
    with pytest.raises(OutputError, match="is the folder of the images"):
        check_place([folder / picture.name], [picture.parent])


def test_no_run_of_a_batch_is_written_over_the_image_of_another(picture: Path, out: Path) -> None:
    other = put(picture, out / "tissue" / "labels.ome.zarr" / "other.png")
    with pytest.raises(OutputError, match=r"labels\.ome\.zarr would be replaced"):
        plan_batch([picture, other], out)


def test_nothing_is_written_into_an_image_that_is_a_folder(picture: Path, tmp_path: Path) -> None:
    slide = tmp_path / "slide.mrxs"
    slide.touch()
    (tmp_path / "slide").mkdir()
    with pytest.raises(OutputError, match=r"lies in the image .*slide\.mrxs"):
        check_place([slide], [tmp_path / "slide"])
    zarr = tmp_path / "a.ome.zarr"
    zarr.mkdir()
    (zarr / ".zattrs").touch()
    with pytest.raises(OutputError, match=r"lies in the image .*a\.ome\.zarr"):
        check_place([zarr], [zarr / "made" / "out"])
    with pytest.raises(OutputError, match="is the image itself"):
        check_place([zarr], [zarr])
    check_place([zarr, slide, picture], [tmp_path / "out", tmp_path / "slide-1"])


def test_other_folders_beside_and_below_the_images_may_be_written(picture: Path) -> None:
    check_place([picture], [picture.parent / "out", picture.parent.parent / "out"])


def test_nothing_is_replaced_while_another_run_writes_there(
    model: Model, picture: Path, out: Path
) -> None:
    result = segment(picture, 0.5, model=model)
    result.save(out, outputs=Outputs("zarr", csv=True))

    def there() -> dict[str, bytes]:
        files = (path for path in out.rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files if "ledger" not in path.name}

    again = Settings(0.4, overwrite=True)
    with Ledger(out, result.configuration):
        (out / "fragments" / "0000000.parquet").write_text("nuclei")
        before = there()
        for replace in (
            lambda: begin(picture, out, model, again),
            lambda: result.save(out, overwrite=True),
            lambda: result.save(out),
        ):
            with pytest.raises(OutputError, match="being written by another run"):
                replace()
            assert there() == before
    begun = begin(picture, out, model, again)
    assert isinstance(begun, Job)
    assert begun.done == 0
    begun.close()
    assert not {"labels.ome.zarr", "nuclei.csv", "run.toml"} & {path.name for path in out.iterdir()}
    assert not list((out / "fragments").iterdir())


def test_a_run_that_is_saved_anew_leaves_no_ledger(model: Model, picture: Path, out: Path) -> None:
    (out / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    result = segment(picture, 0.5, model=model)
    with pytest.raises(OutputError, match="is damaged"):
        result.save(out)
    result.save(out, overwrite=True)
    assert (out / "run.toml").exists()
    assert not {"ledger.sqlite", "fragments"} & {path.name for path in out.iterdir()}
