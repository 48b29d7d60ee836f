import gzip
import json
import tomllib
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pyarrow.parquet
import pytest
import tifffile
from numpy.typing import NDArray

from nuguide.errors import InputError, OutputError
from nuguide.models.model import Model
from nuguide.segmentation.outputs import Outputs
from nuguide.segmentation.record import RUN_FILE, check_folder, read_record, write_record
from nuguide.segmentation.run import segment

Image = NDArray[np.uint8]

FILES = [
    "labels.tif",
    "nuclei.geojson.gz",
    "nuclei.parquet",
    "overlay.png",
    "report.html",
    "run.toml",
]


def test_a_run_folder_holds_the_same_nuclei_in_every_form(
    model: Model, tissue: Image, tmp_path: Path
) -> None:
    result = segment(tissue, 0.25, model=model)
    folder = result.save(tmp_path / "out")
    assert sorted(p.name for p in folder.iterdir()) == FILES
    features = json.loads(gzip.decompress((folder / "nuclei.geojson.gz").read_bytes()))["features"]
    table = pyarrow.parquet.read_table(folder / "nuclei.parquet")
    labels = tifffile.imread(folder / "labels.tif")
    record = tomllib.loads((folder / "run.toml").read_text())
    assert len(features) == table.num_rows == labels.max() == record["found"]["nuclei"] == 96
    assert [feature["id"] for feature in features] == table["id"].to_pylist()
    assert (labels == result.labels).all()
    assert record["configuration"]["mpp"] == 0.25
    assert record["configuration"]["mpp_source"] == "array"
    assert record["licences"]["weights"] == "CC0-1.0"
    assert record["found"]["median_area_um2"] == pytest.approx(result.median_area_um2, abs=0.01)


def test_an_empty_run_is_valid_and_gives_the_reason(model: Model, tmp_path: Path) -> None:
    folder = segment(np.full((64, 64), 250, np.uint8), 0.5, model=model).save(tmp_path / "out")
    assert pyarrow.parquet.read_table(folder / "nuclei.parquet").num_rows == 0
    assert (
        json.loads(gzip.decompress((folder / "nuclei.geojson.gz").read_bytes()))["features"] == []
    )
    assert "blank" in tomllib.loads((folder / "run.toml").read_text())["found"]["reason"]


