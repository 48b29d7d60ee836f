"""The proof on a user's own slide: cut in two ways, it must give the same nuclei."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import shapely
from numpy.typing import NDArray

from nuguide.errors import InputError, NuguideError
from nuguide.models.model import Model
from nuguide.segmentation.area import Where
from nuguide.segmentation.batch import Batch, State
from nuguide.segmentation.engine import Engine
from nuguide.segmentation.estimate import open_scaled
from nuguide.segmentation.job import Settings, begin
from nuguide.segmentation.outputs import Outputs
from nuguide.segmentation.planning import Cut, cut_for, plan
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Box
from nuguide.slides.tissue import all_tissue, find_tissue
from nuguide.units import AskedMpp

CUTS = (Cut(), Cut(768, 128, 256))
"""The usual cut, and one of which hardly a border lies on one of the other's."""

TOLERANCE = 0.005
"""Share of nuclei that may differ: those whose maps differ by rounding, or by what lies beyond the
halo."""

SAME_IOU = 0.9
"""Overlap, intersection over union, from which two outlines are the same nucleus."""

Outlines = NDArray[np.object_]


@dataclass(frozen=True)
class Agreement:
    """How two segmentations of the same tissue agree.

    Attributes
    ----------
    nuclei : (int, int)
        Of each.
    matching : int
        Nuclei found in both, with outlines that overlap by ``SAME_IOU`` or more.
    doubled : int
        Pairs within one of them of which more than half of the smaller lies on the other.
    cut : int
        Nuclei that end at the border of a region and lie inside a larger one of the other.
    """

    nuclei: tuple[int, int]
    matching: int
    doubled: int
    cut: int

    @property
    def differing(self) -> int:
        """Nuclei without a counterpart, in that of the two that has more of them."""
        return max(self.nuclei) - self.matching

    @property
    def holds(self) -> bool:
        """Whether the result does not depend on how the slide is cut."""
        few = self.differing <= TOLERANCE * max(self.nuclei)
        return few and not self.doubled and not self.cut


def selfcheck(
    image: Path,
    model: Model,
    engine: Engine,
    *,
    mpp: AskedMpp | None = None,
    side_um: float = 1000.0,
    cuts: tuple[Cut, Cut] = CUTS,
    progress: Callable[[State], None] | None = None,
) -> Agreement:
    """Segment the square of a slide that has most tissue in two ways, and compare.

    Parameters
    ----------
    image : Path
        The slide.
    model, engine
        What segments it.
    mpp : float, optional
        um/px, where the slide does not tell.
    side_um : float
        Side of the square, um.
    cuts : (Cut, Cut)
        The two ways.
    progress : callable, optional
        As for ``Batch``.

    Raises
    ------
    NuguideError
        If the slide cannot be read or segmented, or shows no nucleus there: that proves nothing.
    """
    found: list[Outlines] = []
    borders: list[tuple[Lines, Lines]] = []
    with TemporaryDirectory(prefix="nuguide-selfcheck-") as place:
        roi = Path(place) / "square.geojson"
        with open_scaled(image, mpp, model) as slide:
            scale = slide.mpp
            roi.write_text(json.dumps(_polygon(richest_square(slide, side_um))))
            for cut in cuts:
                borders.append(_borders(slide, model, cut_for(model, cut)))
        for number, cut in enumerate(cuts):
            settings = Settings(scale, Where(False, None, roi), cut, Outputs("none"))
            pairs = [(image, Path(place) / str(number))]
            found.append(_segmented(pairs, model, engine, settings, progress))
    if not any(map(len, found)):
        raise InputError(
            f"no nucleus was found in the {side_um:g} um of {image.name} that have most tissue; "
            "expected some to compare; take a larger --side, or check the um/px (--mpp)"
        )
    return compare(found[0], found[1], borders[0], borders[1])


def _segmented(
    pairs: list[tuple[Path, Path]],
    model: Model,
    engine: Engine,
    settings: Settings,
    progress: Callable[[State], None] | None,
) -> Outlines:
    batch = Batch(
        pairs, lambda image, folder: begin(image, folder, model, settings), engine, progress
    )
    (ended,) = batch.run()
    if isinstance(ended.outcome, NuguideError):
        raise ended.outcome
    table = ended.outcome.nuclei.to_table(columns=["geometry"])
    return np.asarray(shapely.from_wkb(table["geometry"].to_numpy()), object)


