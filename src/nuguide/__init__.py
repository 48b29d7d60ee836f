"""nuguide: nuclei segmentation in digital pathology, guided by a frozen foundation model.

::

    import nuguide

    result = nuguide.segment("tissue.png", mpp=0.25)   # a path or an array
    result.nuclei.to_pandas()                          # one row a nucleus, in um
    result.labels                                      # (H, W) int32
    result.save("out")                                 # GeoJSON, Parquet, TIFF, overlay

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nuguide.evaluation.score import score
    from nuguide.evaluation.types import score_types
    from nuguide.models.registry import load
    from nuguide.segmentation.result import Result
    from nuguide.segmentation.run import segment

__version__ = "0.1.0"
__all__ = ["Result", "__version__", "load", "score", "score_types", "segment"]

_HOMES = {
    "Result": "segmentation.result",
    "load": "models.registry",
    "score": "evaluation.score",
    "score_types": "evaluation.types",
    "segment": "segmentation.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nuguide' has no attribute {name!r}")
    return getattr(import_module(f"nuguide.{_HOMES[name]}"), name)
