"""Which part of a slide is looked at, and why nothing may have been found there."""

from nuguide.slides.reader import Slide


def why_nothing(slide: Slide) -> str:
    """Say why a slide has no nucleus."""
    pixels = slide.thumbnail()
    if int(pixels.max()) - int(pixels.min()) < 10:
        return "the image is blank: it has a single colour"
    return (
        "no pixel reached the threshold of a nucleus; check the microns per pixel "
        f"({slide.mpp:g}, from {slide.mpp_source}) and the stain"
    )
