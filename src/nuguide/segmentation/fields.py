"""Fields of tissue drawn at random, to be annotated: so that an accuracy is nobody's choice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.datasets.frame import Frame
from nuguide.errors import InputError
from nuguide.models.model import Model
from nuguide.segmentation.area import Area
from nuguide.segmentation.run import segment_array
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Box

LEAST_TISSUE = 0.5
"""Share of a field that must be tissue."""

_MARGIN_UM = 48.0
"""Tissue around a field that a model is shown, as wide as anything was seen to change a nucleus."""

SIDE_UM = (16.0, 2000.0)
"""Smallest and largest side of a field."""

SIDE = 128.0
"""Side of a field if nobody asks for another, um."""


@dataclass(frozen=True)
class Wanted:
    """Which fields are asked for.

    Attributes
    ----------
    number : int
        Fields of an image; fewer where there are not so many.
    side_um : float
        Their side, um.
    seed : int
        With the digest of the image it decides what is drawn.

    Raises
    ------
    InputError
        If the side is out of ``SIDE_UM``.
    """

    number: int = 3
    side_um: float = SIDE
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a side that no field has."""
        if not SIDE_UM[0] <= self.side_um <= SIDE_UM[1]:
            raise InputError(
                f"a field has a side of {self.side_um:g} um; expected {SIDE_UM[0]:g} to "
                f"{SIDE_UM[1]:g} um; 128 um is a usual one"
            )


@dataclass(frozen=True)
class Nucleus:
    """A nucleus in a field or across its border.

    Attributes
    ----------
    outline : shapely polygon
        Full-resolution px of the image (x, y).
    kind : str or None
        Its type, where the model tells types apart.
    """

    outline: Any
    kind: str | None


def draw_fields(slide: Slide, area: Area, wanted: Wanted) -> Frame:
    """Draw squares of tissue, each as likely as any other.

    A grid of squares is laid over the image from a random corner. Those of which ``LEAST_TISSUE``
    or more is tissue, in the region of interest if there is one, are drawn from without
    replacement. Of a smaller image the whole is one field.

    Parameters
    ----------
    slide : Slide
        The image.
    area : Area
        Where tissue, or a region of interest, is.
    wanted : Wanted
        How many, how large.

    Returns
    -------
    Frame
        The fields, and the squares that they were drawn from.

    Raises
    ------
    InputError
        If the image has no such square.
    """
    generator = np.random.default_rng([wanted.seed, int(slide.sha256[:16], 16)])
    side = round(wanted.side_um / slide.mpp)
    height, width = (min(side, length) for length in slide.shape)
    rows, columns = (
        np.arange(generator.integers(0, min(side, length - own + 1)), length - own + 1, own)
        for own, length in zip((height, width), slide.shape, strict=True)
    )
    cells = [Box(int(y), int(x), height, width) for y in rows for x in columns]
    # Of a square that a region of interest cuts, all is annotated and counted.
    inside, tissue = (
        np.ones(len(cells)) if mask is None else mask.shares(cells, slide.mpp)
        for mask in (area.mask, area.tissue)
    )
    squares = np.flatnonzero(inside >= LEAST_TISSUE)
    if not squares.size:
        raise InputError(
            f"{slide.name} has no square of {wanted.side_um:g} um of which half is tissue"
            f"{' in the region of interest' if area.roi else ''}; expected one at least; try a "
            "smaller --side, a lower --tissue-threshold or --no-tissue"
        )
    picked = generator.choice(squares.size, min(wanted.number, squares.size), replace=False)
    return Frame(
        image=slide.name,
        image_sha256=slide.sha256,
        mpp=slide.mpp,
        seed=wanted.seed,
        origin_px=(int(rows[0]), int(columns[0])),
        size_px=(height, width),
        grid=(len(rows), len(columns)),
        squares=squares,
        drawn=squares[np.sort(picked)],
        tissue_mm2=float(tissue[squares].sum()) * height * width * slide.mpp**2 / 1e6,
    )


def draw_more(frame: Frame, number: int) -> tuple[Frame, tuple[Box, ...]]:
    """Draw further fields of a slide until it has a number of them.

    All of them together are then as if they had been drawn at once: each square that was left has
    the same chance.

    Parameters
    ----------
    frame : Frame
        Of the fields that there are.
    number : int
        Of all fields together; there are no more than squares.

    Returns
    -------
    Frame
        With the squares of all fields.
    tuple of Box
        The new fields, full-resolution px, from the top down; none if there are enough.
    """
    left = np.setdiff1d(frame.squares, frame.drawn)
    missing = min(max(0, number - frame.drawn.size), left.size)
    seed = [frame.seed, int(frame.image_sha256[:16], 16), frame.drawn.size]
    added = np.sort(np.random.default_rng(seed).choice(left, missing, replace=False))
    whole = replace(frame, drawn=np.union1d(frame.drawn, added))
    return whole, replace(frame, drawn=added).fields


def nuclei_in(
    slide: Slide, fields: Sequence[Box], model: Model, others: Sequence[Box] = ()
) -> list[Nucleus]:
    """Segment the nuclei that lie in fields, those that their borders cut too; each once.

    Parameters
    ----------
    slide : Slide
        The image.
    fields : sequence of Box
        Full-resolution px.
    model : Model
        On the device it is to run on.
    others : sequence of Box
        Fields of before: a nucleus that reaches into one is theirs.
    """
    found: list[Nucleus] = []
    for number, field in enumerate(fields):
        before = shapely.union_all([outline_of(each) for each in (*others, *fields[:number])])
        found += (
            nucleus
            for nucleus in _segmented(slide, field, model)
            if not shapely.intersects(nucleus.outline, before)
        )
    return found


def _segmented(slide: Slide, field: Box, model: Model) -> list[Nucleus]:
    margin = round(_MARGIN_UM / slide.mpp)
    top, left = max(0, field.y - margin), max(0, field.x - margin)
    bottom = min(field.y + field.height + margin, slide.shape[0])
    right = min(field.x + field.width + margin, slide.shape[1])
    rgb = slide.read(top, left, bottom - top, right - left, slide.mpp)
    found = segment_array(rgb, slide.mpp, model).nuclei
    outlines = shapely.transform(
        shapely.from_wkb(found["geometry"].to_numpy()), _moved(np.array([left, top]))
    )
    inside = shapely.intersects(outlines, outline_of(field))
    return [
        Nucleus(outline, kind)
        for outline, kind, within in zip(outlines, found["type"].to_pylist(), inside, strict=True)
        if within
    ]


def outline_of(field: Box) -> Any:
    """Return the square of a field as a polygon (x, y), full-resolution px."""
    return shapely.box(field.x, field.y, field.x + field.width, field.y + field.height)


def _moved(by: NDArray[np.int64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda points: points + by
