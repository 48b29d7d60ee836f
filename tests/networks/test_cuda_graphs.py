"""When shapes get a graph; what one does is tested on a GPU (tests/backends/test_gpu.py)."""

import copy
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from nuguide.networks import cuda_graphs
from nuguide.networks.cuda_graphs import CudaGraphs, GraphedNetwork, launched_singly
from nuguide.networks.cuda_recorder import CannotRecordError, Compute, Recording
from nuguide.networks.inference import InferenceNetwork
from nuguide.networks.registry import build_network
from nuguide.networks.upsampled_conv import UpsampledConv2d, blocks_kept, interpolation_blocks

WEIGHT = nn.Parameter(torch.ones(3))
LARGEST = 100


class TapeRecorder:
    """Stands in for a GPU: "records" widths below ``LARGEST``, and writes down what happens."""

    happened: list[str]

    def __init__(self, device: torch.device) -> None:
        TapeRecorder.happened.append(f"on {device}")

    def __call__(self, compute: Compute, image: Tensor, tokens: Tensor | None) -> Recording:
        width = image.shape[-1]
        TapeRecorder.happened.append(f"record {width}")
        if width >= LARGEST:
            raise CannotRecordError("operation not permitted when stream is capturing")

        def replay(image: Tensor, tokens: Tensor | None) -> dict[str, Tensor]:
            TapeRecorder.happened.append(f"replay {width}")
            return {"nuclei": image + 1}

        return replay


@pytest.fixture
def happened() -> list[str]:
    TapeRecorder.happened = []
    return TapeRecorder.happened


Call = Callable[..., dict[str, Tensor]]


