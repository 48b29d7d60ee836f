"""What keeps a run between calls: one file, which belongs to one recipe and one pack's data."""

from pathlib import Path
from typing import Any

import torch

from nuguide.errors import InputError, OutputError
from nuguide.training.checkpoint_file import write_checkpoint
from nuguide.training.differences import differences

ADVICE = "give another --runs"


class StateFile:
    """A run's state on disk.

    Parameters
    ----------
    path : Path
        Where it lies, or will.
    recipe : dict
        The recipe as plain values.
    data : str
        Digest of what the run is trained on: ``Pack.digest``.
    """

    def __init__(self, path: Path, recipe: dict[str, Any], data: str):
        self.path, self.recipe, self.data = path, recipe, data

    @property
    def is_there(self) -> bool:
        """Whether the run has begun."""
        return self.path.is_file()

    def write(self, content: dict[str, Any]) -> None:
        """Write plain values and tensors, with what they belong to.

        Raises
        ------
        OutputError
            If the place cannot be written.
        """
        owner = {"recipe": self.recipe, "data": self.data}
        write_checkpoint(content | owner, self.path, ADVICE)

    def read(self, device: torch.device | str = "cpu") -> dict[str, Any]:
        """Read what was written, tensors on ``device``.

        Raises
        ------
        InputError
            If the file is damaged.
        OutputError
            If it is the state of another recipe or of other data.
        """
        try:
            content: dict[str, Any] = torch.load(self.path, device, weights_only=True)
            recipe, data = content["recipe"], content["data"]
        except Exception as error:  # of damaged bytes torch raises ten kinds
            raise self.unreadable(error) from error
        if differing := differences(recipe, self.recipe):
            raise OutputError(
                f"{self.path} is the state of another recipe ({differing}); expected the same; "
                f"{ADVICE}, or pack the recipe under another name"
            )
        if data != self.data:
            raise OutputError(
                f"{self.path} is the state of a run on other tissue or with another guide (sha256 "
                f"{data[:12]}, now {self.data[:12]}); expected those it began with; {ADVICE}"
            )
        return content

    def unreadable(self, error: Exception) -> InputError:
        """Word that the file does not hold a run."""
        # torch's own text advises to unpickle without care: it is not passed on.
        return InputError(
            f"{self.path} cannot be read ({type(error).__name__}); expected the state of a run, as "
            f"this version of nuguide writes it; remove it to train anew, or {ADVICE}"
        )
