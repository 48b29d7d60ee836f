"""Every backend computes what torch computes: on odd sizes, guided or not, tile by tile."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fixtures.tissue import draw_tissue
from nuguide.backends.registry import RUNTIMES, Backend, with_backend
from nuguide.models.card import Decoding
from nuguide.models.model import Model
from nuguide.segmentation.decoding import Maps, decode
from nuguide.segmentation.predictor import predict_maps

TOLERANCE = 1e-4
EXACT = [Backend.ONNX, Backend.OPENVINO, Backend.COMPILE]


_COMPILED = (
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),  # of its own parts
)


@pytest.fixture(
    params=[
        pytest.param(each, marks=_COMPILED if each is Backend.COMPILE else ()) for each in EXACT
    ]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Return a backend that is there; compiling takes minutes."""
    if request.param in RUNTIMES:
        pytest.importorskip(RUNTIMES[request.param], reason=f"{request.param} is an extra")
    return request.param


@pytest.fixture(scope="module")
def rgb() -> NDArray[np.uint8]:
    return draw_tissue(101, 150, mpp=0.5, per_mm2=3000, seed=0)[0]


def largest_difference(one: Maps, other: Maps) -> float:
    assert one.distance is not None
    assert other.distance is not None
    assert one.types is not None
    assert other.types is not None
    pairs = (
        (one.foreground, other.foreground),
        (one.distance, other.distance),
        (one.types, other.types),
    )
    return max(float(np.abs(x - y).max()) for x, y in pairs)


def test_a_guided_model_gives_the_same_maps_and_nuclei_at_any_size(
    backend: Backend, guided: Model, rgb: NDArray[np.uint8]
) -> None:
    model = with_backend(guided, backend, "cpu")
    assert (model.backend, model.precision) == (backend, "float32")
    assert model.card == guided.card
    # The first size is the one that is not that of the trace, nor on any grid.
    for height, width in ((97, 130), (64, 96), (33, 101), (7, 5)):
        expected, found = (predict_maps(x, rgb[:height, :width]) for x in (guided, model))
        assert largest_difference(expected, found) < TOLERANCE
    expected, found = (predict_maps(x, rgb) for x in (guided, model))
    threshold = float(np.quantile(expected.foreground, 0.7))
    decoding = Decoding(foreground_threshold=threshold, prominence=0.0, min_area_um2=1.0)
    labels, others = decode(expected, decoding), decode(found, decoding)
    assert labels.max() > 5
    assert ((labels > 0) != (others > 0)).mean() < 1e-3


def test_a_network_that_reads_tokens_gives_the_same_logits_on_and_off_its_grid(
    backend: Backend, make_model: Callable[..., Model]
) -> None:
    model = make_model("eunet3plus", {"fusion": "released"}, tile_px=256)
    network = with_backend(model, backend, "cpu").network
    assert (network.reads_tokens, network.tile_px, network.grid_px) == (True, 256, 16)
    random = torch.Generator().manual_seed(0)
    for height, width in ((256, 256), (41, 70), (128, 192)):
        image = torch.rand(1, 3, height, width, generator=random)
        tokens = torch.randn(1, 256, -(-height // 4), -(-width // 4), generator=random)
        with torch.inference_mode():
            expected, found = model.network(image, tokens), network(image, tokens)
        for head in ("nuclei", "distance", "types"):
            assert (expected[head] - found[head]).abs().max() < TOLERANCE


def test_batches_are_computed_too(backend: Backend, unguided: Model) -> None:
    image = torch.rand(2, 3, 48, 33)
    network = with_backend(unguided, backend, "cpu").network
    with torch.inference_mode():
        expected, found = unguided.network(image, None), network(image, None)
    assert (expected["nuclei"] - found["nuclei"]).abs().max() < TOLERANCE
