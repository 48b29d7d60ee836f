"""The squares of a slide that fields were drawn from: what lets a few fields speak for them all.

Kept beside the GeoJSON of the fields, since QuPath keeps nothing that it does not know.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nuguide.documents import DocumentError, parse_json, unpacked
from nuguide.errors import DataSetError
from nuguide.faults import first_fault
from nuguide.files import replacing
from nuguide.slides.regions import Box

ENDING = ".fields.json"
"""Of a slide's name without its own ending."""

MAX_BYTES = 100_000_000
_MAX_SQUARES = 100_000_000

_Whole = Annotated[int, Field(ge=0, le=2**40)]
_Side = Annotated[int, Field(ge=1, le=2**31)]


@dataclass(frozen=True, eq=False)
class Frame:
    """Squares on a grid, of which some were drawn at random, each with the same chance.

    Attributes
    ----------
    image : str
        Name of the slide: its file's, without its ending.
    image_sha256 : str
        Its digest, as in ``run.toml``.
    mpp : float
        um/px of its full resolution.
    seed : int
        Of the draw.
    origin_px : tuple of int
        (y, x) of the grid's first corner, full-resolution px.
    size_px : tuple of int
        (height, width) of a square, full-resolution px.
    grid : tuple of int
        (rows, columns).
    squares : ndarray
        (N,) int64, rising: the squares that could be drawn, as row * columns + column.
    drawn : ndarray
        (n,) int64, rising: those of ``squares`` that were.
    tissue_mm2 : float
        Area of tissue in ``squares``, mm2, outside of a region of interest that cuts them too; the
        whole of them where tissue was not looked for.
    """

    image: str
    image_sha256: str
    mpp: float
    seed: int
    origin_px: tuple[int, int]
    size_px: tuple[int, int]
    grid: tuple[int, int]
    squares: NDArray[np.int64]
    drawn: NDArray[np.int64]
    tissue_mm2: float

    @property
    def fields(self) -> tuple[Box, ...]:
        """The squares that were drawn, full-resolution px, from the top down."""
        return tuple(self._box(square) for square in self.drawn.tolist())

    def _box(self, square: int) -> Box:
        row, column = divmod(square, self.grid[1])
        height, width = self.size_px
        y, x = self.origin_px
        return Box(y + row * height, x + column * width, height, width)

    def square_of(self, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the square that each of m points lies in, (m,), -1 where none that could be drawn.

        Parameters
        ----------
        y, x : ndarray
            (m,) full-resolution px, where pixel (i, j) covers [i, i + 1] x [j, j + 1].
        """
        rows, columns = self.grid
        row = np.floor((y - self.origin_px[0]) / self.size_px[0])
        column = np.floor((x - self.origin_px[1]) / self.size_px[1])
        on_grid = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        number = np.where(on_grid, row * columns + column, -1).astype(np.int64)
        return np.where(np.isin(number, self.squares), number, -1)


def check_same(frame: Frame, sha256: str, mpp: float, side_um: float | None, path: Path) -> None:
    """Refuse to add fields to a frame of another image, or of other squares than are asked for.

    Parameters
    ----------
    frame : Frame
        Of the fields that there are.
    sha256 : str
        Of the image that fields are drawn of.
    mpp : float
        Its um/px.
    side_um : float or None
        Side of a field that was asked for, um; None: whatever the frame has.
    path : Path
        Of the frame, for the message.

    Raises
    ------
    DataSetError
        Naming what differs.
    """
    side = max(frame.size_px) * frame.mpp
    for what, there, asked, same in (
        ("image", frame.image_sha256[:16], sha256[:16], frame.image_sha256 == sha256),
        ("um/px", f"{frame.mpp:g}", f"{mpp:g}", math.isclose(frame.mpp, mpp, rel_tol=1e-6)),
        (
            "side of a field in um",
            f"{side:g}",
            f"{side_um:g}" if side_um else "",
            side_um is None or abs(side - side_um) <= frame.mpp,
        ),
    ):
        if not same:
            raise DataSetError(
                f"{path} has the {what} {there}, asked for is {asked}; expected the same, since "
                "all fields of a slide are one draw; leave the option out, or draw into another "
                "folder"
            )


def frame_path(folder: Path, image: Path) -> Path:
    """Return where the frame of an image lies, beside the GeoJSON of its fields."""
    return folder / f"{image.stem}{ENDING}"


def write_frame(frame: Frame, path: Path) -> None:
    """Write a frame as JSON.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    content = {
        "image": frame.image,
        "image_sha256": frame.image_sha256,
        "mpp": frame.mpp,
        "seed": frame.seed,
        "origin_px": frame.origin_px,
        "size_px": frame.size_px,
        "grid": frame.grid,
        "squares": frame.squares.tolist(),
        "drawn": frame.drawn.tolist(),
        "tissue_mm2": frame.tissue_mm2,
    }
    with replacing(path) as aside:
        # A lone surrogate out of a file's name has no form in UTF-8.
        aside.write_text(json.dumps(content), encoding="utf-8", errors="replace")


def read_frame(path: Path) -> Frame:
    """Read a frame that ``write_frame`` wrote.

    Raises
    ------
    DataSetError
        If it is missing, too large, damaged or something else.
    """
    try:
        text = unpacked(path, MAX_BYTES)
        if len(text) > MAX_BYTES:
            raise DocumentError(f"it has more than {MAX_BYTES:,} bytes")
        told = _Told.model_validate(parse_json(text))
    except ValidationError as error:
        raise _unreadable(path, first_fault(error, "frames of fields")) from error
    except (OSError, DocumentError) as error:
        raise _unreadable(path, str(error)) from error
    return Frame(
        told.image,
        told.image_sha256,
        told.mpp,
        told.seed,
        _pair(told.origin_px),
        _pair(told.size_px),
        _pair(told.grid),
        np.array(told.squares, np.int64),
        np.array(told.drawn, np.int64),
        told.tissue_mm2,
    )


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")

    image: str
    image_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    mpp: float = Field(gt=0)
    seed: int = Field(ge=0)
    origin_px: list[_Whole] = Field(min_length=2, max_length=2)
    size_px: list[_Side] = Field(min_length=2, max_length=2)
    grid: list[_Side] = Field(min_length=2, max_length=2)
    squares: list[_Whole] = Field(min_length=1)
    drawn: list[_Whole] = Field(min_length=1)
    tissue_mm2: float = Field(ge=0)

    @model_validator(mode="after")
    def _on_the_grid(self) -> Self:
        squares, drawn = np.array(self.squares), np.array(self.drawn)
        if self.grid[0] * self.grid[1] > _MAX_SQUARES or squares[-1] >= self.grid[0] * self.grid[1]:
            raise ValueError(f"squares beyond the grid of {self.grid[0]} x {self.grid[1]}")
        if (np.diff(squares) <= 0).any() or (np.diff(drawn) <= 0).any():
            raise ValueError("squares and drawn must rise")
        if not np.isin(drawn, squares).all():
            raise ValueError("a square was drawn that could not be")
        return self


def _pair(values: list[int]) -> tuple[int, int]:
    first, second = values
    return first, second


def _unreadable(path: Path, fault: str) -> DataSetError:
    return DataSetError(
        f"{path} cannot be read ({' '.join(fault.split())[:200]}); expected what nuguide fields "
        "wrote beside the GeoJSON; give it back, or draw fields anew into another folder"
    )
