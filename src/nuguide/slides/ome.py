"""What the XML of an OME-TIFF tells of one of its images: um/px and objective."""

from collections.abc import Callable
from typing import Any

import tifffile

from nuguide.safe_xml import Element, parse_text
from nuguide.slides.scale import UM_PER_UNIT, Scale, finite_number, leading_number, plausible_scale


def ome_scale(tiff: tifffile.TiffFile, page: Any) -> Scale | None:
    """Return the um/px of the image that a page belongs to; None where images disagree on it."""
    scales = {_scale_of(image) for image in _images_of(_root_of(tiff), tiff, page)}
    return scales.pop() if len(scales) == 1 else None


def ome_power(tiff: tifffile.TiffFile, page: Any) -> float | None:
    """Return the power of the objective of a page's image; None where it may be one of several."""
    root = _root_of(tiff)
    objectives = [element for element in root.iter() if _name(element) == "Objective"]
    powers = {
        leading_number(objective.get("NominalMagnification"))
        for image in _images_of(root, tiff, page)
        for objective in _objectives_of(image, objectives)
    }
    return powers.pop() if len(powers) == 1 else None


def _root_of(tiff: tifffile.TiffFile) -> Element:
    return parse_text(tiff.ome_metadata or "<OME/>")


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _images_of(root: Element, tiff: tifffile.TiffFile, page: Any) -> list[Element]:
    """List the images that a page may belong to: one, where the XML is as it should be.

    Each image says which pages are its own. Where that leaves more or less than one, it is asked
    for its size.
    """
    images = [element for element in root.iter() if _name(element) == "Image"]
    uuid = root.get("UUID")
    tests: tuple[Callable[[Element], bool], ...] = (
        lambda image: _lists(image, int(page.index), uuid, tiff.filename),
        lambda image: _has_size(image, page.imagewidth, page.imagelength),
    )
    for test in tests:
        images = [image for image in images if test(image)] or images
    return images


def _lists(image: Element, index: int, uuid: str | None, file: str) -> bool:
    """Tell whether an image counts the page ``index`` of this file among its own."""
    for data in image.iter():
        if _name(data) != "TiffData" or not _is_here(data, uuid, file):
            continue
        first = int(data.get("IFD", 0))
        count = int(data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else 0)))
        # Without a count, and without a first page, it means all there are.
        if first <= index and (count == 0 or index < first + count):
            return True
    return False


def _is_here(data: Element, uuid: str | None, file: str) -> bool:
    """Tell whether pages are of this file: an OME-TIFF may name others."""
    other = next((child for child in data if _name(child) == "UUID"), None)
    return other is None or other.text == uuid or other.get("FileName") == file


def _has_size(image: Element, width: int, height: int) -> bool:
    wanted = (str(width), str(height))
    return any((pixels.get("SizeX"), pixels.get("SizeY")) == wanted for pixels in _pixels(image))


def _pixels(image: Element) -> list[Element]:
    return [element for element in image if _name(element) == "Pixels"]


def _scale_of(image: Element) -> Scale | None:
    for pixels in _pixels(image):
        sizes = []
        for axis in "XY":
            um = UM_PER_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
            size = finite_number(pixels.get(f"PhysicalSize{axis}"))
            if size is None or um is None:
                return None
            sizes.append(size * um)
        return plausible_scale(sizes[0], sizes[1], "OME metadata")
    return None


def _objectives_of(image: Element, objectives: list[Element]) -> list[Element]:
    """Return the objective that an image names; all there are, if it names none."""
    named = {
        element.get("ID")
        for element in image
        if _name(element) in ("ObjectiveSettings", "ObjectiveRef")  # the second until 2011
    }
    return [each for each in objectives if each.get("ID") in named] or objectives
