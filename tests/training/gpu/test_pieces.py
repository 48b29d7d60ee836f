from pathlib import Path

import pytest
import torch

from nuguide.errors import InputError
from nuguide.training.gpu import pieces
from nuguide.training.gpu.pieces import halved, read_pieces, write_pieces


def state(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    made = {f"layer.{i}": torch.randn(100, generator=draws) for i in range(count)}
    return made | {"batches": torch.tensor(7), "variance": torch.tensor([1e6, 2.0])}


def test_what_is_written_in_pieces_is_joined_again(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2000)
    states = {"one": state(9), "other": state(2, seed=1)}
    places = write_pieces(states, tmp_path / "new")
    files = sorted((tmp_path / "new").iterdir())
    assert len(files) > 2
    assert all(path.stat().st_size <= 2000 for path in files)
    assert {name for names in places.values() for name in names} == {path.name for path in files}
    for run, truth in states.items():
        back = read_pieces(tmp_path / "new", places[run], run)
        assert back.keys() == truth.keys()
        assert all(x.dtype is truth[key].dtype for key, x in back.items())
        assert all(torch.allclose(back[key], truth[key], rtol=1e-3) for key in truth)


def test_numbers_beyond_half_precision_stay_whole():
    made = halved(state(1))
    assert made["layer.0"].dtype is torch.float16
    assert made["variance"].dtype is torch.float32
    assert made["variance"].tolist() == [1e6, 2.0]
    assert made["batches"] == 7


def test_a_run_that_does_not_fit_is_left_out_whole_and_a_smaller_one_is_not(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 2000)
    monkeypatch.setattr(pieces, "MOST_PIECES", 2)
    places = write_pieces({"large": state(40), "small": state(2)}, tmp_path)
    assert set(places) == {"small"}
    assert read_pieces(tmp_path, places["small"], "small").keys() == state(2).keys()


def test_pieces_of_before_go(tmp_path: Path, monkeypatch):
    (tmp_path / "weights-9.safetensors").write_bytes(b"old")
    write_pieces({"one": state(1)}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["weights-1.safetensors"]


def test_a_missing_or_damaged_piece_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"weights-1\.safetensors cannot be read"):
        read_pieces(tmp_path, ["weights-1.safetensors"], "one")
    (tmp_path / "weights-1.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match=r"weights-1\.safetensors cannot be read"):
        read_pieces(tmp_path, ["../x/weights-1.safetensors"], "one")
