"""What a segmentation gives: nuclei, labels, and the run folder they are saved to."""

import platform
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import tomli_w
from numpy.typing import NDArray

from nuguide import __version__
from nuguide.errors import OutputError
from nuguide.export.geojson import write_geojson
from nuguide.export.labels import write_labels
from nuguide.export.overlay import write_overlay
from nuguide.export.table import write_table
from nuguide.files import make_folder, replacing, unwritable
from nuguide.models.card import Card
from nuguide.slides.reader import Slide

RUN_FILE = "run.toml"
FILES = ("nuclei.geojson.gz", "nuclei.parquet", "labels.tif", "overlay.png", RUN_FILE)
"""What a finished run folder holds; ``run.toml`` is written last."""


@dataclass(frozen=True)
class Result:
    """The nuclei of one image.

    Attributes
    ----------
    nuclei : pyarrow.Table
        One row a nucleus, see ``nuguide.nuclei.schema``; ``nuclei.to_pandas()`` for pandas.
    labels : ndarray
        (H, W) int32 at the image's own resolution; row i of ``nuclei`` is label i + 1.
    slide : Slide
        The image.
    card : Card
        Of the model.
    seconds : float
        Wall time of reading, network, decoding and measuring, s.
    """

    nuclei: pa.Table
    labels: NDArray[np.int32]
    slide: Slide
    card: Card
    seconds: float

    @property
    def reason(self) -> str:
        """Why there is no nucleus; empty if there are some."""
        if self.nuclei.num_rows:
            return ""
        pixels = self.slide.read(0, 0, *self.slide.shape, self.slide.mpp)
        if int(pixels.max()) - int(pixels.min()) < 10:
            return "the image is blank: it has a single colour"
        return (
            "no pixel reached the threshold of a nucleus; check the microns per pixel "
            f"({self.slide.mpp:g}, from {self.slide.mpp_source}) and the stain"
        )

    @cached_property
    def median_area_um2(self) -> float:
        """Median area of the nuclei, um2; NaN if there is none."""
        areas = self.nuclei["area_um2"].to_numpy()
        return float(np.median(areas)) if len(areas) else float("nan")

    def save(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write the run folder.

        Parameters
        ----------
        out : path
            Made if missing; gets the files named in ``FILES``.
        overwrite : bool
            Replace another run that lies there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written, or holds another run.
        """
        folder = Path(out)
        configuration = run_configuration(self.slide, self.card)
        check_folder(folder, configuration, overwrite=overwrite)
        # Without run.toml the folder does not look whole, until everything else is there again.
        (folder / RUN_FILE).unlink(missing_ok=True)
        rgb = self.slide.read(0, 0, *self.slide.shape, self.slide.mpp)
        write_geojson(self.nuclei, folder / "nuclei.geojson.gz", self.slide.mpp)
        write_table(self.nuclei, folder / "nuclei.parquet")
        write_labels(self.labels, folder / "labels.tif", self.slide.mpp)
        write_overlay(rgb, self.labels, folder / "overlay.png")
        with replacing(folder / RUN_FILE) as aside:
            aside.write_text(tomli_w.dumps(self._record(configuration)), encoding="utf-8")
        return folder

    def _record(self, configuration: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"nuclei": self.nuclei.num_rows, "seconds": round(self.seconds, 3)}
        if self.nuclei.num_rows:
            found["median_area_um2"] = round(self.median_area_um2, 2)
        else:
            found["reason"] = self.reason
        libraries = ("torch", "numpy", "scikit-image", "opencv-python-headless", "pyarrow")
        return {
            "configuration": configuration,
            "found": found,
            "licences": {
                "weights": self.card.licence,
                "training_data": [f"{d.name}: {d.licence}" for d in self.card.training_data],
            },
            "versions": {
                "nuguide": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in libraries},
            },
        }


def run_configuration(slide: Slide, card: Card) -> dict[str, Any]:
    """Return everything that decides a result, as it stands in ``run.toml``."""
    return {
        "image": str(slide.path) if slide.path else slide.name,
        "image_sha256": slide.sha256,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "model": card.name,
        "model_version": card.version,
        "model_sha256": card.sha256,
        "model_mpp": card.mpp,
        "decoding": card.decoding.model_dump(),
    }


def read_record(folder: Path) -> dict[str, Any]:
    """Read the ``run.toml`` of a run folder.

    Raises
    ------
    OutputError
        If it is missing or no TOML.
    """
    path = folder / RUN_FILE
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OutputError(
            f"{path} cannot be read ({error}); expected the record of a finished run; "
            "segment again with --overwrite"
        ) from error


def is_finished(folder: Path, configuration: dict[str, Any]) -> bool:
    """Tell whether ``folder`` holds the whole result of this very configuration."""
    return all((folder / name).is_file() for name in FILES) and not _differences(
        folder, configuration
    )


def check_folder(folder: Path, configuration: dict[str, Any], *, overwrite: bool = False) -> None:
    """Make ``folder``, or refuse it if another run lies in it.

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
            "same run; give another -o, or --overwrite to replace it"
        )


def _differences(folder: Path, configuration: dict[str, Any]) -> list[str]:
    """Word what the run in ``folder`` has otherwise; empty if it is the same or there is none."""
    if not (folder / RUN_FILE).is_file():
        return []
    try:
        there = read_record(folder).get("configuration", {})
    except OutputError:
        return [f"its {RUN_FILE} cannot be read"]
    # The same image may be named by another path; its digest is what counts.
    return [
        f"{key}: there {there.get(key)!r}, here {value!r}"
        for key, value in configuration.items()
        if there.get(key) != value and key not in ("image", "mpp_source")
    ]
