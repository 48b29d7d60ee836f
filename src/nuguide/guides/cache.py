"""The user's own store of guide weights: safetensors, each with a TOML record beside it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tomli_w

from nuguide.documents import DocumentError, read_toml
from nuguide.errors import GuideError
from nuguide.files import CACHE, cache_folder, make_folder, replacing, unwritable

# Listing what is there needs no torch.
if TYPE_CHECKING:
    from torch import Tensor

    from nuguide.guides.weights import State

_FIELDS = ("name", "sha256", "source", "licence")


@dataclass(frozen=True)
class CachedWeights:
    """The record of a guide's weights in the cache.

    Attributes
    ----------
    name : str
        The guide.
    sha256 : str
        Digest of the weights (`nuguide.guides.weights.digest`).
    source : str
        The file name or hub id that they were made from.
    licence : str
        The licence of the weights.
    """

    name: str
    sha256: str
    source: str
    licence: str

    @property
    def path(self) -> Path:
        """Where the weights lie."""
        return guides_folder() / f"{self.name}.safetensors"


def guides_folder() -> Path:
    """Return the folder of guide weights in the user's cache."""
    return cache_folder("guides")


def find(name: str) -> CachedWeights | None:
    """Return the record of a guide's weights, or None if they are not in the cache.

    Raises
    ------
    GuideError
        If there is a record that cannot be read.
    """
    path = guides_folder() / f"{name}.toml"
    if not path.is_file():
        return None
    try:
        record = read_toml(path)
    except DocumentError as error:
        raise GuideError(
            f"{path} cannot be read ({error}); expected the record of a guide's weights; "
            f"delete it and add {name} again"
        ) from error
    if any(not isinstance(record.get(field), str) for field in _FIELDS) or record["name"] != name:
        raise GuideError(
            f"{path} is no record of {name}; expected the texts {', '.join(_FIELDS)}; "
            f"delete it and add {name} again"
        )
    found = CachedWeights(**{field: record[field] for field in _FIELDS})
    return found if found.path.is_file() else None


def read(record: CachedWeights, again: str) -> "State":
    """Read weights from the cache and check them against their record.

    Parameters
    ----------
    record : CachedWeights
        As `find` returned it.
    again : str
        What to do if they are damaged, for the error message.

    Raises
    ------
    GuideError
        If the file is damaged or is not what was recorded.
    """
    from nuguide.guides.weights import digest, read_state

    state = read_state(record.path)
    found = digest(state)
    if found != record.sha256:
        raise GuideError(
            f"{record.path} has sha256 {found[:12]}; expected {record.sha256[:12]} as recorded "
            f"when it was added; {again}"
        )
    return state


def write(record: CachedWeights, state: Mapping[str, "Tensor"]) -> None:
    """Put weights and their record into the cache, in place of older ones.

    Raises
    ------
    OutputError
        If the cache cannot be written.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Tensors of a checkpoint may be views of one storage, which safetensors refuses.
    whole = {
        key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()
    }
    beside = record.path.with_suffix(".toml")
    advice = f"set {CACHE} to a folder of yours"
    make_folder(record.path.parent, advice)
    try:
        with replacing(beside, advice) as card, replacing(record.path, advice) as weights:
            save_file(whole, weights)
            card.write_text(tomli_w.dumps(asdict(record)), encoding="utf-8")
            # The record goes first: weights without their own record are never taken for good.
            beside.unlink(missing_ok=True)
    # safetensors reports a full disk or a refused write as its own error.
    except SafetensorError as error:
        raise unwritable(record.path, error, advice) from error
