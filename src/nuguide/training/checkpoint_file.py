"""Checkpoints are whole or not there: a full disk leaves the one before as it was."""

import io
from pathlib import Path
from typing import Any

import torch

from nuguide.files import replacing


def write_checkpoint(content: dict[str, Any], path: Path, advice: str) -> None:
    """Write plain values and tensors as ``torch.load(weights_only=True)`` reads them.

    Raises
    ------
    OutputError
        If the place cannot be written: no permission, disk full.
    """
    # Through memory: torch's own writer reports a full disk as a failure of itself.
    content_bytes = io.BytesIO()
    torch.save(content, content_bytes)
    with replacing(path, advice) as aside:
        aside.write_bytes(content_bytes.getbuffer())
