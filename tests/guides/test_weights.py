import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nuguide.errors import GuideError
from nuguide.guides import weights
from nuguide.guides.weights import digest, load_checked, read_state

STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}


def test_digest_depends_on_the_numbers_alone() -> None:
    turned = {"b": torch.tensor(3), "a": torch.arange(6.0).reshape(3, 2).reshape(2, 3)}
    assert digest(turned) == digest(STATE)


@pytest.mark.parametrize(
    "other",
    [
        {"a": STATE["a"], "c": STATE["b"]},
        {"a": STATE["a"].reshape(3, 2), "b": STATE["b"]},
        {"a": STATE["a"].double(), "b": STATE["b"]},
        {"a": STATE["a"] + 1, "b": STATE["b"]},
        {"a": STATE["a"]},
    ],
)
def test_digest_tells_names_shapes_types_and_values_apart(other: dict[str, torch.Tensor]) -> None:
    assert digest(other) != digest(STATE)


@pytest.mark.parametrize("wrap", [None, "model_state", "state_dict", "model"])
def test_checkpoints_are_read_bare_or_wrapped(tmp_path: Path, wrap: str | None) -> None:
    torch.save({wrap: STATE, "epoch": 3} if wrap else STATE, tmp_path / "weights.pth")
    assert digest(read_state(tmp_path / "weights.pth")) == digest(STATE)


def test_prefix_of_every_key_is_dropped(tmp_path: Path) -> None:
    save_file({f"module.{key}": value for key, value in STATE.items()}, tmp_path / "w.safetensors")
    assert set(read_state(tmp_path / "w.safetensors")) == {"a", "b"}


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('ran')",))


def test_pickles_never_run(tmp_path: Path) -> None:
    torch.save({"a": Hostile()}, tmp_path / "bad.pth")
    with pytest.raises(GuideError, match="plain weights"):
        read_state(tmp_path / "bad.pth")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 64])
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GuideError, match=name):
        read_state(tmp_path / name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("zipped", [True, False])
def test_whatever_bytes_are_wrong_only_a_guide_error_comes_out(
    tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    whole, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in random.integers(len(whole), size=3):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(1, 4 * len(whole))])
        try:
            read_state(path)
        except GuideError:
            refused += 1
    assert refused > 50


def test_a_file_that_unpacks_too_large_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MAX_FILE_BYTES", 1 << 20)
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"a": torch.zeros(2 << 20, dtype=torch.uint8)}, plain)
    with zipfile.ZipFile(plain) as one, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as other:
        for name in one.namelist():
            other.writestr(name, one.read(name))
    assert packed.stat().st_size < 1 << 14
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(GuideError, match=r"packed\.pth unpacks to 2\d{6} bytes"):
        read_state(packed)


def test_one_number_that_is_repeated_without_end_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "endless.pth")
    with pytest.raises(GuideError, match="unpacks to 4000000000000 bytes"):
        read_state(tmp_path / "endless.pth")


def test_tensors_that_are_no_plain_numbers_do_not_count(tmp_path: Path) -> None:
    odd = {"sparse": torch.eye(2).to_sparse(), "unwritten": torch.empty(2, device="meta")}
    torch.save({**STATE, **odd}, tmp_path / "weights.pth")
    assert set(read_state(tmp_path / "weights.pth")) == set(STATE)


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuideError, match="no weight file"):
        read_state(tmp_path / "absent.pth")


def test_shape_that_differs_is_named() -> None:
    module = torch.nn.Linear(2, 3)
    with pytest.raises(
        GuideError, match=r"has bias as torch.float32 \(4,\); expected torch.float32 \(3,\)"
    ):
        load_checked(module, {"weight": torch.zeros(3, 2), "bias": torch.zeros(4)}, "here")


def test_finite_values_of_any_size_are_taken() -> None:
    module = torch.nn.Linear(2, 1)
    load_checked(module, {"weight": torch.full((1, 2), 3e38), "bias": torch.zeros(1)}, "here")
    assert module.weight.max() > 1e38
