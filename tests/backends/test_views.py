"""Several views of a region: laid back as they were, and their mean taken."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nuguide.backends.registry import with_backend
from nuguide.backends.views import InViews, with_views
from nuguide.errors import InputError, ModelError
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.segmentation.predictor import predict_maps
from nuguide.segmentation.run import segment_array


class Slopes(nn.Module):
    """What it says turns with the image, whose slopes are its offsets; it pads as networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, int]] = []

    def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        self.calls.append((image.shape[-2], image.shape[-1]))
        value = image[:, :1]
        down, right = torch.gradient(value, dim=(-2, -1))
        told = (
            value if tokens is None else value * nn.functional.interpolate(tokens, value.shape[-2:])
        )
        outputs = {
            "nuclei": torch.cat([-told, told], 1),
            "distance": value,
            "offsets": torch.cat([down, right], 1),
        }
        return {head: nn.functional.pad(x, (0, 5, 0, 3)) for head, x in outputs.items()}


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("views", [2, 4, 8])
@pytest.mark.parametrize("guided", [False, True])
def test_what_turns_with_the_image_is_the_same_in_all_views(
    views: int, guided: bool, image: Tensor
) -> None:
    tokens = torch.rand(1, 1, 4, 6) if guided else None
    network = Slopes()
    expected = {head: x[..., :8, :12] for head, x in network(image, tokens).items()}
    network.calls.clear()
    found = InViews(network, views)(image, tokens)
    assert len(network.calls) == views
    assert set(network.calls) == ({(8, 12), (12, 8)} if views == 8 else {(8, 12)})
    for head in ("distance", "offsets"):
        torch.testing.assert_close(found[head], expected[head])
    torch.testing.assert_close(found["nuclei"].softmax(1), expected["nuclei"].softmax(1))


def test_views_differ_from_each_other_and_their_mean_is_taken(image: Tensor) -> None:
    class Corner(nn.Module):
        """Sees a nucleus in the upper left corner, however the image lies."""

        def forward(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
            told = torch.zeros(1, 2, *image.shape[-2:])
            told[:, 1, 0, 0] = 50.0
            return {"nuclei": told}

    share = InViews(Corner(), 4)(image)["nuclei"].softmax(1)[0, 1]
    corners = share[[0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.full((4,), (1 + 3 * 0.5) / 4))
    assert (share > 0.51).sum() == 4


@pytest.fixture
def tiled(make_model: Callable[..., Model]) -> Model:
    return make_model("eunet3plus", {"fusion": "released"}, student=True, tile_px=64)


@pytest.mark.parametrize("name", ["unguided", "guided", "tiled"])
def test_a_model_in_views_predicts_maps_of_the_same_form(
    name: str, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    rgb = np.random.default_rng(0).integers(0, 256, (75, 90, 3), np.uint8)
    one, four = predict_maps(model, rgb), predict_maps(with_views(model, 4), rgb)
    assert with_views(model, 4).views == 4
    assert one.types is not None
    assert four.types is not None
    assert four.foreground.shape == one.foreground.shape == (75, 90)
    assert four.types.shape == one.types.shape
    np.testing.assert_allclose(four.types.sum(0), 1, atol=1e-4)
    assert np.abs(four.foreground - one.foreground).max() > 1e-6
    assert np.abs(four.foreground - one.foreground).mean() < 0.2


def test_a_view_is_that_of_the_turned_image(unguided: Model) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    turned = np.ascontiguousarray(rgb[::-1, ::-1])
    both = (predict_maps(unguided, rgb), predict_maps(unguided, turned))
    expected = (both[0].foreground + both[1].foreground[::-1, ::-1]) / 2
    found = predict_maps(with_views(unguided, 2), rgb).foreground
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_backends_take_views_too(unguided: Model) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    ready = with_backend(unguided, "onnx", "cpu")
    found = predict_maps(with_views(ready, 4), rgb).foreground
    np.testing.assert_allclose(
        found, predict_maps(with_views(unguided, 4), rgb).foreground, atol=1e-4
    )


def test_views_come_last_and_are_not_saved(unguided: Model, tmp_path: Path) -> None:
    two = with_views(unguided, 2)
    assert with_backend(two, "torch") is two
    with pytest.raises(InputError, match="give it to the backend first, to views then"):
        with_backend(two, "onnx", "cpu")
    with pytest.raises(ModelError, match="folded for inference; expected its plain form"):
        save_model(two, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_one_view_is_the_model_and_other_numbers_are_refused(unguided: Model) -> None:
    assert with_views(unguided, 1) is unguided
    for views in (0, 3, 16, -1):
        with pytest.raises(InputError, match="expected 1, 2, 4 or 8"):
            with_views(unguided, views)
    two = with_views(unguided, 2)
    assert with_views(two, 2) is two
    with pytest.raises(InputError, match="has 2 views already"):
        with_views(two, 4)


def test_a_record_tells_of_views(unguided: Model) -> None:
    rgb = np.full((64, 64, 3), 250, np.uint8)
    assert segment_array(rgb, 0.5, with_views(unguided, 4)).configuration["views"] == 4
    assert "views" not in segment_array(rgb, 0.5, unguided).configuration
