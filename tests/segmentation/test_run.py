from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
import torch
from numpy.typing import NDArray
from scipy import ndimage

from nuguide.errors import InputError, ResolutionError
from nuguide.guides.base import Embedding
from nuguide.guides.frozen import FrozenSamGuide
from nuguide.models.model import Model, NamedGuide
from nuguide.segmentation.planning import Cut, grid_px
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.region import read_mirrored
from nuguide.segmentation.run import on_device, segment, segment_slide
from nuguide.slides.reader import from_array
from nuguide.slides.regions import Box

Image = NDArray[np.uint8]


@pytest.mark.parametrize("mpp", [0.5, 0.4, 0.263])
def test_every_nucleus_is_found_at_its_place(model: Model, tissue: Image, mpp: float) -> None:
    result = segment(tissue, mpp, model=model)
    assert result.nuclei.num_rows == 96
    assert result.labels.shape == tissue.shape[:2]
    dark = tissue.mean(2) < 0.6 * 255
    agreement = ((result.labels > 0) & dark).sum() / ((result.labels > 0) | dark).sum()
    assert agreement > 0.9
    areas = result.nuclei["area_um2"].to_numpy()
    assert np.median(areas) == pytest.approx(
        np.median(np.bincount(result.labels.ravel())[1:]) * mpp**2, rel=0.05
    )


@pytest.mark.parametrize("region_px", [64, 96, 160])
def test_regions_leave_no_trace(model: Model, tissue: Image, region_px: int) -> None:
    slide = from_array(tissue, 0.25)
    whole = segment_slide(slide, model, cut=Cut(1024))
    parts = segment_slide(slide, model, cut=Cut(region_px))
    assert len(set(parts.nuclei["region"].to_pylist())) > 3
    ids = [set(result.nuclei["id"].to_pylist()) for result in (whole, parts)]
    assert ids[0] == ids[1]
    assert parts.nuclei.num_rows == len(ids[1])  # none twice
    assert ((whole.labels > 0) == (parts.labels > 0)).all()


def test_rows_and_labels_go_together(model: Model, tissue: Image) -> None:
    result = segment_slide(from_array(tissue, 0.25), model, cut=Cut(96))
    xs, ys = (result.nuclei[f"centroid_{axis}_px"].to_numpy() for axis in "xy")
    at_centres = result.labels[ys.astype(int), xs.astype(int)]
    assert at_centres.tolist() == list(range(1, result.nuclei.num_rows + 1))


@pytest.mark.parametrize("mpp", [0.083, 0.25, 0.2527])
def test_each_nucleus_of_the_label_map_is_one_piece_and_has_the_area_of_its_row(
    model: Model, crowd: Image, mpp: float
) -> None:
    side = round(mpp / 0.25 * 256)
    result = segment(cv2.resize(crowd[:side, :side], (256, 256)), mpp, model=model)
    assert result.nuclei.num_rows > 10
    filled = np.zeros(result.nuclei.num_rows)
    for label, box in enumerate(ndimage.find_objects(result.labels)):
        mask = np.pad(result.labels[box] == label + 1, 1)
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        filled[label] = ndimage.binary_fill_holes(mask).sum() * mpp**2
    inside = _off_the_edges(result.labels)
    areas = result.nuclei["area_um2"].to_numpy()
    np.testing.assert_allclose(areas[inside], filled[inside], rtol=1e-6)
    assert (areas <= filled * (1 + 1e-6)).all(), "at an edge the outline stays inside the image"


