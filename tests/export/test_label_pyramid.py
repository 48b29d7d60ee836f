import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from ome_zarr.format import FormatV04
from ome_zarr.io import parse_url
from ome_zarr.reader import Label, Node, Reader
from ome_zarr_models.v04.image import ImageAttrs
from ome_zarr_models.v04.image_label import ImageLabelAttrs
from ome_zarr_models.v04.labels import LabelsAttrs

from nuguide.errors import OutputError
from nuguide.export import label_pyramid
from nuguide.export.label_pyramid import NUCLEI, LabelCanvas, open_labels

SHAPE = (2500, 3100)
MPP = 0.25


@pytest.fixture
def thumbnail() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (80, 99, 3), np.uint8)


@pytest.fixture
def painted(tmp_path: Path, thumbnail: np.ndarray) -> Path:
    """A slide whose labels lie in its upper left and its lower right corner."""
    path = tmp_path / "labels.ome.zarr"
    with open_labels(path, SHAPE, MPP, thumbnail) as canvas:
        canvas.write(1000, 900, np.full((60, 200), 7, np.int32))
        canvas.write(2480, 3090, np.full((20, 10), 2**31 - 1, np.int32))
    return path


def test_windows_come_back(tmp_path: Path, thumbnail: np.ndarray) -> None:
    labels = np.random.default_rng(1).integers(0, 2**31 - 1, (300, 1500), np.int32)
    with open_labels(tmp_path / "labels.ome.zarr", SHAPE, MPP, thumbnail) as canvas:
        assert canvas.shape == SHAPE
        assert not canvas.read(0, 0, 10, 10).any()
        canvas.write(900, 1000, labels)
        window = canvas.read(950, 1020, 200, 1000)
        assert window.dtype == np.int32
        assert (window == labels[50:250, 20:1020]).all()
        window[:] = 0
        assert (canvas.read(900, 1000, 300, 1500) == labels).all()


