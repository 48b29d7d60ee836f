"""Several images at once: a folder for each, told apart, never overwritten."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nuguide.models.model import Model
from nuguide.segmentation.planning import cut_for
from nuguide.segmentation.record import (
    check_folder,
    configuration_of,
    is_finished,
    read_record,
)
from nuguide.segmentation.result import FILES
from nuguide.segmentation.run import Progress, segment_slide
from nuguide.slides.reader import open_slide


def plan_batch(images: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair each image with its run folder.

    One image gets ``out`` itself. Several get ``out/<stem>`` each; images of equal stems get
    ``<stem>-1``, ``<stem>-2`` and so on, in the order given.

    Examples
    --------
    >>> [folder.name for _, folder in plan_batch([Path("a.png"), Path("a.tif")], Path("out"))]
    ['a-1', 'a-2']
    """
    if len(images) == 1:
        return [(images[0], out)]
    # Stems may differ by case alone, which not every file system keeps apart.
    shared = Counter(image.stem.lower() for image in images)
    taken = {image.stem.lower() for image in images if shared[image.stem.lower()] == 1}
    numbered: Counter[str] = Counter()
    pairs = []
    for image in images:
        name, stem = image.stem, image.stem.lower()
        if shared[stem] > 1:
            name = _next_free(image.stem, numbered, taken)
        pairs.append((image, out / name))
    return pairs


def _next_free(stem: str, numbered: Counter[str], taken: set[str]) -> str:
    while True:
        numbered[stem.lower()] += 1
        name = f"{stem}-{numbered[stem.lower()]}"
        if name.lower() not in taken:
            taken.add(name.lower())
            return name


@dataclass(frozen=True)
class Outcome:
    """What stands in a run folder.

    Attributes
    ----------
    folder : Path
        Where.
    nuclei : int
        How many.
    median_area_um2 : float
        NaN without nuclei.
    seconds : float
        Wall time of the segmentation, s.
    reason : str
        Why there is none; empty otherwise.
    mpp, mpp_source
        um/px of the image, and where it came from.
    resumed : bool
        Whether it was finished before.
    """

    folder: Path
    nuclei: int
    median_area_um2: float
    seconds: float
    reason: str
    mpp: float
    mpp_source: str
    resumed: bool


def segment_into(
    image: Path,
    folder: Path,
    model: Model,
    *,
    mpp: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Segment an image into its run folder, unless that is done already.

    Raises
    ------
    InputError
        If the image cannot be read.
    OutputError
        If the folder cannot be written or holds another run: before any work is done.
    """
    slide = open_slide(image, mpp)
    configuration = configuration_of(slide, model.card, asdict(cut_for(model)))
    check_folder(folder, configuration, overwrite=overwrite)
    resumed = is_finished(folder, configuration, FILES) and not overwrite
    if not resumed:
        segment_slide(slide, model, progress=progress).save(folder, overwrite=overwrite)
    found = read_record(folder)["found"]
    return Outcome(
        folder=folder,
        nuclei=found["nuclei"],
        median_area_um2=found.get("median_area_um2", float("nan")),
        seconds=found["seconds"],
        reason=found.get("reason", ""),
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        resumed=resumed,
    )