def _off_the_edges(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return ~np.isin(np.arange(1, labels.max() + 1), edge)


def test_the_least_area_holds_at_every_edge(model: Model, tissue: Image) -> None:
    """However the image lies, and wherever its edge cuts a nucleus."""
    least = model.card.decoding.min_area_um2
    found = []
    for shift in range(0, 24, 4):
        cut = tissue[shift : shift + 150, shift : shift + 150]
        for turned in (cut, cut[::-1], cut[:, ::-1], cut[::-1, ::-1]):
            result = segment(np.ascontiguousarray(turned), 0.25, model=model)
            bounds = shapely.bounds(shapely.from_wkb(result.nuclei["geometry"].to_numpy()))
            assert bounds.min() >= 0
            assert bounds.max() <= 150
            pixels = np.bincount(result.labels.ravel())[1:]
            assert pixels.min() * 0.25**2 >= least
            found.append(result.nuclei.num_rows)
    assert sum(found) > 200


def test_a_blank_image_is_empty_and_says_why(model: Model) -> None:
    result = segment(np.full((100, 100, 3), 240, np.uint8), 0.5, model=model)
    assert result.nuclei.num_rows == 0
    assert not result.labels.any()
    assert "blank" in result.reason


def test_tissue_without_nuclei_says_what_to_check(model: Model) -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    image[:50] = 250
    assert "microns per pixel (0.5, from array)" in segment(image, 0.5, model=model).reason


def test_progress_counts_regions_and_nuclei(model: Model, tissue: Image) -> None:
    seen: list[tuple[int, int, int]] = []
    segment_slide(
        from_array(tissue, 0.5), model, cut=Cut(256), progress=lambda *at: seen.append(at)
    )
    assert [done for done, _, _ in seen] == list(range(6 + 1))
    assert seen[0] == (0, 6, 0)
    assert seen[-1] == (6, 6, 96)


def test_beyond_the_edge_lies_the_mirror_image(tissue: Image) -> None:
    slide = from_array(tissue, 0.5)
    read = read_mirrored(slide, Box(352, 0, 96, 32), 0.5)
    assert read.shape == (96, 32, 3)
    assert (read[:48] == tissue[352:, :32]).all()
    assert (read[48:] == tissue[352:, :32][::-1]).all()


class Ruler:
    """A guide whose tokens say where they lie in the encoded box, for looking at extents."""

    name, sha256 = "ruler", "0" * 64

    def __init__(self, field_um: float | None) -> None:
        self.field_um = field_um

    def encode(self, rgb: Image, mpp: float) -> Embedding:
        rows, columns = (-(-side // 4) for side in rgb.shape[1:3])
        return Embedding(torch.ones(len(rgb), 256, rows, columns), 4 * mpp, self.name, self.sha256)


class Listener(torch.nn.Module):
    """Keeps the shapes it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))
        self.heard: list[tuple[torch.Size, torch.Size]] = []

    def forward(self, image: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
        self.heard.append((image.shape, tokens.shape))
        return {"nuclei": image[:, :2] * self.gain}


def test_tokens_cover_exactly_the_region(model: Model) -> None:
    guided = replace(model, network=Listener(), guide=Ruler(None))
    predict_maps(guided, np.zeros((96, 64, 3), np.uint8))
    assert guided.network.heard == [((1, 3, 96, 64), (1, 256, 24, 16))]  # type: ignore[comparison-overlap]


def test_networks_that_pool_globally_run_tile_by_tile(model: Model) -> None:
    card = model.card.model_copy(update={"tile_px": 64})
    guided = Model(Listener(), Ruler(None), card)
    maps = predict_maps(guided, np.zeros((100, 64, 3), np.uint8))
    assert maps.foreground.shape == (100, 64)
    assert guided.network.heard == [((1, 3, 64, 64), (1, 256, 16, 16))] * 2  # type: ignore[comparison-overlap]


def test_channels_are_swapped_for_a_bgr_network(model: Model) -> None:
    card = model.card.model_copy(update={"channel_order": "bgr"})
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 2] = 255  # blue: the first channel as BGR
    listener = Listener()
    rgb = predict_maps(Model(listener, Ruler(None), model.card), image).foreground
    bgr = predict_maps(Model(listener, Ruler(None), card), image).foreground
    assert rgb[0, 0] == pytest.approx(0.5)
    assert bgr[0, 0] == pytest.approx(1 / (1 + np.e))


def test_the_grid_holds_windows_tiles_and_fields(model: Model) -> None:
    assert grid_px(model) == 32
    assert grid_px(replace(model, guide=Ruler(128.0))) == 256
    tiled = model.card.model_copy(update={"tile_px": 256})
    assert grid_px(replace(model, card=tiled)) == 256


def test_an_array_needs_its_scale(model: Model, tissue: Image) -> None:
    with pytest.raises(ResolutionError, match="mpp"):
        segment(tissue, model=model)


def test_an_unknown_device_is_one_line(model: Model) -> None:
    with pytest.raises(InputError, match="--device 'abacus'"):
        on_device(model, "abacus")


def test_a_guide_by_name_goes_where_the_network_goes(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = torch.nn.Conv2d(3, 256, 16, 16)
    guide = FrozenSamGuide(encoder, "tiny", "0" * 64, 128.0)
    monkeypatch.setattr("nuguide.models.model.load_guide", lambda name, field_um: guide)
    named = replace(model, guide=NamedGuide("tiny"))
    assert named.guide.loaded is guide
    assert encoder.weight.device.type == "cpu"
    moved = on_device(named, "meta")  # a device that every torch has
    assert moved.guide.loaded is guide
    assert encoder.weight.device.type == "meta"


@pytest.mark.parametrize(
    ("cut", "mpp"), [(Cut(96), 0.25), (Cut(160, 128, 64), 0.4), (Cut(224, 64, 32), 0.5)]
)
def test_touching_nuclei_are_the_same_however_the_image_is_cut(
    model: Model, crowd: Image, cut: Cut, mpp: float
) -> None:
    slide = from_array(crowd, mpp)
    whole, parts = (segment_slide(slide, model, cut=each) for each in (Cut(), cut))
    ids = [set(result.nuclei["id"].to_pylist()) for result in (whole, parts)]
    assert len(ids[0]) > 350
    assert parts.nuclei.num_rows == len(ids[1])  # none twice
    assert max(len(ids[0] - ids[1]), len(ids[1] - ids[0])) <= 0.005 * len(ids[0])
    assert ((whole.labels > 0) == (parts.labels > 0)).all()
