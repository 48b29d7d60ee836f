"""What travels to the GPU: one file of data, one of plain values."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from nuguide.documents import read_json
from nuguide.errors import InputError
from nuguide.guides.weights import digest
from nuguide.training.gpu.arrays import Unsigned, refined, restored

# The recipes were checked where they were packed; here there is no pydantic.
if TYPE_CHECKING:
    from nuguide.training.recipe import SegmentationRecipe

PLAN_FILE, DATA_FILE = "plan.json", "data.safetensors"

MAX_BYTES = 50 << 20
"""Largest pack: what a lent machine takes, with the source tree beside it."""


@dataclass(frozen=True)
class Pack:
    """A folder that was packed, read.

    Attributes
    ----------
    values : dict
        ``plan.json``: recipes, sizes, names.
    arrays : dict of str to ndarray
        ``data.safetensors``: squeezed pictures, weights of guides.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def recipes(self) -> list["SegmentationRecipe"]:
        """The runs, in their order."""
        return [as_recipe(values) for values in self.values["recipes"]]

    def picture(self, key: str) -> Unsigned:
        """Return a picture or map by its key, (H, W) or (H, W, 3)."""
        about = self.values["pictures"][key]
        steps = restored(self.arrays[key], tuple(about["shape"]), about["dtype"])
        return refined(steps, about.get("max_error", 0))

    def weights(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Return the arrays whose keys begin with ``prefix``, without it."""
        return {k.removeprefix(prefix): v for k, v in self.arrays.items() if k.startswith(prefix)}

    def digest(self, run: str) -> str:
        """Return a sha256 of what a run is trained and validated on: tissue, targets, its guide.

        Other runs of the pack, and their guides, do not change it.
        """
        guide = self.values["guides"][run]
        told = [self.values[key] for key in ("fit_mpp", "validation", "pictures")]
        told.append(self.values.get("drawn"))  # none in a pack of before it was told
        read = {key: self.arrays[key] for key in self.values["pictures"]}
        if guide["kind"] != "none":
            read |= self.weights(guide["prefix"])
        weights = digest({key: torch.from_numpy(value) for key, value in read.items()})
        return hashlib.sha256(json.dumps([told, guide, weights]).encode()).hexdigest()


def read_pack(folder: Path) -> Pack:
    """Read what ``nuguide.training.gpu.pack`` wrote.

    Raises
    ------
    InputError
        If a file is missing or damaged.
    """
    try:
        values = read_json(folder / PLAN_FILE)
        return Pack(values, load_file(folder / DATA_FILE))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(
            f"{folder} is no whole pack ({type(error).__name__}: {error}); expected {PLAN_FILE} "
            f"and {DATA_FILE}; pack it again with scripts/train_gpu pack"
        ) from error


def as_recipe(values: dict[str, Any]) -> "SegmentationRecipe":
    """Give plain values the attributes of a recipe; ``options`` stay tables."""
    made = {
        key: as_recipe(value) if isinstance(value, dict) and key != "options" else value
        for key, value in values.items()
    }
    return cast("SegmentationRecipe", SimpleNamespace(**made))
