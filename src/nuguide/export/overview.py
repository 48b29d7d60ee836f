"""Pictures of a whole slide: where its tissue is, and how densely its nuclei lie."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nuguide.export.density import Density
from nuguide.files import replacing

_LONGEST_PANEL_IN = 7.0
_MARGIN_IN = 0.45
_HEAD_IN = 0.65
_BAR_IN = 1.1  # the colour bar with its numbers
_DPI = 150
_ZLIB_LEVEL = 2  # 6, the usual, takes three times as long for 14 % fewer bytes
_COLOURS = "viridis"  # perceptually uniform, and read as well without colour vision
_CONTOUR_RGB = (0, 150, 60)

PANEL_PX = round(_LONGEST_PANEL_IN * _DPI)
"""The longer side of a slide as it is drawn, px: what a larger thumbnail has more is not seen."""


def write_overview(
    thumbnail: NDArray[np.uint8],
    density: Density,
    path: Path,
    tissue_mm2: float | None = None,
    positive: Density | None = None,
) -> None:
    """Draw a slide beside the density of its nuclei, with scale bar, colour bar and counts.

    Parameters
    ----------
    thumbnail : ndarray
        (h, w, 3) uint8, the whole slide, best at ``PANEL_PX`` a side: matplotlib takes some 50
        bytes for each of its px.
    density : Density
        See ``count_density``.
    path : Path
        Ends in ``.png``.
    tissue_mm2 : float, optional
        Area that was searched, mm2; then the title tells the mean density over it.
    positive : Density, optional
        Of the positive nuclei; then a third panel shows their share.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    maps = [_density_map(density)]
    if positive is not None:
        maps.append(_share_map(positive, density))
    with mpl.rc_context(_STYLE):
        headline = _headline(density.nuclei, tissue_mm2)
        figure, (slide, *panels) = _panels(density.size_um, len(maps), headline)
        _show_slide(slide, thumbnail, density.size_um)
        slide.set_title("Slide")
        # Beneath the colours the slide in grey, so that one finds the place.
        grey = np.stack([128 + cv2.cvtColor(thumbnail, cv2.COLOR_RGB2GRAY) // 2] * 3, axis=-1)
        for panel, each in zip(panels, maps, strict=True):
            _show_slide(panel, grey, density.size_um, bar=False)
            _show_map(figure, panel, each, density)
        _save(figure, path)


@dataclass(frozen=True)
class _Map:
    """Values of the cells of a grid, masked where nothing is drawn; the bar ends at ``highest``."""

    title: str
    label: str
    values: NDArray[np.float64]
    highest: float


def _density_map(density: Density) -> _Map:
    shown = density.per_mm2()
    highest = float(np.quantile(shown[shown > 0], 0.999)) if density.nuclei else 1.0
    # Cells that hold next to nothing stay clear.
    drawn = np.ma.masked_less(shown, 0.02 * highest)
    return _Map("Density of nuclei", "nuclei per mm²", drawn, highest)


def _share_map(positive: Density, density: Density) -> _Map:
    share = 100 * positive.share_of(density)
    told = share[np.isfinite(share)]
    # To the highest, since a labelling index of 5 % has its hot spots too.
    highest = max(1.0, float(told.max())) if told.size else 100.0
    of_all = 100 * positive.nuclei / density.nuclei if density.nuclei else 0.0
    title = f"Positive nuclei: {of_all:.1f} %"
    return _Map(title, "positive nuclei, %", np.ma.masked_invalid(share), highest)


def _show_map(figure: Figure, panel: Axes, shown: _Map, density: Density) -> None:
    """Lay the colours of a map over a panel, and its bar beside it."""
    height, width = (cells * density.cell_um for cells in density.counts.shape)
    drawn = panel.imshow(
        shown.values,
        cmap=_COLOURS,
        vmin=0.0,
        vmax=shown.highest,
        extent=(0.0, width, height, 0.0),
        alpha=0.85,
        interpolation="bilinear",
    )
    panel.set_xlim(0.0, density.size_um[1])
    panel.set_ylim(density.size_um[0], 0.0)
    panel.set_title(shown.title)
    place, inches = panel.get_position(), figure.get_size_inches()
    beside = figure.add_axes(
        (place.x1 + 0.12 / inches[0], place.y0, 0.16 / inches[0], place.height)
    )
    bar = figure.colorbar(drawn, cax=beside, label=shown.label, format="{x:,.0f}")
    bar.outline.set_visible(False)


def write_tissue(
    thumbnail: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    path: Path,
    size_um: tuple[float, float],
) -> None:
    """Draw the contour of the tissue on a slide; what is not searched is paled.

    Parameters
    ----------
    thumbnail : ndarray
        (h, w, 3) uint8, the whole slide, best at ``PANEL_PX`` a side: matplotlib takes some 50
        bytes for each of its px.
    mask : ndarray
        (i, j) bool, the whole slide too, at whatever scale.
    path : Path
        Ends in ``.png``.
    size_um : (float, float)
        (height, width) of the slide, um.

    Raises
    ------
    OutputError
        If ``path`` cannot be written.
    """
    height, width = thumbnail.shape[:2]
    inside = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    drawing = np.where(inside[..., None] > 0, thumbnail, 170 + thumbnail // 3).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(max(height, width) / 600))
    cv2.drawContours(drawing, contours, -1, _CONTOUR_RGB, thickness, cv2.LINE_AA)
    share = float(mask.mean()) if mask.size else 0.0
    area_mm2 = share * size_um[0] * size_um[1] / 1e6
    with mpl.rc_context(_STYLE):
        headline = f"Tissue: {_rounded(area_mm2)} mm², {100 * share:.0f} % of the slide"
        figure, (slide,) = _panels(size_um, 0, headline)
        _show_slide(slide, drawing, size_um)
        _save(figure, path)


_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.edgecolor": "0.75",
    "figure.titlesize": 11.0,
    "figure.titleweight": "bold",
}


def _headline(nuclei: int, tissue_mm2: float | None) -> str:
    words = "1 nucleus" if nuclei == 1 else f"{nuclei:,} nuclei"
    if not tissue_mm2:
        return words
    return f"{words}, {nuclei / tissue_mm2:,.0f} per mm² of tissue ({_rounded(tissue_mm2)} mm²)"


def _rounded(value: float) -> str:
    """Word a number with three digits that count."""
    digits = max(0, 2 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:,.{digits}f}"


def _panels(
    size_um: tuple[float, float], maps: int, headline: str
) -> tuple[Figure, tuple[Axes, ...]]:
    """Make a figure of a slide and maps of it, all of its shape: in a row, wide ones in a column.

    Beside each map there is room for its colour bar.
    """
    scale = _LONGEST_PANEL_IN / max(size_um)
    # A strip of tissue a hundred times as long as wide still gets a panel one can see.
    height, width = (max(0.6, length * scale) for length in size_um)
    stacked = maps > 0 and width > 1.4 * height
    rights = [_MARGIN_IN, *[_BAR_IN + _MARGIN_IN] * maps]
    row = height + _MARGIN_IN
    if stacked:
        lefts = [_MARGIN_IN] * len(rights)
        total_w, total_h = _MARGIN_IN + width + max(rights), len(rights) * row + _HEAD_IN
    else:
        lefts = [_MARGIN_IN + sum(width + right for right in rights[:n]) for n in range(maps + 1)]
        total_w, total_h = lefts[-1] + width + rights[-1], row + _HEAD_IN
    figure = Figure(figsize=(total_w, total_h), dpi=_DPI, facecolor="white")
    figure.text(_MARGIN_IN / total_w, 1 - 0.24 / total_h, headline, weight="bold", va="center")
    panels = []
    for number, left in enumerate(lefts):
        bottom = total_h - _HEAD_IN - height - (number * row if stacked else 0.0)
        place = (left / total_w, bottom / total_h, width / total_w, height / total_h)
        panels.append(figure.add_axes(place))
    return figure, tuple(panels)


def _show_slide(
    panel: Axes, rgb: NDArray[np.uint8], size_um: tuple[float, float], *, bar: bool = True
) -> None:
    height, width = size_um
    panel.imshow(rgb, extent=(0.0, width, height, 0.0), aspect="auto")
    panel.set_xticks([])
    panel.set_yticks([])
    if bar:
        _add_scale_bar(panel, height, width)


def _add_scale_bar(panel: Axes, height: float, width: float) -> None:
    """Draw a bar of a round length, about a fifth of the width, below the panel."""
    length = round_length(width / 5)
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    thickness, gap = 0.006 * max(height, width), 0.012 * max(height, width)
    top = height + gap
    panel.add_patch(Rectangle((0, top), length, thickness, color="0.1", clip_on=False, lw=0))
    panel.text(length + gap, top + thickness / 2, words, va="center", ha="left")


def round_length(um: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above ``um``.

    Examples
    --------
    >>> round_length(4321.0)
    2000.0
    """
    power = 10.0 ** math.floor(math.log10(um))
    return max(step * power for step in (1.0, 2.0, 5.0) if step * power <= um)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as aside:
        packed = {"compress_level": _ZLIB_LEVEL}
        figure.savefig(aside, format="png", metadata={"Software": None}, pil_kwargs=packed)
