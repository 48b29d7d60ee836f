"""The verb segment as a person meets it: files, folders, and everything that can be wrong."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import imageio.v3
import numpy as np
import pytest
import skimage.data
import tifffile
from numpy.typing import NDArray

from nuguide.cli.main import main
from nuguide.errors import InputError
from nuguide.export.table import read_table
from nuguide.models.card import Card, Decoding, NetworkSpec
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.models.registry import load
from nuguide.networks.registry import build_network
from nuguide.segmentation.cluster import RemoteModel, _load
from nuguide.segmentation.engine import LocalEngine
from nuguide.segmentation.result import Run as Done

RUN_FILES = [
    "labels.tif",
    "nuclei.geojson.gz",
    "nuclei.parquet",
    "overlay.png",
    "report.html",
    "run.toml",
]


def small(folder: Path, heads: tuple[str, ...] = ("nuclei", "distance"), classes=()) -> Path:
    """Write a network of random weights, which finds nuclei of some kind, into a folder."""
    import torch

    torch.manual_seed(0)
    options = {"width": 2, "heads": heads, "n_types": len(classes)}
    card = Card(
        name="small",
        version="0",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        classes=classes or ("nucleus",),
        network=NetworkSpec(architecture="eunet3plus", options=options),
        sha256="0" * 64,
    )
    network = build_network("eunet3plus", **options).eval()
    torch.nn.init.constant_(network.heads["nuclei"].bias[1:], 3.0)  # what it sees are nuclei
    save_model(Model(network, None, card), folder)
    return folder


@pytest.fixture(scope="module")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small(tmp_path_factory.mktemp("model"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    path = tmp_path / "picture.png"
    imageio.v3.imwrite(path, noise)
    return path


@dataclass(frozen=True)
class Ran:
    """What a run of the program left behind: exit code, both streams."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], small_model: Path
) -> Run:
    def call(*arguments: object, model: object = small_model) -> Ran:
        words = ["nuguide", "segment", *map(str, arguments), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return Ran(0 if code is None else int(code), *capsys.readouterr())

    return call


def refused(ran: Ran, *words: str) -> None:
    """Check that the program said one line with these words and left with code 2."""
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert len(ran.err.strip().splitlines()) == 1
    for word in words:
        assert word in ran.err


def test_one_image_writes_into_the_folder_itself(run: Run, picture: Path, tmp_path: Path) -> None:
    ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out")
    assert ran.code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == RUN_FILES
    assert "picture.png: " in ran.out
    assert "0.5 um/px, from --mpp" in ran.out
    assert str(tmp_path / "out") in ran.out


def test_types_are_counted(run: Run, picture: Path, tmp_path: Path) -> None:
    model = small(tmp_path / "model", ("nuclei", "distance", "types"), ("round", "long"))
    ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", model=model)
    assert ran.code == 0
    (line,) = (line for line in ran.out.splitlines() if line.startswith("  types "))
    counts = [int(number) for number in re.findall(r"(\d+) (?:round|long)", line)]
    assert sum(counts) == int(re.search(r"(\d+) nuclei", ran.out)[1]) > 0
    assert counts == sorted(counts, reverse=True)


def test_a_model_that_may_be_used_commercially(run: Run, picture: Path, tmp_path: Path) -> None:
    ran = run(picture, "-o", tmp_path / "out", "--mpp", 0.5, "--commercial-ok")
    assert ran.code == 0
    assert "allowed (weights under CC0-1.0)" in (tmp_path / "out" / "run.toml").read_text()


UNDECODABLE = os.fsdecode(b"\xff")
"""A name that is no text, as disks have it that older systems wrote to."""


@pytest.mark.parametrize(
    "name",
    [
        "run:1",
        "-out",
        "with spaces",
        "ölü 中",
        pytest.param(
            UNDECODABLE, marks=pytest.mark.skipif(sys.platform != "linux", reason="has no such")
        ),
    ],
)
def test_image_and_folder_may_have_any_name(
    run: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    image, out = picture.rename(tmp_path / f"{name}.png"), Path(name)
    assert run(image, "--mpp", 0.5, "-o", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == RUN_FILES
    assert "(done before)" in run(image, "--mpp", 0.5, "-o", out, "--csv").out
    rows = len((out / "nuclei.csv").read_text().splitlines()) - 1
    assert rows == read_table(out / "nuclei.parquet").num_rows > 0
    if name != UNDECODABLE:  # which Arrow cannot open by itself
        assert Done(out, ()).nuclei.count_rows() == rows
    other = tmp_path / "other.png"
    other.write_bytes(image.read_bytes())
    ran = run(image, other, "--mpp", 0.5, "-o", "both")
    assert ran.code == 0
    assert len(Path("both/summary.csv").read_text().splitlines()) == 1 + 2


def test_a_folder_gives_a_folder_for_each_image(run: Run, picture: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        (images / name).write_bytes(picture.read_bytes())
    (images / "notes.txt").write_text("not an image")
    ran = run(images, "--mpp", 0.5, "-o", tmp_path / "out")
    assert ran.code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["a", "b", "summary.csv", "summary.html"]
    assert "2 of 2 images done" in ran.out


def test_one_image_of_several_goes_on_in_its_own_folder(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "summary.csv.png", tmp_path / "out"
    other.write_bytes(picture.read_bytes())
    asked = ["--mpp", 0.5, "-o", out]
    assert run(picture, other, *asked).code == 0
    ran = run(other, *asked)
    assert "(done before)" in ran.out
    assert f"1 of 1 images done, in {out}; summary.csv and summary.html have a row" in ran.out
    folders = ["picture", "summary.csv", "summary.csv-1", "summary.html"]
    assert sorted(path.name for path in out.iterdir()) == folders
    assert run(picture, "--mpp", 0.4, "-o", out, "--overwrite").code == 0
    assert sorted(path.name for path in out.iterdir()) == folders
    with (out / "summary.csv").open(newline="") as file:
        rows = {Path(row["image"]).name: row["mpp_um_per_px"] for row in csv.DictReader(file)}
    assert rows == {"picture.png": "0.4", "summary.csv.png": "0.5"}


def test_several_images_are_not_put_into_the_folder_of_one(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    other, out = tmp_path / "other.png", tmp_path / "out"
    other.write_bytes(picture.read_bytes())
    assert run(picture, "--mpp", 0.5, "-o", out).code == 0
    for options in ((), ("--overwrite",)):
        ran = run(picture, other, "--mpp", 0.5, "-o", out, *options)
        refused(ran, "holds the run of one image", "name another")
    assert sorted(path.name for path in out.iterdir()) == RUN_FILES


def test_nothing_is_written_among_the_images(run: Run, picture: Path) -> None:
    before = sorted(picture.parent.iterdir())
    ran = run(picture.parent, "--mpp", 0.5, "-o", picture.parent / ".." / picture.parent.name)
    assert ran.code == 2
    assert "is the folder of the images" in ran.err
    refused(run(picture, "--mpp", 0.5, "-o", picture.parent), "is the folder of the images")
    refused(run(picture, "--mpp", 0.5, "-o", picture), "picture.png is the image itself")
    assert sorted(picture.parent.iterdir()) == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_batch_leaves_the_table_of_what_is_done(
    run: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    other, out = tmp_path / "other.png", tmp_path / "out"
    other.write_bytes(picture.read_bytes())
    asked = [picture, other, "--mpp", 0.5, "-o", out]
    # A shell lets what it starts in the background ignore Ctrl-C, the tests too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch:
        told = []

        def interrupt(image: Path, done: Done) -> None:
            told.append(image)
            if len(told) == 2:
                signal.raise_signal(sent)

        patch.setattr("nuguide.cli.segment.tell", interrupt)
        assert run(*asked).code == 130
    signal.signal(signal.SIGINT, before)
    assert sorted(path.name for path in out.iterdir()) == ["other", "picture", "summary.csv"]
    assert len((out / "summary.csv").read_text().splitlines()) == 1 + 2
    ran = run(*asked)
    assert ran.out.count("(done before)") == 2
    page = (out / "summary.html").read_text()
    assert 'href="picture/report.html"' in page
    assert page.count("data:image/jpeg;base64,") == 2


def test_part_of_a_batch_failed(run: Run, picture: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(picture.read_bytes()[:200])
    ran = run(picture, bad, "--mpp", 0.5, "-o", tmp_path / "out")
    assert ran.code == 3
    assert "1 of 2 images done" in ran.out
    assert ran.err.startswith("error: ")
    assert "bad.png" in ran.err
    assert not (tmp_path / "out" / "bad" / "run.toml").exists()
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        wrong, good = csv.DictReader(file)
    assert "bad.png" in wrong["error"]
    assert (wrong["nuclei"], good["error"]) == ("", "")
    record = tomllib.loads((tmp_path / "out" / picture.stem / "run.toml").read_text())
    height, width = imageio.v3.imread(picture).shape[:2]
    assert float(good["area_mm2"]) == pytest.approx(height * width * 0.25 / 1e6, abs=1e-6)
    assert int(good["nuclei"]) == record["found"]["nuclei"] > 0
    density = int(good["nuclei"]) / float(good["area_mm2"])
    assert float(good["nuclei_per_mm2"]) == pytest.approx(density, abs=0.01)
    assert (good["mpp_um_per_px"], good["mpp_source"]) == ("0.5", "--mpp")


def test_a_batch_of_which_all_failed_is_bad_input(run: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no image")
    assert run(tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out").code == 2


@pytest.mark.parametrize(
    "pixels",
    [
        np.random.default_rng(0).integers(0, 65535, (64, 64, 3), np.uint16),
        np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8),
        np.random.default_rng(0).integers(0, 255, (64, 64, 4), np.uint8),
    ],
    ids=["16 bit", "grey", "RGBA"],
)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_every_kind_of_pixels_is_taken(
    run: Run, tmp_path: Path, pixels: NDArray[np.generic], suffix: str
) -> None:
    path = tmp_path / f"image.{suffix}"
    assert cv2.imwrite(str(path), pixels)
    assert run(path, "--mpp", 0.5, "-o", tmp_path / "out").code == 0


def test_a_blank_image_is_no_error(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "blank.png"
    imageio.v3.imwrite(path, np.full((64, 64, 3), 245, np.uint8))
    ran = run(path, "--mpp", 0.5, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "0 nuclei" in ran.out
    assert "blank" in ran.out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == RUN_FILES


class TestBadInput:
    """One clear line each, exit code 2, nothing half-written."""

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, tmp_path: Path) -> Iterator[None]:
        yield
        assert not list((tmp_path / "out").glob("**/*"))

    def test_missing_file(self, run: Run, tmp_path: Path) -> None:
        refused(run(tmp_path / "no.png", "--mpp", 0.5, "-o", tmp_path / "out"), "no.png")

    def test_not_an_image(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "text.png"
        path.write_text("hello, this is no picture")
        refused(run(path, "--mpp", 0.5, "-o", tmp_path / "out"), "text.png", "expected")

    def test_empty_file(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "empty.png"
        path.touch()
        refused(run(path, "--mpp", 0.5, "-o", tmp_path / "out"), "empty.png")

    def test_empty_folder(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        refused(run(tmp_path / "images", "--mpp", 0.5, "-o", tmp_path / "out"), "images", ".png")

    def test_one_pixel(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "dot.png"
        imageio.v3.imwrite(path, np.zeros((1, 1, 3), np.uint8))
        refused(run(path, "--mpp", 0.5, "-o", tmp_path / "out"), "dot", "1 x 1")

    def test_stack(self, run: Run, tmp_path: Path) -> None:
        path = tmp_path / "stack.tif"
        tifffile.imwrite(path, np.zeros((5, 64, 64), np.uint8), photometric="minisblack")
        refused(run(path, "--mpp", 0.5, "-o", tmp_path / "out"), "stack", "5")

    def test_no_scale(self, run: Run, picture: Path, tmp_path: Path) -> None:
        refused(run(picture, "-o", tmp_path / "out"), "--mpp 0.25")

    def test_stains_that_are_none(self, run: Run, picture: Path, tmp_path: Path) -> None:
        ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", "--stains", "dab")
        refused(ran, "'dab'", "expected he, hdab, or")
        file = tmp_path / "stains.txt"
        file.write_text('{"Stain 1": "DAB"}')
        ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", "--stains", file)
        refused(ran, "stains.txt", "lacks Values 1")

    def test_positive_for_what(self, run: Run, picture: Path, tmp_path: Path) -> None:
        options = (picture, "--mpp", 0.5, "-o", tmp_path / "out", "--positive")
        refused(run(*options, "0.2"), "eosin", "--stains hdab")
        refused(run(*options, "0.4,0.2", "--stains", "hdab"), "'0.4,0.2'", "three that rise")

    @pytest.mark.parametrize("mpp", ["abc", "0", "-1", "nan", "inf", "0.01", "21"])
    def test_scale_that_is_none(self, run: Run, picture: Path, tmp_path: Path, mpp: str) -> None:
        refused(run(picture, f"--mpp={mpp}", "-o", tmp_path / "out"), mpp, "0.05 to 20")

    def test_unknown_model(self, run: Run, picture: Path, tmp_path: Path) -> None:
        ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", model="defualt")
        refused(ran, "defualt", "default")

    def test_model_that_may_not_be_used_commercially(
        self, run: Run, picture: Path, tmp_path: Path, small_model: Path
    ) -> None:
        folder = shutil.copytree(small_model, tmp_path / "bound")
        card = folder / "model.toml"
        card.write_text(card.read_text().replace("CC0-1.0", "CC-BY-NC-4.0"))
        arguments = (picture, "-o", tmp_path / "out", "--mpp", 0.5, "--commercial-ok")
        refused(run(*arguments, model=folder), "use of small is not allowed", "CC-BY-NC-4.0")

    def test_model_with_nan(
        self, run: Run, small_model: Path, picture: Path, tmp_path: Path
    ) -> None:
        from safetensors.torch import load_file, save_file

        from nuguide.models.card import read_card

        weights = load_file(small_model / "model.safetensors")
        weights[next(k for k in weights if k.endswith("weight"))].view(-1)[0] = float("nan")
        sick = tmp_path / "sick"
        sick.mkdir()
        save_file(weights, sick / "model.safetensors")
        digest = hashlib.sha256((sick / "model.safetensors").read_bytes()).hexdigest()
        card = read_card(small_model / "model.toml").model_copy(update={"sha256": digest})
        (sick / "model.toml").write_text(card.to_toml())
        refused(run(picture, "--mpp", 0.5, "-o", tmp_path / "out", model=sick), "NaN")

    def test_unknown_device(self, run: Run, picture: Path, tmp_path: Path) -> None:
        ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", "--device", "abacus")
        refused(ran, "abacus", "cpu")

    def test_out_is_a_file(self, run: Run, picture: Path, tmp_path: Path) -> None:
        place = tmp_path / "taken"
        place.write_text("mine")
        refused(run(picture, "--mpp", 0.5, "-o", place), "taken", "name another place")
        assert place.read_text() == "mine"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_no_permission(self, run: Run, picture: Path, tmp_path: Path) -> None:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        refused(run(picture, "--mpp", 0.5, "-o", locked / "in"), "locked", "Permission denied")


def test_another_run_in_the_folder_is_refused(run: Run, picture: Path, tmp_path: Path) -> None:
    assert run(picture, "--mpp", 0.5, "-o", tmp_path / "out").code == 0
    refused(
        run(picture, "--mpp", 0.4, "-o", tmp_path / "out"), "there 0.5, here 0.4", "--overwrite"
    )
    again = run(picture, "--mpp", 0.5, "-o", tmp_path / "out")
    assert again.code == 0
    assert "done before" in again.out


def test_stains_of_ones_own(run: Run, picture: Path, tmp_path: Path) -> None:
    file = tmp_path / "stains.txt"
    file.write_text(
        '{"Stain 1": "Hematoxylin", "Values 1": "0.6 0.7 0.3", "Stain 2": "AEC", '
        '"Values 2": "0.3 0.7 0.6", "Background": "240 240 242"}'
    )
    options = ("--mpp", 0.5, "-o", tmp_path / "out", "--stains")
    assert run(picture, *options, file).code == 0
    told = tomllib.loads((tmp_path / "out" / "run.toml").read_text())["configuration"]["stains"]
    assert told == {
        "second": "AEC",
        "vectors": [[0.6, 0.7, 0.3], [0.3, 0.7, 0.6]],
        "background": [240.0, 240.0, 242.0],
    }
    assert "AEC, optical density" in re.sub("<.*?>", "", (tmp_path / "out/report.html").read_text())
    refused(run(picture, *options, "hdab"), "there 'AEC', here 'DAB'", "--overwrite")
    assert run(picture, *options, "hdab", "--overwrite").code == 0


def test_positive_nuclei_are_told_by_type(run: Run, picture: Path, tmp_path: Path) -> None:
    model = small(tmp_path / "model", ("nuclei", "distance", "types"), ("round", "long"))
    options = ("--mpp", 0.5, "--stains", "hdab", "--positive", "0.001,0.01,5")
    other = tmp_path / "other.png"
    other.write_bytes(picture.read_bytes())
    ran = run(picture, other, *options, "-o", tmp_path / "out", model=model)
    assert ran.code == 0
    found = tomllib.loads((tmp_path / "out" / "other" / "run.toml").read_text())["found"]
    told = found["positivity"]
    index, count, h_score = re.search(
        r"positive +([\d.]+) % of (\d+) nuclei \(.*\); H-score (\d+)", ran.out
    ).groups()
    assert (float(index), int(count)) == (round(told["positive_percent"], 1), found["nuclei"])
    assert int(h_score) == round(told["h_score"])
    assert set(found["types"]) == {"round", "long"}
    assert set(told["types"]) == {name for name, nuclei in found["types"].items() if nuclei}
    for name, nuclei in found["types"].items():
        if not nuclei:
            continue
        assert told["types"][name]["nuclei"] == nuclei
        assert re.search(rf"^    {name} +[\d.]+ % of {nuclei} nuclei", ran.out, re.MULTILINE)
    assert sum(told["counts"].values()) == found["nuclei"] > 0
    with (tmp_path / "out" / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["positive_percent"]) for row in rows] == [told["positive_percent"]] * 2


def test_overwriting_leaves_and_lists_no_file_of_the_run_before(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(picture, "--mpp", 0.5, "-o", out, "--csv", "--labels", "zarr").code == 0
    (out / "notes.txt").write_text("mine")
    ran = run(picture, "--mpp", 0.4, "-o", out, "--overwrite", "--labels", "none")
    assert ran.code == 0
    own = sorted(name for name in RUN_FILES if name != "labels.tif")
    assert sorted(path.name for path in out.iterdir()) == sorted([*own, "notes.txt"])
    listed = ran.out.partition("  files ")[2].splitlines()[1:]
    assert sorted(line.split()[0] for line in listed) == own


def test_overwriting_spares_files_that_no_run_wrote(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mine = out / "labels.tif"
    mine.write_text("mine")
    ran = run(picture, "--mpp", 0.5, "-o", out, "--overwrite", "--labels", "none")
    assert ran.code == 0
    assert mine.read_text() == "mine"
    assert "labels.tif" not in ran.out


def test_scripts_get_a_line_of_json_for_each_image(run: Run, picture: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    ran = run(picture, bad, "--mpp", 0.5, "-o", tmp_path / "out", "--json", "--labels", "none")
    assert ran.code == 3
    lines = {Path(line["image"]).name: line for line in map(json.loads, ran.out.splitlines())}
    assert lines["picture.png"]["mpp"] == 0.5
    assert lines["picture.png"]["nuclei"] >= 0
    assert "bad.png" in lines["bad.png"]["error"]
    assert not (tmp_path / "out" / "picture" / "labels.tif").exists()


def test_what_a_finished_run_lacks_is_made_and_told(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    asked = [picture, "--mpp", 0.5, "-o", tmp_path / "out"]
    assert "  made  " not in run(*asked).out
    (tmp_path / "out" / "overlay.png").unlink()
    ran = run(*asked, "--csv")
    assert ran.code == 0
    assert "(done before)\n" in ran.out
    assert "  made         nuclei.csv, overlay.png from the nuclei found before\n" in ran.out
    assert "    nuclei.csv " in ran.out
    assert ran.err == ""
    (tmp_path / "out" / "nuclei.csv").unlink()
    line = json.loads(run(*asked, "--csv", "--json").out)
    assert (line["resumed"], line["made"], line["why_again"]) == (True, ["nuclei.csv"], "")


def test_why_an_image_is_segmented_again_is_told(run: Run, picture: Path, tmp_path: Path) -> None:
    asked = [picture, "--mpp", 0.5, "-o", tmp_path / "out"]
    assert run(*asked).err == ""
    (tmp_path / "out" / "nuclei.parquet").unlink()
    ran = run(*asked, "--json")
    assert ran.err == "picture.png: segmented again: nuclei.parquet is missing\n"
    line = json.loads(ran.out)
    assert (line["resumed"], line["why_again"]) == (False, "nuclei.parquet is missing")


def test_a_region_of_interest_is_read(run: Run, picture: Path, tmp_path: Path) -> None:
    roi = tmp_path / "roi.geojson"
    roi.write_text('{"type": "Point", "coordinates": [1, 1]}')
    ran = run(picture, "--mpp", 0.5, "-o", tmp_path / "out", "--roi", roi)
    refused(ran, "roi.geojson", "polygon")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--memory", "much"), "2GB"),
        (("--workers", 2, "--scheduler", "tcp://a:1"), "one of them"),
        (("--workers", 0), "one or more"),
        (("--backend", "onix"), "did you mean onnx"),
    ],
)
def test_options_for_the_machine_that_make_no_sense(
    run: Run, picture: Path, tmp_path: Path, options: tuple[object, ...], word: str
) -> None:
    refused(run(picture, "--mpp", 0.5, "-o", tmp_path / "out", *options), word)


def test_folders_below_are_searched_and_results_among_them_are_not(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    slides = tmp_path / "slides"
    for case in ("one", "two"):
        (slides / case).mkdir(parents=True)
        shutil.copy(picture, slides / case / f"{case}.png")
    options = ("--mpp", 0.5, "-o", slides / "out", "--recursive")
    for _ in range(2):  # the second time, results lie there
        ran = run(slides, *options, "--json")
        assert ran.code == 0
        lines = [json.loads(line) for line in ran.out.splitlines()]
        assert [Path(line["image"]).name for line in lines] == ["one.png", "two.png"]
    assert (slides / "out" / "one" / "run.toml").is_file()
    refused(run(slides, "-o", tmp_path / "x"), "--recursive")


def test_another_decoding_is_another_run(run: Run, picture: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", ("--mpp", 0.5, "-o", tmp_path / "out")
    changed = (picture, *options, "--decoding", "min_area_um2=60", "--decoding", "prominence=0.5")
    assert run(*changed).code == 0
    decoding = tomllib.loads((out / "run.toml").read_text())["configuration"]["decoding"]
    assert (decoding["min_area_um2"], decoding["prominence"]) == (60.0, 0.5)
    assert min(read_table(out / "nuclei.parquet")["area_um2"].to_pylist(), default=60) >= 60
    refused(run(picture, *options), "min_area_um2", "--overwrite")
    refused(run(picture, *options, "--decoding", "min_area=60"), "min_area is unknown")
    refused(run(picture, *options, "--decoding", "min_area_um2"), "NAME=NUMBER")


def test_the_record_says_what_computed_the_model(
    run: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: True)
    out = tmp_path / "out"
    options = ("--mpp", 0.5, "-o", out, "--device", "cpu")
    assert run(picture, *options).code == 0
    record = tomllib.loads((out / "run.toml").read_text())
    assert record["computed_by"] == {"backend": "torch"}
    assert "precision" not in record["configuration"]
    # Another precision is another result: it does not pass for the run that is there.
    refused(run(picture, *options, "--backend", "bfloat16"), "precision", "bfloat16")
    assert run(picture, *options, "--backend", "bfloat16", "--overwrite").code == 0
    record = tomllib.loads((out / "run.toml").read_text())
    assert (record["computed_by"]["backend"], record["configuration"]["precision"]) == (
        "bfloat16",
        "bfloat16",
    )


def test_views_are_another_run_and_others_are_refused(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    options = ("--mpp", 0.5, "-o", tmp_path / "out", "--device", "cpu")
    refused(run(picture, *options, "--views", 3), "views is 3", "expected 1, 2, 4 or 8")
    assert run(picture, *options, "--views", 4).code == 0
    record = tomllib.loads((tmp_path / "out" / "run.toml").read_text())
    assert record["configuration"]["views"] == 4
    refused(run(picture, *options), "views: there 4, here 'none'")
    assert run(picture, *options, "--views", 4).code == 0


def test_workers_are_told_backend_and_decoding(
    run: Run, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: True)
    sent = []

    def engine(client: object, model: RemoteModel) -> LocalEngine:
        sent.append(model)
        return LocalEngine(_load.__wrapped__(replace(model, cores=1)))

    monkeypatch.setattr("nuguide.segmentation.cluster.local_workers", lambda n: nullcontext())
    monkeypatch.setattr("nuguide.segmentation.cluster.ClusterEngine", engine)
    options = ("--mpp", 0.5, "-o", tmp_path / "out", "--device", "cpu")
    options += ("--backend", "bfloat16", "--decoding", "min_area_um2=3", "--views", 2)
    assert run(picture, *options, "--workers", 1).code == 0
    assert [(model.backend, model.views) for model in sent] == [("bfloat16", 2)]
    assert [model.decoding.min_area_um2 for model in sent if model.decoding] == [3.0]


def test_workers_are_told_the_model_that_was_loaded(
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def engine(client: object, model: RemoteModel) -> None:
        raise InputError(f"sent {model.name}")

    monkeypatch.setattr("nuguide.segmentation.cluster.local_workers", lambda n: nullcontext())
    monkeypatch.setattr("nuguide.segmentation.cluster.ClusterEngine", engine)
    monkeypatch.chdir(tmp_path)
    Path("default").mkdir()  # somebody's own folder, which `load` passes over
    options = (str(picture), "--mpp", "0.5", "-o", "out", "--workers", "1")
    monkeypatch.setattr(sys, "argv", ["nuguide", "segment", *options])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "error: sent default\n"


def test_a_worker_computes_as_it_is_told(
    small_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nuguide.backends.half.computes_bfloat16", lambda device: True)
    digest = load(small_model).card.sha256
    decoding = Decoding(min_area_um2=3.0, foreground_threshold=0.9)
    remote = RemoteModel(str(small_model), digest, "cpu", 1, "bfloat16", decoding, views=2)
    loaded = _load.__wrapped__(remote)
    assert (loaded.backend, loaded.card.decoding, loaded.views) == ("bfloat16", decoding, 2)


def test_what_share_is_expected_to_be_true_is_told_where_a_model_is_calibrated(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ran = run(picture, "-o", out, "--mpp", "0.5")
    assert ran.code == 0
    assert " nuclei in " in ran.out
    assert "  expected  " not in ran.out
    tissue = tmp_path / "tissue.png"
    imageio.v3.imwrite(tissue, skimage.data.immunohistochemistry()[:200, :200])
    ran = run(tissue, "-o", tmp_path / "calibrated", "--mpp", "0.5", model="default")
    found = tomllib.loads((tmp_path / "calibrated" / "run.toml").read_text())["found"]
    worth = np.mean(read_table(tmp_path / "calibrated" / "nuclei.parquet")["match_probability"])
    assert found["match_probability"] == pytest.approx(worth, abs=1e-4)
    assert f"  expected     {100 * worth:.0f} % of them are true, by the model's" in ran.out
    page = (tmp_path / "calibrated" / "report.html").read_text(encoding="utf-8")
    assert f"<b>{100 * worth:.0f} %</b><span>of them are expected to be true" in page


@pytest.mark.parametrize("device", ["meta", "cuda:99", "toaster"])
def test_a_device_that_cannot_compute_is_refused(run: Run, picture: Path, device: str) -> None:
    ran = run(picture, "-o", picture.parent / "out", "--mpp", "0.5", "--device", device)
    refused(ran, f"--device '{device}' cannot be used", "expected auto, cpu, cuda")
