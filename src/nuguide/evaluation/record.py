"""What an evaluation found, and the JSON file that keeps it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from nuguide import __version__
from nuguide.errors import InputError, OutputError
from nuguide.evaluation.intervals import LEVEL, RESAMPLES, units_of
from nuguide.faults import first_fault
from nuguide.files import replacing

MAX_BYTES = 64 << 20
"""Largest file that is read: some 100,000 images."""

ORIGINS = "patients or slides, each with all its images"
"""What is drawn again where several images share an origin, in words."""

_NO_DATA = (".json", ".html", ".svg")
"""Results that may be replaced in the folder of a data set, as no data set has such files."""

_ABOUT_AN_IMAGE = {"name", "origin"}


@dataclass(frozen=True)
class Summary:
    """One score over all images.

    Attributes
    ----------
    mean : float
        Plain mean over the images; of a score that is pooled over the images, its value.
    std : float or None
        Standard deviation over the images (divisor n - 1; 0 for one image); None for what is
        pooled, which no single image has.
    low, high : float
        Bootstrap 95 % percentile interval of ``mean``.
    n : int
        Number of images.
    definition : str
        What the score is and how it is averaged.
    """

    mean: float
    std: float | None
    low: float
    high: float
    n: int
    definition: str


@dataclass(frozen=True)
class ImageScores:
    """The scores of one image.

    Attributes
    ----------
    name : str
        Of the image.
    scores : dict of str to float
        By name.
    origin : str
        The patient, or where that is unknown the slide it was cut from; empty where both are.
    """

    name: str
    scores: dict[str, float]
    origin: str = ""


@dataclass(frozen=True)
class Scores:
    """What an evaluation found.

    Attributes
    ----------
    summaries : dict of str to Summary
        By score name.
    images : tuple of ImageScores
        In the order of the data set.
    model, data, split, protocol : str
        What was scored, on what, by which rules (see ``nuguide.evaluation.protocols``).
    model_sha256, data_sha256 : str
        Digest of the model's weights; of all pixels and annotations that were scored. Empty where
        it was not asked for.
    nuguide : str
        Version that scored.
    """

    summaries: dict[str, Summary]
    images: tuple[ImageScores, ...]
    model: str
    data: str
    split: str
    protocol: str = "standard"
    model_sha256: str = ""
    data_sha256: str = ""
    nuguide: str = __version__

    @property
    def origins(self) -> list[str]:
        """Where each image comes from."""
        return [image.origin for image in self.images]

    @property
    def n_units(self) -> int:
        """How many units the intervals draw: images, or origins where several images share one."""
        return int(units_of(self.origins).max()) + 1

    @property
    def unit(self) -> str:
        """What the intervals draw: ``image``, or ``origin`` where several images share one."""
        return "image" if self.n_units == len(self.images) else "origin"


def as_json(scores: Scores) -> str:
    """Return the scores as JSON text, in the form that docs/evaluation.md describes."""
    content = {
        "scores": {name: asdict(summary) for name, summary in scores.summaries.items()},
        "images": [
            {
                "name": image.name,
                **({"origin": image.origin} if image.origin else {}),
                **image.scores,
            }
            for image in scores.images
        ],
        "model": scores.model,
        "data": scores.data,
        "split": scores.split,
        "protocol": scores.protocol,
        "model_sha256": scores.model_sha256,
        "data_sha256": scores.data_sha256,
        "nuguide": scores.nuguide,
        "interval": {
            "level": LEVEL,
            "method": "percentile bootstrap",
            "resamples": RESAMPLES,
            "unit": scores.unit,
            "n_units": scores.n_units,
        },
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def write_json(scores: Scores, path: Path) -> None:
    """Write ``as_json`` to ``path``, whole or not at all.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    with replacing(path, "name another file with --json") as aside:
        aside.write_text(as_json(scores), encoding="utf-8")


