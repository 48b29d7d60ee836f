"""What a run has seen: the images that it is fitted on and chosen by, kept beside its recipe."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nuguide.datasets.base import Sample
from nuguide.datasets.collection import digest
from nuguide.datasets.opening import sources
from nuguide.errors import RecipeError
from nuguide.faults import first_fault
from nuguide.files import replacing
from nuguide.models.card import Sha256, Text

SEEN_FILE = "data.json"
"""In a run's folder; runs of before it was kept have none."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class SeenSet(_Part):
    """A data set of which a run has seen images.

    Attributes
    ----------
    name : str
        Its title; of a set that nobody has published, its folder's name.
    licence : str
        As the data set's layout tells it; empty where it is not known.
    n_images : int
        Images that were fitted on.
    """

    name: Text
    licence: str
    n_images: Annotated[int, Field(ge=1)]


class Seen(_Part):
    """The images of a run.

    Attributes
    ----------
    folders : str
        Names of the data sets' folders, for a person.
    sha256 : str
        Digest of all images to fit on, and of those of validation; see
        ``nuguide.datasets.collection.digest``.
    sets : tuple of SeenSet
        Where those to fit on come from.
    """

    folders: Text
    sha256: Sha256
    sets: tuple[SeenSet, ...]

    @classmethod
    def of(
        cls,
        data: Path | Sequence[Path],
        fit: Sequence[Sample],
        validation: Sequence[Sample],
        mpp: float | None = None,
    ) -> Self:
        """Describe the decoded images of the data sets in ``data``, opened with ``mpp``."""
        roots = [data] if isinstance(data, Path) else data
        # Apart, so that an image that changes sides changes the digest.
        both = f"{digest(fit)} {digest(validation)}"
        return cls(
            folders=" + ".join(root.resolve().name for root in roots),
            sha256=hashlib.sha256(both.encode()).hexdigest(),
            sets=tuple(
                SeenSet(
                    name=each.title if each.licence else each.root.resolve().name,
                    licence=each.licence,
                    n_images=count,
                )
                for each, count in sources(data, {sample.name for sample in fit}, mpp)
            ),
        )


def seen_by(run: Path) -> Seen | None:
    """Read what a run has seen; None if that was not kept.

    Raises
    ------
    RecipeError
        If the file is damaged.
    """
    path = run / SEEN_FILE
    if not path.is_file():
        return None
    try:
        return Seen.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        fault = str(error)
    except ValidationError as error:
        fault = first_fault(error, "runs' data")
    raise RecipeError(
        f"{path} cannot be read ({fault}); expected what a run has seen; delete it, and the next "
        "training into this folder writes it again"
    )


def keep_seen(run: Path, seen: Seen) -> None:
    """Write what a run has seen into its folder.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with replacing(run / SEEN_FILE, "give another --out") as aside:
        aside.write_text(seen.model_dump_json(indent=1), encoding="utf-8")
