"""On a GPU: what a graph launches is what launches one by one compute, whatever else goes on.

    python -m pytest tests/backends/test_gpu.py -o filterwarnings=default

Whatever comes first is computed as it is, the second of a shape recorded: three of each are tried.
"""

import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nuguide
from fixtures.variants import VARIANTS, build_variant
from nuguide.backends.half import HalfNetwork
from nuguide.backends.registry import with_backend
from nuguide.backends.views import with_views
from nuguide.backends.whole import WholeNetwork
from nuguide.models.model import Model
from nuguide.models.registry import embedded_models
from nuguide.networks.cuda_graphs import MOST_GRAPHS, GraphedNetwork, launched_singly
from nuguide.networks.inference import InferenceNetwork
from nuguide.segmentation.engine import on_device
from nuguide.segmentation.predictor import predict_maps

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

TOLERANCE = 1e-5
SIZES = ((256, 256), (97, 130), (256, 384))

Inputs = Callable[..., tuple[Tensor, Tensor | None]]


@pytest.fixture
def inputs() -> Inputs:
    """Make images and tokens on the GPU, other ones each time."""
    random = torch.Generator().manual_seed(0)

    def make(height: int, width: int, tokens: bool, batch: int = 1):
        image = torch.rand(batch, height, width, 3, generator=random).cuda().movedim(-1, 1)
        if not tokens:
            return image, None
        size = (-(-height // 4), -(-width // 4))
        return image, torch.randn(batch, 256, *size, generator=random).cuda()

    return make


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for head, x in expected.items():
        peak = max(1.0, x.abs().max().item())
        difference = (found[head] - x).abs().max().item()
        assert found[head].shape == x.shape
        assert found[head].dtype == x.dtype
        assert difference <= TOLERANCE * peak, f"{head}: {difference:.1e} of {peak:.1e}"


def graphs_of(network: nn.Module) -> int:
    """Count the graphs of a network and of those inside it."""
    return sum(len(each.graphs) for each in network.modules() if isinstance(each, GraphedNetwork))


@torch.inference_mode()
def compare(network: nn.Module, inputs: Inputs, sizes=SIZES, times: int = 3) -> None:
    """Compare launches by graph and one by one, several times at each size, by turns."""
    for _ in range(times):
        for size in sizes:
            given = inputs(*size, bool(getattr(network, "reads_tokens", False)))
            found = network(*given)
            with launched_singly():
                expected = network(*given)
            assert_same(found, expected)


@pytest.mark.parametrize("backend", ["torch", "bfloat16"])
@pytest.mark.parametrize("name", embedded_models())
def test_models_that_ship_are_the_same_by_graph(name: str, backend: str, inputs: Inputs) -> None:
    network = on_device(with_backend(nuguide.load(name), backend, "cuda"), "cuda").network
    compare(network, inputs)
    assert graphs_of(network) == len(SIZES)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", VARIANTS)
def test_networks_of_every_kind_are_the_same_by_graph(
    name: str, half: bool, inputs: Inputs
) -> None:
    torch.manual_seed(0)
    network: nn.Module = InferenceNetwork(build_variant(name, 8).eval())
    if half:
        network = HalfNetwork(WholeNetwork(network, None, bgr=False))
    compare(network.cuda(), inputs, sizes=((256, 256), (41, 70)))
    assert graphs_of(network) == 2


@pytest.mark.parametrize("student", [False, True])
@pytest.mark.parametrize("views", [2, 8])
def test_views_are_the_same_by_graph(
    views: int, student: bool, make_model: Callable[..., Model], inputs: Inputs
) -> None:
    options = {"fusion": "cross", "fusion_level": 3} if student else {}
    model = with_views(make_model("eunet3plus", options, student=student), views)
    network = on_device(model, "cuda").network
    compare(network, inputs, sizes=((96, 160),))
    assert graphs_of(network) == (2 if views == 8 else 1)


@pytest.mark.parametrize("fusion", ["released", "paper", "cross"])
def test_maps_of_a_guided_model_are_the_same(fusion: str, make_model: Callable[..., Model]) -> None:
    tile_px = None if fusion == "cross" else 64
    made = make_model("eunet3plus", {"fusion": fusion}, student=True, tile_px=tile_px)
    model = on_device(made, "cuda")
    random = np.random.default_rng(0)
    for _ in range(3):
        rgb = random.integers(0, 256, (150, 170, 3), np.uint8)
        found = predict_maps(model, rgb)
        with launched_singly():
            expected = predict_maps(model, rgb)
        np.testing.assert_allclose(found.foreground, expected.foreground, atol=TOLERANCE)
        assert found.types is not None
        np.testing.assert_allclose(found.types, expected.types, atol=TOLERANCE)
    assert graphs_of(model.network) == 1


@pytest.fixture
def network() -> InferenceNetwork:
    torch.manual_seed(0)
    return InferenceNetwork(build_variant("eunet3plus-cross", 8).eval()).cuda()


def test_outputs_stay_what_they_are(network: InferenceNetwork, inputs: Inputs) -> None:
    given = [inputs(64, 96, tokens=True) for _ in range(5)]
    with torch.inference_mode():
        found = [network(*each) for each in given]
        with launched_singly():
            for outputs, each in zip(found, given, strict=True):
                assert_same(outputs, network(*each))


def test_modes_of_autograd_and_layouts_may_differ(
    network: InferenceNetwork, inputs: Inputs
) -> None:
    image, tokens = inputs(64, 96, tokens=True)
    with launched_singly():
        expected = network(image, tokens)
    with torch.inference_mode():
        for _ in range(2):
            assert_same(network(image.clone(), tokens), expected)
    with torch.no_grad():
        assert_same(network(image.contiguous(), tokens), expected)
    found = network(image, tokens.contiguous(memory_format=torch.channels_last))
    assert_same(found, expected)
    assert not any(x.requires_grad for x in found.values())
    wider, _ = inputs(64, 128, tokens=False)
    assert_same(network(wider[..., 16:112], tokens), network.compute(wider[..., 16:112], tokens))
    assert len(network.graphs) == 1


def test_batches_have_graphs_of_their_own(network: InferenceNetwork, inputs: Inputs) -> None:
    for _ in range(3):
        for batch in (1, 3):
            given = inputs(64, 64, tokens=True, batch=batch)
            assert_same(network(*given), network.compute(*given))
    assert len(network.graphs) == 2


def test_graphs_outlive_what_the_cache_of_blocks_forgets(
    network: InferenceNetwork, inputs: Inputs
) -> None:
    compare(network, inputs, sizes=((96, 160),))
    with launched_singly():
        for side in range(1, 25):  # twenty blocks each, of which 128 are kept
            network(*inputs(32 * side, 32 * side + 16, tokens=True))
    nan = float("nan")
    filled = [
        torch.full((1 << power,), nan, device="cuda") for power in range(7, 17) for _ in range(100)
    ]
    compare(network, inputs, sizes=((96, 160),), times=1)
    assert len(network.graphs) == 1
    del filled


def test_many_shapes_take_no_more_memory_than_a_few(
    network: InferenceNetwork, inputs: Inputs
) -> None:
    def reserved(sides: Iterator[int]) -> int:
        for side in sides:
            compare(network, inputs, sizes=((side, 256),), times=2)
        torch.cuda.empty_cache()
        return torch.cuda.memory_reserved()

    few = reserved(iter((256, 240, 224, 208)))
    assert len(network.graphs) == MOST_GRAPHS
    many = reserved(iter(range(192, 64, -16)))
    assert len(network.graphs) == MOST_GRAPHS
    assert many < 1.5 * few


def test_other_threads_use_the_gpu_while_it_records(
    network: InferenceNetwork, inputs: Inputs
) -> None:
    is_over, under_way = threading.Event(), threading.Semaphore(0)

    def busy() -> float:
        total = 0.0
        while not is_over.is_set():
            x = torch.rand(1000, 1000).cuda()  # waits, allocates and frees
            total += float((x @ x).sum().item())
            under_way.release()
        return total

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(busy) for _ in range(2)]
        try:
            for _ in range(20):  # libraries are loaded, and both are at it
                assert under_way.acquire(timeout=60)
            compare(network, inputs, sizes=((64, 96), (96, 64), (128, 128)))
        finally:
            is_over.set()
        assert all(each.result() > 0 for each in others)
    assert len(network.graphs) == 3


def test_threads_and_streams_share_a_network(network: InferenceNetwork, inputs: Inputs) -> None:
    given = [inputs(256, 256, tokens=True) for _ in range(24)]
    expected = [network.compute(*each) for each in given]
    torch.cuda.synchronize()

    def in_own_stream(each: tuple[Tensor, Tensor | None]) -> dict[str, Tensor]:
        with torch.cuda.stream(torch.cuda.Stream()), torch.inference_mode():
            outputs = network(*each)
            torch.cuda.current_stream().synchronize()
        return outputs

    with ThreadPoolExecutor(4) as pool:
        for found, each in zip(pool.map(in_own_stream, given), expected, strict=True):
            assert_same(found, each)


def test_a_network_that_leaves_and_comes_back_is_recorded_anew(
    network: InferenceNetwork, inputs: Inputs
) -> None:
    compare(network, inputs, sizes=((64, 96),))
    network.to("cuda")
    assert len(network.graphs) == 1
    image, tokens = inputs(64, 96, tokens=True)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(0.9)  # in place: the graph reads it
    assert_same(network(image, tokens), network.compute(image, tokens))
    network.cpu()
    assert len(network.graphs) == 0
    network(image.cpu(), tokens.cpu())
    compare(network.cuda(), inputs, sizes=((64, 96),))
    assert len(network.graphs) == 1


def test_copies_of_a_network_with_graphs_predict(network: InferenceNetwork, inputs: Inputs) -> None:
    compare(network, inputs, sizes=((64, 96),))
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert len(made.graphs) == 0
        compare(made, inputs, sizes=((64, 96),))
        assert len(made.graphs) == 1


_WAITS = """
import warnings
import torch
from torch import nn
from nuguide.networks.cuda_graphs import GraphedNetwork

class Network(GraphedNetwork):
    def __init__(self, waits):
        super().__init__()
        self.convolution, self.waits = nn.Conv2d(3, 2, 3, padding=1), waits

    def compute(self, image, tokens=None):
        made = self.convolution(image)
        return {"nuclei": made + made.mean().item() if self.waits else made}

waiting, other = Network(True).cuda(), Network(False).cuda()
with torch.inference_mode():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for side in (64, 80, 64, 80, 64, 80):
            image = torch.rand(1, 3, side, side).cuda()
            assert torch.equal(waiting(image)["nuclei"], waiting.compute(image)["nuclei"])
    told = [str(each.message) for each in told if each.category is RuntimeWarning]
    assert len(told) == 1 and "cannot be launched as a CUDA graph" in told[0], told
    assert len(waiting.graphs) == 0
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    for side in (64, 64, 64, 80, 80):
        image = torch.rand(1, 3, side, side).cuda()
        assert torch.equal(other(image)["nuclei"], other.compute(image)["nuclei"])
    assert len(other.graphs) == 2
    torch.rand(8, device="cuda")
"""


def test_a_network_that_waits_for_the_gpu_is_launched_one_by_one() -> None:
    # In a process of its own: torch's memory is not quite what it was after such a recording.
    done = subprocess.run(
        [sys.executable, "-c", _WAITS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