@pytest.mark.parametrize("kept", [1, 2, 16])
def test_what_is_painted_does_not_depend_on_the_chunks_that_are_kept(
    tmp_path: Path, thumbnail: np.ndarray, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(label_pyramid, "_KEPT_CHUNKS", kept)
    random = np.random.default_rng(2)
    expected = np.zeros(SHAPE, np.int32)
    with open_labels(tmp_path / "labels.ome.zarr", SHAPE, MPP, thumbnail) as canvas:
        for number in range(1, 25):
            y, x = (int(random.integers(0, size - 1)) for size in SHAPE)
            height, width = (int(random.integers(1, 1500)) for _ in SHAPE)
            window = canvas.read(y, x, min(height, SHAPE[0] - y), min(width, SHAPE[1] - x))
            assert (window == expected[y : y + height, x : x + width]).all()
            window[::2] = number
            canvas.write(y, x, window)
            expected[y : y + height : 2, x : x + width] = number
        assert len(canvas._kept) <= kept
    level = zarr.open_group(tmp_path / "labels.ome.zarr", mode="r")[f"{NUCLEI}/0"]
    assert (level[:] == expected).all()


@pytest.mark.parametrize(
    "use",
    [
        lambda canvas: canvas.read(0, 3000, 10, 101),
        lambda canvas: canvas.read(-1, 0, 10, 10),
        lambda canvas: canvas.write(2499, 0, np.ones((2, 2), np.int32)),
    ],
)
def test_windows_outside_are_refused(
    tmp_path: Path, thumbnail: np.ndarray, use: Callable[[LabelCanvas], object]
) -> None:
    with (
        pytest.raises(ValueError, match="leaves the slide"),
        open_labels(tmp_path / "labels.ome.zarr", SHAPE, MPP, thumbnail) as canvas,
    ):
        use(canvas)
    assert not list(tmp_path.iterdir())


def test_blank_chunks_take_no_space(painted: Path) -> None:
    chunks = [p for p in (painted / NUCLEI).rglob("*") if p.is_file() and p.name[0] != "."]
    # Two corners of a chunk each at three levels; the last level is one chunk.
    assert sorted(str(p.relative_to(painted / NUCLEI)) for p in chunks) == [
        "0/0/0", "0/0/1", "0/1/0", "0/1/1", "0/2/3", "1/0/0", "1/1/1", "2/0/0",
    ]  # fmt: skip


def test_what_is_erased_takes_no_space_either(tmp_path: Path, thumbnail: np.ndarray) -> None:
    path = tmp_path / "labels.ome.zarr"
    with open_labels(path, SHAPE, MPP, thumbnail) as canvas:
        canvas.write(0, 0, np.ones((10, 10), np.int32))
        canvas.write(0, 0, np.zeros((10, 10), np.int32))
    assert not (path / NUCLEI / "0" / "0" / "0").exists()


def test_each_level_is_every_second_pixel_of_the_finer(painted: Path) -> None:
    nuclei = zarr.open_group(painted / NUCLEI, mode="r")
    full = nuclei["0"][:]
    assert full.shape == SHAPE
    assert set(np.unique(full)) == {0, 7, 2**31 - 1}
    for number, shape in ((1, (1250, 1550)), (2, (625, 775))):
        assert nuclei[str(number)].shape == shape
        assert (nuclei[str(number)][:] == full[:: 2**number, :: 2**number]).all()
    assert sorted(nuclei) == ["0", "1", "2"]


def test_of_two_pixels_the_first_is_kept(tmp_path: Path, thumbnail: np.ndarray) -> None:
    path = tmp_path / "labels.ome.zarr"
    labels = np.random.default_rng(2).integers(0, 9, (41, 1051), np.int32)
    with open_labels(path, labels.shape, MPP, thumbnail) as canvas:
        canvas.write(0, 0, labels)
    assert (zarr.open_array(path / NUCLEI / "1", mode="r")[:] == labels[::2, ::2]).all()


def nodes(path: Path) -> list[Node]:
    location = parse_url(path, fmt=FormatV04())
    assert location is not None
    return list(Reader(location)())


def test_ome_zarr_reads_image_and_labels(
    painted: Path, thumbnail: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        slide, nuclei = (node for node in nodes(painted) if node.data)
    assert not caplog.records
    assert (np.moveaxis(slide.data[0].compute(), 0, -1) == thumbnail).all()
    assert nuclei.load(Label) is not None
    assert [level.shape for level in nuclei.data] == [(2500, 3100), (1250, 1550), (625, 775)]
    assert nuclei.data[0][1010, 1000].compute() == 7
    assert [axis["unit"] for axis in nuclei.metadata["axes"]] == ["micrometer"] * 2
    scales = [level[0]["scale"] for level in nuclei.metadata["coordinateTransformations"]]
    assert scales == [[0.25, 0.25], [0.5, 0.5], [1.0, 1.0]]


def test_thumbnail_lies_over_the_labels(painted: Path) -> None:
    slide = nodes(painted)[0]
    (scale, shift) = slide.metadata["coordinateTransformations"][0]
    for axis, (pixels, length) in enumerate(zip((80, 99), SHAPE, strict=True), start=1):
        step, first = scale["scale"][axis], shift["translation"][axis]
        assert first - step / 2 == pytest.approx(-MPP / 2)
        assert first + (pixels - 0.5) * step == pytest.approx((length - 0.5) * MPP)


def test_metadata_are_valid_by_the_models_of_ome_zarr(painted: Path) -> None:
    image = ImageAttrs.model_validate(attributes(painted))
    assert image.multiscales[0].version == "0.4"
    assert image.omero is not None
    labels = ImageLabelAttrs.model_validate(attributes(painted / NUCLEI))
    assert labels.multiscales[0].datasets[2].path == "2"
    assert labels.image_label.source is not None
    assert labels.image_label.source.image == "../../"
    assert LabelsAttrs.model_validate(attributes(painted / "labels")).labels == ["nuclei"]


def attributes(path: Path) -> dict[str, object]:
    return dict(zarr.open_group(path, mode="r").attrs)


def test_one_chunk_makes_one_level(tmp_path: Path, thumbnail: np.ndarray) -> None:
    path = tmp_path / "labels.ome.zarr"
    with open_labels(path, (1024, 700), MPP, thumbnail):
        pass
    assert list(zarr.open_group(path / NUCLEI, mode="r")) == ["0"]


def test_an_error_leaves_the_former_labels(painted: Path, thumbnail: np.ndarray) -> None:
    def interrupted() -> None:
        with open_labels(painted, SHAPE, MPP, thumbnail) as canvas:
            canvas.write(0, 0, np.ones((10, 10), np.int32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(painted.parent.iterdir()) == [painted]
    assert zarr.open_array(painted / NUCLEI / "0", mode="r")[1010, 1000] == 7


def test_new_labels_replace_the_former(painted: Path, thumbnail: np.ndarray) -> None:
    with open_labels(painted, SHAPE, MPP, thumbnail):
        pass
    assert list(painted.parent.iterdir()) == [painted]
    assert not zarr.open_array(painted / NUCLEI / "0", mode="r")[:].any()


def test_a_place_that_cannot_be_written(tmp_path: Path, thumbnail: np.ndarray) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written"),
        open_labels(tmp_path / "absent" / "labels.ome.zarr", SHAPE, MPP, thumbnail),
    ):
        pass
