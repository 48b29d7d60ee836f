"""What a segmentation gives: nuclei, labels, and the run folder they are saved to."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nuguide.export.geojson import write_geojson
from nuguide.export.labels import write_labels
from nuguide.export.overlay import write_overlay
from nuguide.export.table import write_table
from nuguide.models.card import Card
from nuguide.segmentation.record import RUN_FILE, Configuration, check_folder, write_record
from nuguide.slides.reader import Slide

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
    configuration : dict
        Everything that decided the result, as it stands in ``run.toml``.
    """

    nuclei: pa.Table
    labels: NDArray[np.int32]
    slide: Slide
    card: Card
    seconds: float
    configuration: Configuration

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
        check_folder(folder, self.configuration, overwrite=overwrite)
        # Without run.toml the folder does not look whole, until everything else is there again.
        (folder / RUN_FILE).unlink(missing_ok=True)
        rgb = self.slide.read(0, 0, *self.slide.shape, self.slide.mpp)
        write_geojson([self.nuclei], folder / "nuclei.geojson.gz", self.slide.mpp)
        write_table([self.nuclei], folder / "nuclei.parquet")
        write_labels(self.labels, folder / "labels.tif", self.slide.mpp)
        write_overlay(rgb, self.labels, folder / "overlay.png")
        write_record(folder, self.configuration, self._found(), self.card)
        return folder

    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = {"nuclei": self.nuclei.num_rows, "seconds": round(self.seconds, 3)}
        if self.nuclei.num_rows:
            found["median_area_um2"] = round(self.median_area_um2, 2)
        else:
            found["reason"] = self.reason
        return found