def richest_square(slide: Slide, side_um: float) -> Box:
    """Return the square of a slide that has most tissue, full-resolution px."""
    side = max(1, round(side_um / slide.mpp))
    tissue = find_tissue(slide)
    if not tissue.mask.any():
        tissue = all_tissue(slide)
    height, width = slide.shape
    rows = range(0, max(1, height - side // 2), max(1, side // 2))
    columns = range(0, max(1, width - side // 2), max(1, side // 2))
    squares = [
        Box(y, x, min(side, height - y), min(side, width - x)) for y in rows for x in columns
    ]
    areas = np.array([box.height * box.width for box in squares])
    return squares[int(np.argmax(tissue.shares(squares, slide.mpp) * areas))]


def _polygon(box: Box) -> dict[str, object]:
    x, y, right, bottom = box.x, box.y, box.x + box.width, box.y + box.height
    corners = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
    return {"type": "Polygon", "coordinates": [corners]}


Lines = NDArray[np.float64]
"""Where borders lie along one axis, full-resolution px."""


def _borders(slide: Slide, model: Model, cut: Cut) -> tuple[Lines, Lines]:
    """Return where cores and reads of a cut begin and end inside a slide, (y, x)."""
    boxes = [box for region in plan(slide, model, cut) for box in (region.core, region.read)]
    scale = slide.mpp / model.card.mpp
    y = np.array([(box.y, box.y + box.height) for box in boxes]).ravel() / scale
    x = np.array([(box.x, box.x + box.width) for box in boxes]).ravel() / scale
    height, width = slide.shape
    return np.unique(y[(y > 0) & (y < height)]), np.unique(x[(x > 0) & (x < width)])


def compare(
    first: Outlines,
    second: Outlines,
    first_borders: tuple[Lines, Lines],
    second_borders: tuple[Lines, Lines],
) -> Agreement:
    """Compare two segmentations of the same tissue.

    Parameters
    ----------
    first, second : ndarray
        Outlines, polygons in full-resolution px.
    first_borders, second_borders : (ndarray, ndarray)
        Where the borders of each one's regions lie, y and x, full-resolution px.
    """
    mine, theirs = shapely.STRtree(second).query(first, predicate="intersects")
    shared = shapely.area(shapely.intersection(first[mine], second[theirs]))
    areas = shapely.area(first), shapely.area(second)
    iou = shared / (areas[0][mine] + areas[1][theirs] - shared)
    same = iou >= SAME_IOU
    cut = _cut(first, areas[0][mine], areas[1][theirs], mine, shared, first_borders)
    cut += _cut(second, areas[1][theirs], areas[0][mine], theirs, shared, second_borders)
    doubled = _doubled(first) + _doubled(second)
    return Agreement((len(first), len(second)), int(same.sum()), doubled, cut)


def _cut(
    outlines: Outlines,
    area: NDArray[np.float64],
    other_area: NDArray[np.float64],
    pair: NDArray[np.intp],
    shared: NDArray[np.float64],
    borders: tuple[Lines, Lines],
) -> int:
    """Count outlines that lie in a larger one of the other segmentation and end at a border."""
    smaller = np.unique(pair[(shared > SAME_IOU * area) & (area < SAME_IOU * other_area)])
    left, top, right, bottom = shapely.bounds(outlines[smaller]).reshape(-1, 4).T
    at_border = _near(np.stack([top, bottom]), borders[0])
    at_border |= _near(np.stack([left, right]), borders[1])
    return int(at_border.sum())


def _near(ends: NDArray[np.float64], lines: Lines) -> NDArray[np.bool_]:
    """Tell which of (2, N) ends lie within 2 px of a line."""
    distance = np.abs(ends[..., None] - lines)
    return np.asarray((distance <= 2.0).any(axis=(0, 2)))


def _doubled(outlines: Outlines) -> int:
    """Count pairs of which more than half of the smaller lies on the other."""
    one, other = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    once = one < other
    one, other = one[once], other[once]
    shared = shapely.area(shapely.intersection(outlines[one], outlines[other]))
    smaller = np.minimum(shapely.area(outlines[one]), shapely.area(outlines[other]))
    return int((shared > 0.5 * smaller).sum())