@pytest.fixture
def call(happened: list[str]) -> Call:
    """Call the graphs of one network, of which there may be two, with an image of a width."""
    graphs = CudaGraphs(TapeRecorder, most=2)

    def compute(image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        happened.append(f"compute {image.shape[-1]}")
        return {"nuclei": image + 1}

    def with_width(width: int, tokens: Tensor | None = None, **kind: torch.dtype):
        image = torch.rand(1, 3, 4, width).to(**kind)
        outputs = graphs(compute, image, tokens, lambda: [WEIGHT])
        assert torch.equal(outputs["nuclei"], image + 1)
        return outputs

    return with_width


def test_a_shape_is_recorded_when_it_comes_again(call: Call, happened: list[str]) -> None:
    for width in (5, 6, 5, 5, 7):
        call(width)
    assert happened == [
        "compute 5", "compute 6", "on cpu", "record 5", "replay 5", "replay 5", "compute 7",
    ]  # fmt: skip


def test_tokens_their_shape_and_any_dtype_are_of_the_shape(call: Call, happened: list[str]) -> None:
    call(5)
    call(5, torch.rand(1, 256, 1, 2))
    call(5, torch.rand(1, 256, 1, 3))
    call(5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        call(5)
    assert happened == ["compute 5"] * 5
    call(5, torch.rand(1, 256, 1, 3))
    assert happened[-1] == "replay 5"


def test_the_one_used_longest_ago_goes(call: Call, happened: list[str]) -> None:
    for width in (1, 1, 2, 2, 1, 3, 3):
        call(width)
    happened.clear()
    for width in (1, 3, 2):
        call(width)
    # 2 was dropped, and has come once since 1, which is now the one used longest ago.
    assert happened == ["replay 1", "replay 3", "compute 2"]
    call(2)
    assert happened[-2:] == ["record 2", "replay 2"]
    call(3)
    assert happened[-1] == "replay 3"


def test_shapes_that_take_turns_do_not_push_each_other_out(call: Call, happened: list[str]) -> None:
    for _ in range(5):
        for width in (1, 2, 3, 4):
            call(width)
    recorded = [each for each in happened if each.startswith("record")]
    assert recorded == ["record 1", "record 2"]


def test_shapes_that_come_once_are_forgotten(call: Call, happened: list[str]) -> None:
    for width in range(1, 90):
        call(width)
    call(1)
    call(89)
    assert [each for each in happened if each.startswith("record")] == ["record 89"]


def test_what_cannot_be_recorded_is_computed_and_told_once(call: Call, happened: list[str]) -> None:
    call(LARGEST)
    call(LARGEST + 1)
    with pytest.warns(RuntimeWarning, match=r"1 x 3 x 4 x 100 \(operation not permitted"):
        call(LARGEST)
    for width in (LARGEST, LARGEST + 1, LARGEST, 5, 5):
        call(width)
    assert happened == [
        "compute 100", "compute 101", "on cpu", "record 100", "compute 100", "compute 100",
        "on cpu", "record 101", "compute 101", "compute 100",
        "compute 5", "on cpu", "record 5", "replay 5",
    ]  # fmt: skip


def test_an_error_of_the_network_itself_is_its_own(happened: list[str]) -> None:
    graphs = CudaGraphs(TapeRecorder)

    def compute(image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        raise ValueError("no tokens")

    with pytest.raises(ValueError, match="no tokens"):
        graphs(compute, torch.rand(1, 3, 4, 4), None, list)


def test_graphs_make_room_where_there_is_too_little(happened: list[str]) -> None:
    graphs = CudaGraphs(TapeRecorder)

    def compute(image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        happened.append(f"compute {image.shape[-1]}")
        if len(graphs) or image.shape[-1] > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"nuclei": image + 1}

    def call(width: int) -> None:
        graphs(compute, torch.rand(1, 3, 4, width), None, lambda: [WEIGHT])

    with pytest.raises(torch.OutOfMemoryError):
        call(51)
    call(5)
    call(5)
    with pytest.warns(RuntimeWarning, match=r"1 x 3 x 4 x 6 \(CUDA out of memory"):
        call(6)
    happened.clear()
    for width in (5, 5, 6, 5):
        call(width)
    assert happened == ["compute 5", "compute 5", "compute 6", "compute 5"]


def compute_twice(image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
    return {"nuclei": 2 * image}


def test_graphs_are_dropped_where_a_weight_moves(happened: list[str]) -> None:
    graphs, network = CudaGraphs(TapeRecorder), nn.Linear(2, 2)
    image = torch.rand(1, 3, 4, 4)
    for _ in range(2):
        graphs(compute_twice, image, None, network.parameters)
    network.to("cpu")  # where it is already
    with torch.no_grad():
        network.weight.mul_(2)
    graphs.forget_if_moved()
    assert len(graphs) == 1
    network.to(torch.float64).to(torch.float32)
    outputs = graphs(compute_twice, image, None, network.parameters)
    assert len(graphs) == 0
    assert torch.equal(outputs["nuclei"], 2 * image)
    graphs(compute_twice, image, None, network.parameters)
    assert happened == ["on cpu", "record 4", "replay 4"] * 2


def test_copies_begin_without_graphs(happened: list[str]) -> None:
    graphs = CudaGraphs(TapeRecorder)
    for _ in range(2):
        graphs(compute_twice, torch.rand(1, 3, 4, 4), None, lambda: [WEIGHT])
    assert (len(graphs), len(copy.deepcopy(graphs))) == (1, 0)
    assert len(pickle.loads(pickle.dumps(graphs))) == 0


def test_threads_compute_one_at_a_time() -> None:
    graphs, inside, most = CudaGraphs(TapeRecorder), [0], [0]

    def compute(image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.01)
        inside[0] -= 1
        return {"nuclei": image}

    threads = [
        threading.Thread(target=graphs, args=(compute, torch.rand(1, 3, 4, n), None, list))
        for n in range(1, 5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


class Inner(GraphedNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.graphs = CudaGraphs(TapeRecorder)
        self.weight = nn.Parameter(torch.ones(1))

    def compute(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        return {"nuclei": image * self.weight}


class Outer(Inner):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inner()

    def compute(self, image: Tensor, tokens: Tensor | None = None) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.inner(image, tokens)
        return outputs


def on_gpu(image: Tensor) -> bool:
    return not getattr(cuda_graphs._thread, "singly", False)


@pytest.fixture
def network(happened: list[str], monkeypatch: pytest.MonkeyPatch) -> Outer:
    """Return a network that takes the CPU for a GPU."""
    monkeypatch.setattr(cuda_graphs, "_is_for_graphs", on_gpu)
    return Outer()


@torch.no_grad()
def test_the_outermost_network_is_recorded_with_those_inside(network: Outer) -> None:
    for _ in range(3):
        network(torch.rand(1, 3, 4, 4))
    assert (len(network.graphs), len(network.inner.graphs)) == (1, 0)
    network.inner(torch.rand(1, 3, 4, 4))
    network.inner(torch.rand(1, 3, 4, 4))
    assert len(network.inner.graphs) == 1


@torch.no_grad()
def test_a_network_that_moves_has_no_graphs_any_more(network: Outer) -> None:
    for _ in range(2):
        network(torch.rand(1, 3, 4, 4))
    assert len(copy.deepcopy(network).graphs) == 0
    assert set(network.state_dict()) == {"weight", "inner.weight"}
    network.to("cpu")
    assert len(network.graphs) == 1
    network.to(torch.float64)
    assert len(network.graphs) == 0


@torch.no_grad()
def test_nothing_is_recorded_where_parts_are_watched(network: Outer) -> None:
    seen: list[Tensor] = []
    network.inner.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for count in (1, 2, 3):
        with launched_singly(), launched_singly():
            network(torch.rand(1, 3, 4, 4))
        assert len(seen) == count
    assert len(network.graphs) == 0


def test_on_a_cpu_nothing_is_kept_of_an_image() -> None:
    network = InferenceNetwork(build_network("unet", width=2))
    for _ in range(3):
        network(torch.rand(1, 3, 16, 16))
    assert len(network.graphs) == 0
    assert network.graphs._last == {}


def test_blocks_that_a_recording_reads_outlive_their_cache() -> None:
    convolution, x = UpsampledConv2d(3, 2, 2), torch.rand(1, 3, 7, 9)
    with torch.no_grad():
        convolution(x)
        with blocks_kept() as kept:
            convolution(x)
        convolution(x)
    like = (2, False, x.dtype, x.device)
    assert len(kept) == 2
    assert kept[0] is interpolation_blocks(9, *like)
    assert kept[1] is interpolation_blocks(7, *like)
