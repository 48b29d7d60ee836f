"""The one tree of errors that nuguide raises on purpose.

::

    NuguideError            exit code 2
    ├── InputError          an image, folder or file that cannot be read or makes no sense
    │   └── ResolutionError um/px missing, not a number, out of range or too coarse
    ├── OutputError         a place that cannot be written, or holds another run
    ├── ModelError          an unknown model, a damaged or foreign checkpoint
    ├── GuideError          an unknown guide, missing or damaged guide weights
    ├── RecipeError         a training recipe that cannot be run
    └── DataSetError        a data set that is absent, incomplete or inconsistent

Every message is one line in three parts: what was got, what was expected, what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class NuguideError(Exception):
    """Base of all errors that are the input's fault; the command line exits with code 2."""


class InputError(NuguideError):
    """An image, folder or file cannot be read or makes no sense."""


class ResolutionError(InputError):
    """The microns per pixel are missing, not a number, out of range or too coarse for a model."""


class OutputError(NuguideError):
    """A place cannot be written, or it holds another run."""


class ModelError(NuguideError):
    """A model is unknown, damaged or foreign."""


class GuideError(NuguideError):
    """A guide is unknown, or its weights are missing or damaged."""


class RecipeError(NuguideError):
    """A training recipe cannot be run."""


class DataSetError(NuguideError):
    """A data set is absent, incomplete or inconsistent."""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Word the known names for an error message, the closest to ``name`` first.

    Examples
    --------
    >>> nearest_names("tinyvit", ["none", "tinyvit-sam"])
    'did you mean tinyvit-sam? Known: none, tinyvit-sam'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    listing = f"Known: {', '.join(names)}"
    return f"did you mean {' or '.join(close)}? {listing}" if close else listing
