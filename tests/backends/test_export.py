import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nuguide.backends import export
from nuguide.backends.export import CARD, FILES, Format, export_graph
from nuguide.errors import ModelError, OutputError
from nuguide.models.card import Card
from nuguide.models.checkpoint import save_model
from nuguide.models.model import Model
from nuguide.models.registry import load, load_card
from nuguide.networks.registry import build_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    options = {"width": 2, "heads": ("nuclei", "distance")}
    card = Card(
        name="small",
        version="1",
        description="random weights",
        licence="CC0-1.0",
        mpp=0.5,
        network={"architecture": "unet", "options": options},
        sha256="0" * 64,
    )
    save_model(Model(build_network("unet", **options).eval(), None, card), tmp_path / "model")
    return tmp_path / "model"


def test_onnx_is_read_by_name_and_describes_itself(folder: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnx is an extra")
    out = tmp_path / "out"
    assert export_graph(folder, out, Format.ONNX) < 1e-5
    assert sorted(file.name for file in out.iterdir()) == sorted([CARD, FILES[Format.ONNX]])
    card = load_card(folder)
    assert Card.from_toml((out / CARD).read_text()) == card
    session = onnxruntime.InferenceSession(
        out / FILES[Format.ONNX], providers=["CPUExecutionProvider"]
    )
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["sha256_of_weights"], facts["um_per_px"]) == (card.sha256, "0.5")
    image = torch.rand(1, 3, 50, 71)
    nuclei, distance = session.run(["nuclei", "distance"], {"image": image.numpy()})
    expected = load(folder).network(image)
    np.testing.assert_allclose(nuclei, expected["nuclei"], atol=1e-4)
    np.testing.assert_allclose(distance, expected["distance"], atol=1e-4)


def test_torchscript_runs_without_nuguide(folder: Path, tmp_path: Path) -> None:
    assert export_graph(folder, tmp_path / "out", Format.TORCHSCRIPT) < 1e-5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        read = torch.jit.load(tmp_path / "out" / FILES[Format.TORCHSCRIPT])
    image = torch.rand(1, 3, 33, 20)
    nuclei, _ = read(image)
    expected = load(folder).network(image)["nuclei"]
    torch.testing.assert_close(nuclei, expected, rtol=0, atol=1e-4)


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Unix alone limits a file's size")
    script = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from nuguide.backends.export import Format, export_graph\n"
        "from nuguide.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))\n"
        "try:\n    export_graph(Path(sys.argv[1]), Path(sys.argv[2]), Format.TORCHSCRIPT)\n"
        "except OutputError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert "cannot be written" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_openvino_keeps_all_digits(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is an extra")
    assert export_graph(folder, tmp_path / "out", Format.OPENVINO) < 1e-5
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names == {CARD, "model.xml", "model.bin"}


def test_what_differs_from_torch_is_not_left_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "compared", lambda *_: 2e-4)
    with pytest.raises(ModelError, match=r"differs from torch by 2\.0e-04.*nothing was written"):
        export_graph(folder, tmp_path / "out", Format.TORCHSCRIPT)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_comparison_sees_a_wrong_weight(folder: Path) -> None:
    from nuguide.backends.graph import Graph
    from nuguide.backends.whole import whole

    _, network = whole(load(folder))
    graph = Graph(network)
    script = graph.to_torchscript()
    with torch.no_grad():
        next(script.parameters()).add_(0.1)
    assert export.compared(graph, lambda inputs: list(script(*inputs))) > 1e-4


def test_the_folder_one_is_in_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for here in (Path(), Path.cwd()):
        with pytest.raises(OutputError, match="folder that you are in"):
            export_graph(folder, here, Format.TORCHSCRIPT)


def test_a_folder_with_anything_in_it_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        export_graph(folder, tmp_path / "out", Format.TORCHSCRIPT)
