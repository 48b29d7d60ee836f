"""Putting a guide's weights into the user's cache."""

from dataclasses import dataclass
from pathlib import Path

from nuguide.errors import GuideError
from nuguide.guides import cache
from nuguide.guides.encoder_files import build_guide, download, encoder_width, read_encoder
from nuguide.guides.registry import GUIDES, NO_GUIDE, GuideEntry, guide_entry

_HUB_PREFIX = "hf:"


@dataclass(frozen=True)
class AddedGuide:
    """What was put into the cache.

    Attributes
    ----------
    weights : CachedWeights
        The record.
    pinned : str or None
        Digest of the weights that this project measured with, if it has one.
    """

    weights: cache.CachedWeights
    pinned: str | None

    @property
    def differs_from_pin(self) -> bool:
        """Whether other weights than the measured ones were added."""
        return self.pinned is not None and self.pinned != self.weights.sha256


def add_guide(name: str, source: str | Path | None = None) -> AddedGuide:
    """Convert, check and store the weights of a named guide.

    Parameters
    ----------
    name : str
        A name in ``nuguide.guides.registry.GUIDES``.
    source : str, Path or None
        A file or folder (`nuguide.guides.encoder_files.read_encoder`), ``hf:OWNER/NAME`` for
        weights on the Hugging Face hub, or None for the guide's own place there.

    Raises
    ------
    GuideError
        If the name is unknown, the source is missing or damaged, or it holds another encoder.
    OutputError
        If the cache cannot be written.
    """
    if name == NO_GUIDE:
        raise GuideError(
            f"{NO_GUIDE!r} is no guide and has no weights; expected one of {', '.join(GUIDES)}; "
            "there is nothing to add for a network without a guide"
        )
    return add_weights(guide_entry(name), source)


def add_weights(entry: GuideEntry, source: str | Path | None) -> AddedGuide:
    """Do as `add_guide` for an entry that need not be in the registry."""
    path, said = _fetched(entry, source)
    layout, state = read_encoder(path)
    if layout is not entry.layout:
        raise GuideError(
            f"{said} holds an encoder of the family {layout}; expected {entry.layout} for "
            f"{entry.name}; {entry.ways}"
        )
    width = encoder_width(layout, state, said)
    if width not in entry.widths:
        raise GuideError(
            f"{said} holds an encoder of width {width}; expected "
            f"{' or '.join(map(str, entry.widths))} for {entry.name}; {entry.ways}"
        )
    # Building it is the check: keys, shapes, finite values.
    guide = build_guide(layout, state, entry.name, entry.field_um, entry.pixels, said)
    record = cache.CachedWeights(entry.name, guide.sha256, said, entry.licence)
    cache.write(record, state)
    return AddedGuide(record, entry.sha256)


def _fetched(entry: GuideEntry, source: str | Path | None) -> tuple[Path, str]:
    """Return where the weights lie on this machine, and how to name where they came from."""
    if source is None:
        if entry.hub_id is None:
            raise GuideError(
                f"{entry.name} cannot be downloaded by itself; expected --from; {entry.ways}"
            )
        return download(entry.hub_id), entry.hub_id
    if str(source).startswith(_HUB_PREFIX):
        hub_id = str(source).removeprefix(_HUB_PREFIX)
        return download(hub_id), hub_id
    # The record must not tell the folders of this machine.
    return Path(source), Path(source).name