def check_target(path: Path, suffixes: tuple[str, ...] = (), inputs: Iterable[Path] = ()) -> None:
    """Refuse a place for a result before the work is done, not after it.

    Parameters
    ----------
    path : Path
        Where the result is to be written.
    suffixes : tuple of str
        One of which it has to end in; empty: any.
    inputs : iterable of Path
        Files and folders of data sets that are read, or are not there.

    Raises
    ------
    OutputError
        If the folder is missing, ``path`` is itself a folder, does not end in one of ``suffixes``,
        or is among ``inputs`` or may be a file of such a folder.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise OutputError(
            f"scores cannot be written to {path}; expected a file in a folder that exists; "
            "make the folder or name another file"
        )
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(
            f"{path} ends in {path.suffix or 'nothing'!r}; expected {' or '.join(suffixes)}; "
            "name another file"
        )
    if path.exists() and any(_read(path, given) for given in inputs):
        raise OutputError(
            f"{path} would replace what is read; expected a file of its own for the result; name "
            "another file"
        )


def check_apart(*targets: Path | None) -> None:
    """Refuse one place for two results, of which the second would replace the first.

    Raises
    ------
    OutputError
        If two of ``targets``, but for those that are None, are one.
    """
    places = [target.resolve() for target in targets if target is not None]
    for place in places:
        if places.count(place) > 1:
            raise OutputError(
                f"{place.name} is named for two results; expected a file for each; name another "
                "file for one"
            )


def _read(path: Path, given: Path) -> bool:
    """Tell whether a file is read where ``given`` is, a file or the folder of a data set."""
    if given.is_file():
        return path.samefile(given)
    inside = given.resolve() in path.resolve().parents
    return inside and path.suffix.lower() not in _NO_DATA


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")


class _Summary(_Part):
    mean: float
    std: float | None
    low: float
    high: float
    n: int = Field(ge=1)
    definition: str


class _Interval(_Part):
    level: float
    method: str
    resamples: int
    unit: str
    n_units: int


class _File(_Part):
    scores: dict[str, _Summary] = Field(min_length=1)
    images: list[dict[str, str | float]] = Field(min_length=1)
    model: str
    data: str
    split: str
    protocol: str
    model_sha256: str
    data_sha256: str
    nuguide: str
    interval: _Interval

    @field_validator("images")
    @classmethod
    def _alike(cls, images: list[dict[str, str | float]]) -> list[dict[str, str | float]]:
        for place, image in enumerate(images):
            for name, value in image.items():
                if isinstance(value, str) != (name in _ABOUT_AN_IMAGE):
                    raise ValueError(f"image {place} has {name} = {str(value)[:40]!r}")
            if "name" not in image or not image.keys() ^ images[0].keys() <= {"origin"}:
                raise ValueError(f"image {place} lacks its name or a score that another has")
        names = [image["name"] for image in images]
        if len(set(names)) < len(names):
            raise ValueError("two images have one name")
        return images

    @model_validator(mode="after")
    def _summarised(self) -> Self:
        if lacking := sorted(self.images[0].keys() - self.scores.keys() - _ABOUT_AN_IMAGE):
            raise ValueError(f"scores lack {', '.join(lacking)}, which the images have")
        return self


def read_scores(path: Path) -> Scores:
    """Read the file that ``write_json`` wrote.

    Raises
    ------
    InputError
        If it is missing, larger than ``MAX_BYTES``, or not such a file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); expected the scores that nuguide evaluate "
            "writes with --json; check the path"
        ) from error
    if len(text) > MAX_BYTES:
        raise InputError(
            f"{path} is larger than {MAX_BYTES} bytes; expected the scores that nuguide evaluate "
            "writes with --json; check the path"
        )
    try:
        content = _File.model_validate_json(text)
    except ValidationError as error:
        raise InputError(
            f"{path} holds no scores ({first_fault(error, 'files of scores')}); expected what this "
            "version of nuguide evaluate writes with --json; evaluate again"
        ) from error
    return Scores(
        summaries={
            name: Summary(**summary.model_dump()) for name, summary in content.scores.items()
        },
        images=tuple(_image(row) for row in content.images),
        **content.model_dump(exclude={"scores", "images", "interval"}),
    )


def _image(row: dict[str, str | float]) -> ImageScores:
    scores = {name: float(value) for name, value in row.items() if name not in _ABOUT_AN_IMAGE}
    return ImageScores(str(row["name"]), scores, str(row.get("origin", "")))
