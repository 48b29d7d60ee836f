"""What a segmentation gives: nuclei and labels in memory, or a run folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from numpy.typing import NDArray

from nuguide.export.table import write_table
from nuguide.models.card import Card
from nuguide.nuclei.positivity import Labelling, labelling_of
from nuguide.nuclei.schema import SCHEMA
from nuguide.nuclei.staining import second_stain_of
from nuguide.segmentation.area import Area, why_nothing
from nuguide.segmentation.ledger import remove_ledger
from nuguide.segmentation.outputs import (
    NUCLEI_FILE,
    Outputs,
    searched_mm2,
    write_outputs,
    write_page,
)
from nuguide.segmentation.place import check_place, claim
from nuguide.segmentation.record import (
    Configuration,
    check_folder,
    read_record,
    record_of,
    write_record,
)
from nuguide.segmentation.summary import summary
from nuguide.slides.reader import Slide


@dataclass(frozen=True)
class Result:
    """The nuclei of an image that lies in memory.

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
    backend : str
        What computed the model, see ``nuguide.backends``.
    """

    nuclei: pa.Table
    labels: NDArray[np.int32]
    slide: Slide
    card: Card
    seconds: float
    configuration: Configuration
    backend: str = "torch"

    @property
    def reason(self) -> str:
        """Why there is no nucleus; empty if there are some."""
        return "" if self.nuclei.num_rows else why_nothing(self.slide, Area())

    @cached_property
    def median_area_um2(self) -> float:
        """Median area of the nuclei, um2; NaN if there is none."""
        areas = self.nuclei["area_um2"].to_numpy()
        return float(np.median(areas)) if len(areas) else float("nan")

    @cached_property
    def match_probability(self) -> float | None:
        """Mean probability, 0..1, that a nucleus is a true one; see ``Run.match_probability``."""
        worth = pc.mean(self.nuclei["match_probability"]).as_py()
        return None if worth is None else float(worth)

    @cached_property
    def labelling(self) -> Labelling | None:
        """How many nuclei are positive; None where it was not asked."""
        if (positive := self.configuration.get("positive")) is None:
            return None
        return labelling_of(self.nuclei["positivity"], positive)

    def save(
        self, out: str | Path, *, overwrite: bool = False, outputs: Outputs | None = None
    ) -> Path:
        """Write the run folder.

        Parameters
        ----------
        out : path
            Made if missing.
        overwrite : bool
            Replace another run that lies there.
        outputs : Outputs, optional
            Which files there shall be.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            If the folder cannot be written, holds another run, or writing there would spoil the
            image.
        """
        folder, files = Path(out), (outputs or Outputs()).files(self.slide)
        if self.slide.path is not None:
            check_place([self.slide.path], [folder])
        check_folder(folder, self.configuration, overwrite=overwrite)
        with claim(folder, self.configuration, files, overwrite=overwrite):
            self._write(folder, files)
        remove_ledger(folder)
        return folder

    def _write(self, folder: Path, files: tuple[str, ...]) -> None:
        write_table([self.nuclei], folder / NUCLEI_FILE)
        second = second_stain_of(self.configuration)
        write_outputs(folder, self.slide, files, self.labels, self.card.types, second)
        found = summary(folder, self.card.types, self.configuration.get("positive", ())) | {
            "area_mm2": round(searched_mm2(self.slide), 6),
            "seconds": round(self.seconds, 3),
        }
        if self.reason:
            found["reason"] = self.reason
        record = record_of(self.configuration, found, self.card, self.backend)
        write_page(folder, self.slide, record, self.card.types)
        write_record(folder, record)


@dataclass(frozen=True)
class Run:
    """A finished run folder; nothing of it is read before it is asked for.

    Attributes
    ----------
    folder : Path
        Where it lies.
    files : tuple of str
        Names of what the run was asked for this time; what else lies there, of an earlier time
        too, stays.
    resumed : bool
        Whether it was finished before.
    made : tuple of str
        Names of those files that a finished run lacked, made now of the nuclei found before.
    why_again : str
        Why an image whose run was finished before was segmented again; empty if it was not.
    """

    folder: Path
    files: tuple[str, ...]
    resumed: bool = False
    made: tuple[str, ...] = ()
    why_again: str = ""

    @cached_property
    def record(self) -> dict[str, Any]:
        """What ``run.toml`` says.

        Raises
        ------
        OutputError
            If the folder holds no finished run.
        """
        return read_record(self.folder)

    @property
    def nuclei(self) -> pyarrow.dataset.Dataset:
        """The nuclei, one row each, read as they are asked for.

        ``run.nuclei.to_table(columns=["area_um2"])``, ``run.nuclei.head(10)``,
        ``run.nuclei.to_batches()``.
        """
        # Runs of before a column was added have it too, null in every row. From the root on: Arrow
        # takes "run:1/nuclei.parquet" for an address.
        path = (self.folder / NUCLEI_FILE).absolute()
        return pyarrow.dataset.dataset(path, schema=SCHEMA)

    @property
    def count(self) -> int:
        """Number of nuclei."""
        return int(self._found["nuclei"])

    @property
    def median_area_um2(self) -> float:
        """Median area of the nuclei, um2; NaN if there is none."""
        return float(self._found.get("median_area_um2", float("nan")))

    @property
    def match_probability(self) -> float | None:
        """Mean probability, 0..1, that a nucleus is a true one.

        The share of the nuclei that is expected to match (IoU > 0.5) by the calibration on the
        model's card; None where it has none, there is no nucleus, or the run is of before.
        """
        worth = self._found.get("match_probability")
        return None if worth is None else float(worth)

    @property
    def area_mm2(self) -> float | None:
        """Area that was looked at, mm2; None in runs of before it was written down."""
        area = self._found.get("area_mm2", self.record["configuration"]["regions"].get("area_mm2"))
        return None if area is None else float(area)

    @property
    def types(self) -> dict[str, int]:
        """Nuclei of each type that the model tells apart, 0 too; empty where it tells none."""
        return dict(self._found.get("types", {}))

    @property
    def labelling(self) -> Labelling | None:
        """How many nuclei are positive; None where it was not asked."""
        told = self._found.get("positivity")
        return None if told is None else Labelling(told["counts"])

    @property
    def labelling_of_types(self) -> dict[str, Labelling]:
        """How many nuclei of each type are positive; empty where it was not asked."""
        told = self._found.get("positivity", {}).get("types", {})
        return {name: Labelling(each["counts"]) for name, each in told.items()}

    @property
    def seconds(self) -> float:
        """Wall time, s, of all attempts together."""
        return float(self._found["seconds"])

    @property
    def reason(self) -> str:
        """Why there is no nucleus; empty if there are some."""
        return str(self._found.get("reason", ""))

    @property
    def mpp(self) -> float:
        """um/px of the image at full resolution."""
        return float(self.record["configuration"]["mpp"])

    @property
    def mpp_source(self) -> str:
        """Where ``mpp`` came from."""
        return str(self.record["configuration"]["mpp_source"])

    @property
    def _found(self) -> dict[str, Any]:
        found: dict[str, Any] = self.record["found"]
        return found