def test_the_same_run_again_is_not_computed_again(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    first = segment(picture, 0.5, model=model, out=tmp_path / "out")
    stamp = (tmp_path / "out" / "labels.tif").stat().st_mtime_ns
    again = segment(picture, 0.5, model=model, out=tmp_path / "out")
    assert (first.resumed, again.resumed) == (False, True)
    assert again.count == first.count == 96
    assert (tmp_path / "out" / "labels.tif").stat().st_mtime_ns == stamp


def test_another_run_is_refused_with_the_difference(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    segment(picture, 0.5, model=model, out=tmp_path / "out")
    with pytest.raises(OutputError, match=r"mpp: there 0\.5, here 0\.25.*--overwrite"):
        segment(picture, 0.25, model=model, out=tmp_path / "out")
    assert read_record(tmp_path / "out")["configuration"]["mpp"] == 0.5


def test_stains_are_measured_as_asked_and_recorded(
    model: Model, tissue: Image, picture: Path, tmp_path: Path
) -> None:
    he = segment(tissue, 0.5, model=model)
    hdab = segment(tissue, 0.5, model=model, stains="hdab")
    run = segment(picture, 0.5, model=model, stains="hdab", out=tmp_path / "out")
    for column in ("second_stain_od_mean", "hematoxylin_od_mean"):
        assert hdab.nuclei[column].to_numpy() == pytest.approx(
            run.nuclei.to_table()[column].to_numpy()
        )
        assert (hdab.nuclei[column].to_numpy() != he.nuclei[column].to_numpy()).all()
    told = {
        "second": "DAB",
        "vectors": [[0.65, 0.7, 0.29], [0.27, 0.57, 0.78]],
        "background": [255.0, 255.0, 255.0],
    }
    assert run.record["configuration"]["stains"] == told
    with gzip.open(tmp_path / "out" / "nuclei.geojson.gz") as file:
        (first, *_) = json.load(file)["features"]
    assert first["properties"]["measurements"]["DAB OD mean"] == pytest.approx(
        hdab.nuclei["second_stain_od_mean"][0].as_py(), abs=1e-4
    )
    saved = hdab.save(tmp_path / "saved")
    assert read_record(saved)["configuration"]["stains"] == told
    assert b"DAB OD mean" in gzip.decompress((saved / "nuclei.geojson.gz").read_bytes())
    with pytest.raises(OutputError, match=r"stains.second: there 'DAB', here 'Eosin'"):
        segment(picture, 0.5, model=model, out=tmp_path / "out")
    with pytest.raises(InputError, match="expected he, hdab"):
        segment(tissue, 0.5, model=model, stains="dab")


def test_what_is_positive_is_told_alike_everywhere(
    model: Model, tissue: Image, tmp_path: Path
) -> None:
    tissue[:, :300, 2] //= 3  # brown on the left
    picture = tmp_path / "brown.png"
    iio.imwrite(picture, tissue)
    od = segment(tissue, 0.5, model=model, stains="hdab").nuclei["second_stain_od_mean"].to_numpy()
    middle = float(np.median(od))
    asked = {"model": model, "stains": "hdab", "positive": [middle, 5.0, 6.0]}
    result = segment(tissue, 0.5, **asked)
    run = segment(picture, 0.5, **asked, out=tmp_path / "run")
    positive = int((od >= middle).sum())
    assert 40 < positive < 56
    counts = {"Negative": 96 - positive, "1+": positive, "2+": 0, "3+": 0}
    assert result.labelling.counts == run.labelling.counts == counts
    assert run.labelling.h_score == pytest.approx(100 * positive / 96)
    result.save(tmp_path / "saved")
    for folder in (tmp_path / "saved", tmp_path / "run"):
        found = read_record(folder)["found"]["positivity"]
        assert found["positive_percent"] == round(100 * positive / 96, 2)
        with gzip.open(folder / "nuclei.geojson.gz") as file:
            features = json.load(file)["features"]
        names = [feature["properties"]["classification"]["name"] for feature in features]
        assert names == result.nuclei["positivity"].to_pylist()
        assert names == np.where(od >= middle, "1+", "Negative").tolist()
        red, green, blue = np.moveaxis(iio.imread(folder / "overlay.png").astype(int), -1, 0)
        assert (blue - red > 60).sum() > 200, "Negative is blue"
        assert (green - blue > 60).sum() > 200, "1+ is yellow"
        assert "Outlines of the nuclei, by positivity" in (folder / "report.html").read_text()
    # What is lost of them is made again as it was.
    lost = {name: (tmp_path / "run" / name) for name in ("nuclei.geojson.gz", "overlay.png")}
    before = {name: path.read_bytes() for name, path in lost.items()}
    for path in lost.values():
        path.unlink()
    assert segment(picture, 0.5, **asked, out=tmp_path / "run").made == tuple(lost)
    assert {name: path.read_bytes() for name, path in lost.items()} == before
    assert segment(tissue, 0.5, model=model).labelling is None
    again = segment(picture, 0.5, model=model, stains="hdab", positive=9, out=tmp_path / "run")
    assert again.labelling is not None
    assert again.labelling.positive_percent == 0


def test_positive_nuclei_of_an_empty_image(model: Model, tmp_path: Path) -> None:
    blank = np.full((64, 64), 250, np.uint8)
    result = segment(blank, 0.5, model=model, stains="hdab", positive=0.2)
    found = read_record(result.save(tmp_path))["found"]["positivity"]
    assert found == {"nuclei": 0, "counts": {"Negative": 0, "Positive": 0}}


def test_a_run_of_before_there_was_a_choice_of_stains_is_one_of_h_and_e(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    segment(picture, 0.5, model=model, out=out)
    nuclei = pyarrow.parquet.read_table(out / "nuclei.parquet")
    older = nuclei.drop_columns(["second_stain_od_mean", "positivity"])
    pyarrow.parquet.write_table(older, out / "nuclei.parquet")
    record = read_record(out)
    del record["configuration"]["stains"]
    write_record(out, record)
    for name in ("nuclei.geojson.gz", "overlay.png", "report.html"):
        (out / name).unlink()
    again = segment(picture, 0.5, model=model, out=out)
    assert again.resumed
    assert RUN_FILE in again.files
    assert len(again.made) == 3
    assert b"Eosin OD mean" not in gzip.decompress((out / "nuclei.geojson.gz").read_bytes())
    table = again.nuclei.to_table()
    assert table.column_names == nuclei.column_names
    assert table["second_stain_od_mean"].null_count == 96
    with pytest.raises(OutputError, match=r"stains.second: there 'Eosin', here 'DAB'.*overwrite"):
        segment(picture, 0.5, model=model, stains="hdab", out=out)


def test_a_run_cut_short_does_not_look_whole(
    model: Model, tissue: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = segment(tissue, 0.5, model=model)
    result.save(tmp_path / "out")

    def full(*_: object) -> None:
        raise OutputError("disk full")

    monkeypatch.setattr("nuguide.segmentation.label_files.write_labels", full)
    with pytest.raises(OutputError):
        result.save(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "run.toml").exists()


def test_saving_over_another_run_leaves_none_of_its_files(
    model: Model, tissue: Image, tmp_path: Path
) -> None:
    segment(tissue, 0.5, model=model).save(tmp_path, outputs=Outputs("zarr", csv=True))
    segment(tissue, 0.25, model=model).save(tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_a_place_that_cannot_be_made_is_refused_before_work(
    model: Model, picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        segment(picture, 0.5, model=model, out=tmp_path / "file" / "out")


def test_a_locked_folder_is_refused_before_work(
    model: Model, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(dir: Path) -> None:
        raise PermissionError(13, "Permission denied", str(dir))

    def work(*_: object, **__: object) -> None:
        pytest.fail("work was done")

    monkeypatch.setattr("nuguide.segmentation.record.TemporaryFile", locked)
    monkeypatch.setattr("nuguide.segmentation.job.plan", work)
    with pytest.raises(OutputError, match="Permission denied"):
        segment(picture, 0.5, model=model, out=tmp_path / "out")


@pytest.mark.parametrize("text", ["[configuration", f"a = {'1' * 5000}"])
def test_a_damaged_record_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(OutputError, match=r"run\.toml cannot be read .*segment again"):
        read_record(tmp_path)
    with pytest.raises(OutputError, match=r"its run\.toml cannot be read"):
        check_folder(tmp_path, {"mpp": 0.25})
