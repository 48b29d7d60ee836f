from pathlib import Path

import pytest
import torch

from nuguide.backends import choice
from nuguide.backends.choice import chosen, fastest
from nuguide.backends.registry import Backend, with_backend
from nuguide.errors import ModelError
from nuguide.models.model import Model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    return tmp_path / "backends"


def installed(monkeypatch: pytest.MonkeyPatch, *backends: Backend) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda each: each in (Backend.TORCH, *backends))


def test_another_backend_must_be_clearly_faster() -> None:
    assert chosen({"torch": 1.0, "onnx": 0.5, "openvino": 0.6}) is Backend.ONNX
    assert chosen({"torch": 1.0, "onnx": 0.97}) is Backend.TORCH
    assert chosen({"torch": 1.0}) is Backend.TORCH


def test_nothing_is_timed_where_there_is_no_choice(
    unguided: Model, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch)
    assert with_backend(unguided, "auto", "cpu") is unguided
    assert not cache.exists()


def test_timings_are_remembered_until_something_changes(
    unguided: Model, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, Backend.ONNX)
    monkeypatch.setattr(choice, "version", lambda name: "1")
    calls: list[list[Backend]] = []

    def timed(model: Model, backends: list[Backend], side_px: int) -> dict[str, float]:
        calls.append(backends)
        return {"torch": 1.0, "onnx": 0.5}

    monkeypatch.setattr(choice, "timed", timed)
    assert [fastest(unguided, 64) for _ in range(2)] == [Backend.ONNX] * 2
    assert calls == [[Backend.TORCH, Backend.ONNX]]
    (file,) = cache.iterdir()
    for damage in ("{", '{"onnx": 1}', '{"torch": "fast"}', '{"frob": 1, "torch": 2}', "[]"):
        file.write_text(damage)
        assert fastest(unguided, 64) is Backend.ONNX
    assert len(calls) == 6
    monkeypatch.setattr(choice, "version", lambda name: "2")
    fastest(unguided, 64)
    assert len(calls) == 7


def test_a_cache_that_cannot_be_written_stops_nobody(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path / "file"))
    installed(monkeypatch, Backend.ONNX)
    monkeypatch.setattr(choice, "version", lambda name: "1")
    monkeypatch.setattr(choice, "timed", lambda *_: {"torch": 1.0, "onnx": 2.0})
    assert fastest(unguided, 64) is Backend.TORCH


def test_what_is_installed_is_timed(unguided: Model) -> None:
    pytest.importorskip("onnxruntime", reason="onnx is an extra")
    seconds = choice.timed(unguided, [Backend.TORCH, Backend.ONNX], 64)
    assert set(seconds) == {"torch", "onnx"}
    assert all(0 < each < 60 for each in seconds.values())


def test_a_runtime_that_breaks_in_its_own_way_is_passed_over(
    unguided: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="onnx is an extra")

    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    def broken(self: object, *_: object, **__: object) -> None:
        raise Fail("no such operator")

    monkeypatch.setattr("onnxruntime.InferenceSession.__init__", broken)
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot compute.*no such operator"):
        with_backend(unguided, "onnx", "cpu").network(torch.zeros(1, 3, 64, 64))
    assert set(choice.timed(unguided, [Backend.TORCH, Backend.ONNX], 64)) == {"torch"}


def test_another_processor_is_timed_anew(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr(choice, "_CPUINFO", cpuinfo)
    keys = set()
    for name in ("EPYC 9654", "Xeon 8481C"):
        cpuinfo.write_text(f"processor : 0\nmodel name\t: {name} @ 2 GHz\nflags : fpu\n")
        found = choice.circumstances(unguided, 64)
        assert name in found.processor
        keys.add(choice._file(found))
    assert len(keys) == 2


def test_auto_on_a_gpu_is_torch(unguided: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Backend.ONNX, Backend.OPENVINO)
    assert with_backend(unguided, "auto", "cuda") is unguided
