"""The record of a run is checked when it is read, so that nobody else meets a damaged one."""

import re
from pathlib import Path

import pytest
import tomli_w

from nuguide.errors import OutputError
from nuguide.models.model import Model
from nuguide.segmentation.record import read_record
from nuguide.segmentation.result import Run
from nuguide.segmentation.run import segment


@pytest.fixture
def run(model: Model, picture: Path, tmp_path: Path) -> Run:
    return segment(picture, 0.5, model=model, out=tmp_path / "out")


def test_what_was_written_is_read(run: Run) -> None:
    record = read_record(run.folder)
    assert record["found"]["nuclei"] == run.count == 96
    assert {"computed_by", "licences", "versions"} < record.keys()


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("configuration", 3, "configuration: "),
        ("configuration.mpp", "0.5", "configuration.mpp: "),
        ("configuration.mpp_source", None, "configuration.mpp_source: Field required"),
        ("configuration.regions", [], "configuration.regions: "),
        ("found", None, "found: Field required"),
        ("found.nuclei", None, "found.nuclei: Field required"),
        ("found.nuclei", -1, "found.nuclei: "),
        ("found.nuclei", "many", "found.nuclei: "),
        ("found.seconds", float("nan"), "found.seconds: "),
        ("found.types", 3, "found.types: "),
        ("found.warnings", "none", "found.warnings: "),
        ("found.positivity", {"nuclei": 96}, "found.positivity.counts: Field required"),
        ("licences.weights", None, "licences.weights: Field required"),
        ("versions", 3, "versions: "),
    ],
)
def test_a_damaged_record_is_one_line_that_tells_what_to_do(
    run: Run, model: Model, picture: Path, path: str, value: object, where: str
) -> None:
    record = read_record(run.folder)
    *above, key = path.split(".")
    table = record
    for name in above:
        table = table[name]
    table.pop(key, None)
    if value is not None:
        table[key] = value
    (run.folder / "run.toml").write_text(tomli_w.dumps(record))
    with pytest.raises(OutputError, match=rf"{re.escape(where)}.*again with --overwrite"):
        read_record(run.folder)
    with pytest.raises(OutputError, match=re.escape(where)):
        _ = Run(run.folder, run.files).count
    with pytest.raises(OutputError, match=r"its run\.toml cannot be read.*--overwrite"):
        segment(picture, 0.5, model=model, out=run.folder)


@pytest.mark.parametrize("content", [b"a = ", b"\xff", b"a = " + b"[" * 3000, b""])
def test_what_is_no_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(OutputError, match=r"run\.toml cannot be read"):
        read_record(tmp_path)
