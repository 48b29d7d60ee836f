"""Which image goes into which folder."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from nuguide.errors import OutputError
from nuguide.files import unwritable
from nuguide.segmentation.batch_summary import PAGE_FILE, SUMMARY_FILE, folders_in, in_the_way
from nuguide.segmentation.ledger import is_run
from nuguide.segmentation.place import check_place


def plan_batch(images: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """Pair each image with its run folder.

    One image gets ``out`` itself, unless several were written there before. Several get
    ``out/<stem>`` each; images of equal stems get ``<stem>-1``, ``<stem>-2`` and so on, in the
    order given. An image that has a folder there keeps it, whichever images it comes with.

    Raises
    ------
    OutputError
        If ``out`` cannot be looked into, writing there would spoil an image, see
        ``nuguide.segmentation.place``, or several are given and it is the run of one image, or
        holds another's ``summary.csv`` or ``summary.html``.

    Examples
    --------
    >>> [folder.name for _, folder in plan_batch([Path("a.png"), Path("a.tif")], Path("out"))]
    ['a-1', 'a-2']
    """
    _check_reach(out)
    before = folders_in(out)
    if len(images) == 1 and (is_run(out) or not before):
        pairs = [(images[0], out)]
    elif is_run(out):
        raise OutputError(
            f"{out} holds the run of one image; expected an empty folder, or one of several images "
            f"({len(images)} were given); name another, or move that run into a folder of its own"
        )
    elif foreign := in_the_way(out):
        raise OutputError(
            f"{foreign} would be replaced, and is none of nuguide's, or not any more; expected "
            "none, or a table with the columns that it was written with; name another folder, or "
            "move that file away"
        )
    else:
        kept = {image: before[path] for image in images if (path := image.resolve()) in before}
        new = _named([image for image in images if image not in kept], kept.values())
        names = kept | new
        pairs = [(image, out / names[image]) for image in images]
    check_place(images, [out, *(folder for _, folder in pairs)])
    return pairs


def _check_reach(out: Path) -> None:
    """Refuse a folder in which nothing can be looked up: forbidden, or of too long a name."""
    try:
        (out / SUMMARY_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return  # it is made, or what stands in its way is told, when something is written
    except OSError as fault:
        raise unwritable(out, fault) from fault


def _named(images: Sequence[Path], kept: Collection[str]) -> dict[Path, str]:
    """Name the folder of each image; none is called like those that are kept, or the summary."""
    # Names may differ by case alone, which not every file system keeps apart.
    taken = {name.lower() for name in (*kept, SUMMARY_FILE, PAGE_FILE)}
    stem_of = {image: _stem(image) for image in images}
    stems = Counter(stem.lower() for stem in stem_of.values())
    free = {stem for stem, images_of_it in stems.items() if images_of_it == 1} - taken
    taken |= free
    numbered: Counter[str] = Counter()
    return {
        image: stem if stem.lower() in free else _next_free(stem, numbered, taken)
        for image, stem in stem_of.items()
    }


def _stem(image: Path) -> str:
    """Return an image's name without its suffix, but none that means another folder.

    The stem of ``...png`` is ``..``, and that of ``.``, the folder of a DICOM slide, is empty.
    """
    return image.stem if image.stem.strip(".") else image.resolve().name


def _next_free(stem: str, numbered: Counter[str], taken: set[str]) -> str:
    while True:
        numbered[stem.lower()] += 1
        name = f"{stem}-{numbered[stem.lower()]}"
        if name.lower() not in taken:
            taken.add(name.lower())
            return name
