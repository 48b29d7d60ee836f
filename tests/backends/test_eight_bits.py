from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import nuguide
from fixtures.tissue import draw_tissue
from nuguide.backends import eight_bits
from nuguide.backends.registry import with_backend
from nuguide.backends.session import Session, run_session
from nuguide.errors import InputError, ModelError, OutputError
from nuguide.models.model import Model
from nuguide.segmentation.decoding import decode
from nuguide.segmentation.predictor import predict_maps

pytest.importorskip("onnx", reason="onnx is an extra")
pytest.importorskip("onnxruntime", reason="onnxruntime is an extra")


def test_it_is_close_and_made_once_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    plain = nuguide.load("default")
    model = with_backend(plain, "int8", "cpu")
    assert (model.backend, model.precision) == ("int8", "int8")
    rgb = draw_tissue(130, 170, mpp=0.5, per_mm2=3000, seed=0)[0]
    expected, found = (predict_maps(each, rgb) for each in (plain, model))
    apart = np.abs(found.foreground - expected.foreground)
    assert 0 < apart.mean() < 0.01
    counts = [decode(maps, plain.card.decoding).max() for maps in (expected, found)]
    assert counts[0] > 5
    assert abs(counts[0] - counts[1]) <= 2
    (kept,) = (tmp_path / "int8").iterdir()
    assert kept.stat().st_size < 3_500_000

    def never(*_: object) -> bytes:
        raise AssertionError("it was made before")

    monkeypatch.setattr(eight_bits, "quantised", never)
    again = predict_maps(with_backend(plain, "int8", "cpu"), rgb)
    assert (again.foreground == found.foreground).all()
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(AssertionError, match="made before"):  # so it would be made anew
        predict_maps(with_backend(plain, "int8", "cpu"), rgb)


def test_what_was_made_of_other_examples_or_ranges_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    monkeypatch.setattr(eight_bits, "quantised", lambda graph, shown: graph + bytes(len(shown)))
    one, other = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    for shown in ([one], [one], [other], [one, other]):
        assert eight_bits._kept(b"graph", shown) == b"graph" + bytes(len(shown))
    assert len(list((tmp_path / "int8").iterdir())) == 3
    monkeypatch.setattr(eight_bits, "_RANGES", {"CalibMovingAverage": False})
    eight_bits._kept(b"graph", [one])
    assert len(list((tmp_path / "int8").iterdir())) == 4


def test_what_lost_too_much_is_refused(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    monkeypatch.setattr(eight_bits, "APART", 0.0)
    network = with_backend(unguided, "int8", "cpu").network
    with pytest.raises(ModelError, match="standard deviations off"):
        network(torch.rand(1, 3, 32, 32))


def test_numbers_that_are_none_are_refused_in_whichever_output(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))

    def last_is_nan(session: Session, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        *others, last = run_session(session, inputs)
        return [*others, torch.full_like(last, torch.nan)]

    monkeypatch.setattr(eight_bits, "APART", 10.0)
    monkeypatch.setattr(eight_bits, "run_session", last_is_nan)
    network = with_backend(unguided, "int8", "cpu").network
    with pytest.raises(ModelError, match="logits are nan standard deviations off"):
        network(torch.rand(1, 3, 32, 32))


def test_a_network_that_takes_bgr_is_shown_bgr(
    make_model: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))
    given: list[torch.Tensor] = []

    def seen(graph: bytes, shown: Sequence[torch.Tensor]) -> bytes:
        given.extend(shown)
        return graph  # not in eight bits, which is close enough

    monkeypatch.setattr(eight_bits, "quantised", seen)
    model = make_model("unet", {}, channel_order="bgr")
    with_backend(model, "int8", "cpu").network(torch.rand(1, 3, 32, 32))
    expected = [image.flip(1) for image in eight_bits.examples(128)]
    assert all((one == other).all() for one, other in zip(given, expected, strict=True))


def test_a_full_disk_is_one_line(
    unguided: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUGUIDE_CACHE", str(tmp_path))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    network = with_backend(unguided, "int8", "cpu").network
    with pytest.raises(OutputError, match=r"No space left.*TMPDIR"):
        network(torch.rand(1, 3, 32, 32))


def test_tokens_from_outside_are_refused(make_model: Callable[..., Model]) -> None:
    model = make_model("eunet3plus", {"fusion": "released"}, tile_px=256)
    with pytest.raises(InputError, match="student inside"):
        with_backend(model, "int8", "cpu")


def test_examples_are_tissue_in_many_colours_and_always_the_same() -> None:
    shown, again = eight_bits.examples(128), eight_bits.examples(128)
    assert all((one == other).all() for one, other in zip(shown, again, strict=True))
    assert {tuple(each.shape) for each in shown} == {(1, 3, 128, 128)}
    assert 0 <= min(each.min() for each in shown) < max(each.max() for each in shown) <= 1
    colours = torch.stack([each.mean((0, 2, 3)) for each in shown])
    assert len(shown) == 48
    assert (colours.std(0) > 0.03).all()
