"""Weights in pieces: half precision, in files small enough to be sent back."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from nuguide.errors import InputError
from nuguide.files import make_folder, replacing

PIECE_BYTES = 15_000_000
"""Largest piece."""

MOST_PIECES = 4
"""What comes back with the scores: 60 MB."""

_ADVICE = "give another --out"


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as float16 on the CPU; what float16 cannot hold stays as it is."""
    made = {}
    for key, value in state.items():
        half = value.half() if value.is_floating_point() else value
        # Statistics of batch norm may lie beyond float16's 65,504.
        kept = half if bool(torch.isfinite(half).all()) else value
        made[key] = kept.detach().cpu().contiguous()
    return made


def write_pieces(states: dict[str, dict[str, Tensor]], folder: Path) -> dict[str, list[str]]:
    """Write the weights of several runs into as few files as can be.

    Parameters
    ----------
    states : dict
        By the run's name.
    folder : Path
        Gets ``weights-1.safetensors`` and so on, with keys ``<run>/<key>``; older ones go.

    Returns
    -------
    dict
        Files by the run's name; a run that did not fit into ``MOST_PIECES`` is not in it.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    make_folder(folder, _ADVICE)
    pieces: list[dict[str, Tensor]] = [{}]
    places: dict[str, list[str]] = {}
    for run, state in states.items():
        tried, used = [dict(piece) for piece in pieces], set()
        for key, value in halved(state).items():
            if _bytes(tried[-1].values()) + _bytes([value]) > PIECE_BYTES:
                tried.append({})
            tried[-1][f"{run}/{key}"] = value
            used.add(f"weights-{len(tried)}.safetensors")
        if len(tried) <= MOST_PIECES:
            pieces, places[run] = tried, sorted(used)
    for old in folder.glob("weights-*.safetensors"):
        old.unlink()
    for number, piece in enumerate(pieces, start=1):
        if piece:
            with replacing(folder / f"weights-{number}.safetensors", _ADVICE) as aside:
                aside.write_bytes(save(piece))
    return places


def _bytes(values: Iterable[Tensor]) -> int:
    header = 256  # a tensor's name and place
    return sum(value.numel() * value.element_size() + header for value in values)


def read_pieces(folder: Path, files: list[str], run: str) -> dict[str, Tensor]:
    """Join the weights of a run, as float32.

    Raises
    ------
    InputError
        If a piece is missing or damaged.
    """
    return dict(_read(folder, files, f"{run}/"))


def _read(folder: Path, files: list[str], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name in files:
        try:
            piece = load_file(folder / Path(name).name)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{folder / Path(name).name} cannot be read ({error}); expected a piece of a "
                "network's weights; fetch the files of the GPU machine again"
            ) from error
        for key, value in piece.items():
            if key.startswith(prefix):
                whole = value.float() if value.is_floating_point() else value
                yield key.removeprefix(prefix), whole
