"""The record of a run: what decides its result, what was found, with what; ``run.toml``."""

import platform
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nuguide import __version__
from nuguide.backends.registry import versions_of
from nuguide.documents import DocumentError, read_toml
from nuguide.errors import OutputError
from nuguide.faults import first_fault
from nuguide.files import make_folder, replacing, unwritable
from nuguide.models.card import Card
from nuguide.models.licence import terms_of
from nuguide.models.model import Model
from nuguide.nuclei.staining import Staining
from nuguide.slides.reader import Slide

RUN_FILE = "run.toml"
"""Written last: a folder that holds it holds a finished run."""

REPLACE = "name another folder, or replace it with --overwrite (in Python overwrite=True)"
"""What to do about a folder that holds another run, for error messages."""

Configuration = dict[str, Any]
"""Everything that decides a result, as TOML and JSON can hold it."""

_BEFORE = Staining().configuration()
"""Keys that runs gained later, and what runs without them mean."""

_TELLING_ONLY = ("image", "image_sha256_of", "mpp_source")
_LIBRARIES = ("torch", "numpy", "scikit-image", "opencv-python-headless", "pyarrow")


def configuration_of(
    slide: Slide, model: Model, regions: Configuration, staining: Staining
) -> Configuration:
    """Return everything that decides a result, as it stands in ``run.toml``.

    Parameters
    ----------
    slide, model
        Image and model. What computes the model is not part of it, as little as the device: the
        function is the same. Its precision is, and in how many views it looks at a region.
    regions : dict
        How the image is cut, and which part of it is looked at.
    staining : Staining
        What is measured of the stains, and what counts as positive.
    """
    card = model.card
    some: Configuration = {}
    if model.precision != "float32":
        some["precision"] = model.precision
    if model.views > 1:
        some["views"] = model.views
    if card.calibration is not None:
        some["calibration"] = card.calibration.model_dump()
    return some | {
        "image": str(slide.path) if slide.path else slide.name,
        "image_sha256": slide.sha256,
        "image_sha256_of": slide.sha256_of,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "model": card.name,
        "model_version": card.version,
        "model_sha256": card.sha256,
        "model_mpp": card.mpp,
        "decoding": card.decoding.model_dump(),
        "regions": regions,
        **staining.configuration(),
    }


def differences(there: Configuration, here: Configuration) -> list[str]:
    """Word what a run has otherwise; empty if it is the same.

    The same image may be named by another path; its digest is what counts.
    """
    before, now = _flat(_BEFORE | there), _flat(_BEFORE | here)
    return [
        f"{key}: there {before.get(key, 'none')!r}, here {now.get(key, 'none')!r}"
        for key in dict.fromkeys([*now, *before])
        if before.get(key) != now.get(key) and key not in _TELLING_ONLY
    ]


def _flat(configuration: Configuration, above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in configuration.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return flat


def record_of(
    configuration: Configuration, found: dict[str, Any], card: Card, backend: str
) -> dict[str, Any]:
    """Return the record of a run: what decided the result, what it is, with what it was made."""
    terms = terms_of(card)
    return {
        "configuration": configuration,
        "found": found,
        "computed_by": {"backend": str(backend)},
        "licences": {
            "weights": card.licence,
            "commercial_use": terms.words,
            "training_data": [f"{data.name}: {data.licence}" for data in card.training_data],
        },
        "versions": {
            "nuguide": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
            **versions_of(backend),
        },
    }


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the ``run.toml`` of a run folder in which everything else is whole."""
    with replacing(folder / RUN_FILE) as aside:
        # A lone surrogate out of a file's name has no form in UTF-8.
        aside.write_text(tomli_w.dumps(record), encoding="utf-8", errors="replace")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Regions(_Part):
    area_mm2: float | None = None


class _Configuration(_Part):
    image: str
    model: str
    model_version: str
    mpp: float = Field(gt=0)
    mpp_source: str
    regions: _Regions


class _Labelling(_Part):
    counts: dict[str, Annotated[int, Field(ge=0)]]


class _Positivity(_Labelling):
    types: dict[str, _Labelling] = {}


class _Found(_Part):
    nuclei: int = Field(ge=0)
    seconds: float
    median_area_um2: float | None = None
    match_probability: float | None = Field(None, ge=0, le=1)
    area_mm2: float | None = None
    types: dict[str, int] = {}
    positivity: _Positivity | None = None
    reason: str = ""
    warnings: list[str] = []


class _Licences(_Part):
    weights: str


class _Record(_Part, extra="allow"):
    """What is read of a record; the rest is told as it stands, and may differ by version."""

    __pydantic_extra__: dict[str, dict[str, Any]]
    configuration: _Configuration
    found: _Found
    licences: _Licences


def read_record(folder: Path) -> dict[str, Any]:
    """Read the ``run.toml`` of a run folder.

    Raises
    ------
    OutputError
        If it is missing, no TOML, or not what ``record_of`` makes.
    """
    path = folder / RUN_FILE
    try:
        record = read_toml(path)
        _Record.model_validate(record)
    except ValidationError as error:
        raise _unreadable(path, first_fault(error, "records of runs")) from error
    except DocumentError as error:
        raise _unreadable(path, str(error)) from error
    return record


def _unreadable(path: Path, fault: str) -> OutputError:
    return OutputError(
        f"{path} cannot be read ({fault}); expected the record of a finished run; "
        "segment again with --overwrite (in Python overwrite=True)"
    )


def check_folder(folder: Path, configuration: Configuration, *, overwrite: bool = False) -> None:
    """Make ``folder``, or refuse it if another finished run lies in it.

    Raises
    ------
    OutputError
        If it cannot be written, or holds the run of another configuration.
    """
    make_folder(folder)
    try:
        # Hours of work must not end at a folder that was locked from the start.
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error
    different = [] if overwrite else _differences(folder, configuration)
    if different:
        raise OutputError(
            f"{folder} holds another run ({'; '.join(different)}); expected an empty folder or the "
            f"same run; {REPLACE}"
        )


def _differences(folder: Path, configuration: Configuration) -> list[str]:
    """Word what the finished run in ``folder`` has otherwise; empty if there is none."""
    if not (folder / RUN_FILE).is_file():
        return []
    try:
        there = read_record(folder)["configuration"]
    except OutputError:
        return [f"its {RUN_FILE} cannot be read"]
    return differences(there, configuration)
