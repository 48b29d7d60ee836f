"""Pack what a GPU machine needs: tissue, targets, guides' weights, recipes."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from nuguide import __version__
from nuguide.datasets.base import Sample
from nuguide.datasets.resampling import resampled
from nuguide.errors import RecipeError
from nuguide.files import make_folder, replacing
from nuguide.guides import cache
from nuguide.guides.controls import derangement
from nuguide.guides.registry import Layout, guide_entry
from nuguide.networks.registry import build_network
from nuguide.training.checks import check_network, check_student, check_terms
from nuguide.training.finish import load_student
from nuguide.training.fit import opened
from nuguide.training.gpu.arrays import Unsigned, coarsened, squeezed
from nuguide.training.gpu.plan import DATA_FILE, MAX_BYTES, PLAN_FILE
from nuguide.training.recipe import SegmentationRecipe
from nuguide.training.targets import normalised_distance

ADVICE = "give another --out"


def pack(
    recipes: Sequence[SegmentationRecipe],
    data: Sequence[Path],
    out: Path,
    mpp: float | None = None,
    max_error: int = 0,
) -> int:
    """Write a pack for some trainings on equal data.

    Images to fit on are brought to the scale at which the recipe's strongest zoom shows them, and
    their targets with them; those of validation to the recipe's um/px. Each travels once, however
    often a balanced recipe repeats it.

    Parameters
    ----------
    recipes : sequence of SegmentationRecipe
        With different names; equal in data, um/px and range of zoom.
    data : sequence of Path
        Folders of the data sets; several are joined.
    out : Path
        Gets the two files.
    mpp : float, optional
        um/px of the images of data sets that do not tell their own.
    max_error : int
        Grey levels, of 255, that a value of an image may be off, for a smaller pack; 0: none.

    Returns
    -------
    int
        Bytes of both.

    Raises
    ------
    RecipeError
        If the recipes need different data, one asks for what is not done there, network and guide
        do not go together, a guide cannot travel, or the pack becomes too large.
    ModelError
        If a network cannot be built.
    InputError
        If tokens are to be shuffled among fewer than two images.
    """
    heads = _checked(recipes)
    first, writer = recipes[0], _Writer(max_error)
    fit_mpp = first.mpp / max(1.0, first.augmentation.scale[1])
    samples, validation, seen = opened(first, data, mpp)
    if any(recipe.guide_control == "shuffled" for recipe in recipes):
        derangement(min(len(samples), len(validation)))
    different = {sample.name: sample for sample in samples}
    numbers = {name: number for number, name in enumerate(different)}
    for name, sample in different.items():
        writer.add_sample(f"fit.{numbers[name]}", resampled(sample, fit_mpp), heads)
    for number, sample in enumerate(validation):
        writer.add_sample(f"validation.{number}", resampled(sample, first.mpp))
    guides = {recipe.name: _add_guide(writer, recipe) for recipe in recipes}
    plan = {
        "nuguide": __version__,
        "data": "+".join(each.resolve().name for each in data),
        "seen": seen.model_dump(mode="json"),
        "fit_mpp": fit_mpp,
        "drawn": [numbers[sample.name] for sample in samples],
        "validation": [sample.name for sample in validation],
        "pictures": writer.pictures,
        "guides": guides,
        "recipes": [recipe.model_dump(mode="json") for recipe in recipes],
    }
    return _write(plan, writer.arrays, out)


def _checked(recipes: Sequence[SegmentationRecipe]) -> set[str]:
    """Refuse recipes that cannot be trained together on a GPU machine, or not at all.

    Returns
    -------
    set of str
        Heads of all their networks.
    """
    heads: set[str] = set()
    for recipe in recipes:
        _refuse_unknown(recipe)
        check_terms(recipe)
        # A lent machine's time is short: what cannot be built shall not come to light there.
        network = build_network(recipe.network.architecture, **recipe.network.options)
        check_network(network, recipe)
        heads.update(getattr(network, "heads", ()))
    alike = {(r.split, r.n_images, r.balanced, r.mpp, r.augmentation.scale[1]) for r in recipes}
    if len(alike) > 1 or len({r.name for r in recipes}) < len(recipes):
        raise RecipeError(
            "the recipes of a pack differ in split, n_images, balanced, mpp, zoom or share a name; "
            "expected equal ones under different names; pack them apart"
        )
    return heads


def _refuse_unknown(recipe: SegmentationRecipe) -> None:
    """Refuse what the loop on a GPU machine does not do; there a training is as long as its time.

    Raises
    ------
    RecipeError
        Naming the value.
    """
    known = {
        "epochs": None,
        "optimiser": "adamw",
        "schedule": "cosine",
        "released_augmentation": None,
        "start": None,
        "plain_tokens": False,
    }
    for name, expected in known.items():
        if getattr(recipe, name) != expected:
            raise RecipeError(
                f"{recipe.name} sets {name}, which scripts/train_gpu does not do; expected "
                f"{expected!r}; train it with nuguide train, which takes a GPU too"
            )
    if not recipe.clip:
        raise RecipeError(
            f"{recipe.name} has clip 0; expected a largest norm of the gradient on a GPU machine; "
            "set clip"
        )
    heads = recipe.network.options.get("heads")
    if recipe.losses.boundary or (isinstance(heads, tuple) and "types" in heads):
        raise RecipeError(
            f"the recipe {recipe.name} has a head 'types' or losses.boundary; expected "
            "neither, since their targets do not travel; train it with nuguide train"
        )


class _Writer:
    """Gathers arrays by key, and what is needed to read pictures back."""

    def __init__(self, max_error: int) -> None:
        self.max_error = max_error
        self.arrays: dict[str, NDArray[Any]] = {}
        self.pictures: dict[str, dict[str, Any]] = {}

    def add_sample(self, key: str, sample: Sample, heads: Collection[str] = ()) -> None:
        """Add an image, its annotation, and the targets that some heads learn from."""
        self.add_picture(f"{key}.image", coarsened(sample.image, self.max_error))
        self.pictures[f"{key}.image"]["max_error"] = self.max_error
        self.add_picture(f"{key}.labels", _compact(sample.labels))
        if "distance" in heads:
            self.add_picture(f"{key}.distance", _in_bytes(sample))
        if sample.ignore is not None:
            self.add_picture(f"{key}.ignore", sample.ignore.astype(np.uint8))

    def add_picture(self, key: str, picture: Unsigned) -> None:
        self.arrays[key] = squeezed(picture)
        self.pictures[key] = {"shape": list(picture.shape), "dtype": picture.dtype.name}


def _in_bytes(sample: Sample) -> NDArray[np.uint8]:
    """Return the normalised distance in steps of 1/255."""
    return np.rint(normalised_distance(sample.labels) * 255).astype(np.uint8)


def _compact(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    _, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape) + (0 if (labels == 0).any() else 1)
    return numbers.astype(np.uint16)


def _add_guide(writer: _Writer, recipe: SegmentationRecipe) -> dict[str, Any]:
    """Add the weights of a recipe's guide, each once, and say how to build it there."""
    guide = recipe.guide
    if guide.kind == "none":
        return {"kind": "none"}
    about: dict[str, Any]
    if guide.kind == "student":
        student = load_student(Path(guide.name))
        check_student(student, recipe)
        arrays = {key: value.numpy() for key, value in student.state_dict().items()}
        # Which student travels: another may lie in its place when the network comes back.
        about = {"options": student.options, "sha256": student.sha256}
        prefix = f"guide.{student.sha256}."
    else:
        arrays = _tinyvit(guide.name)
        about = {"field_um": guide.field_um or guide_entry(guide.name).field_um}
        prefix = f"guide.{guide.name}."
    writer.arrays |= {prefix + key: value for key, value in arrays.items()}
    return {"kind": guide.kind, "prefix": prefix} | about


def _tinyvit(name: str) -> dict[str, NDArray[Any]]:
    """Return the weights of a TinyViT guide as float16, half of what they are here."""
    entry = guide_entry(name)
    record = cache.find(name)
    if entry.layout is not Layout.TINYVIT or record is None:
        raise RecipeError(
            f"guide {name!r} cannot travel to a GPU; expected tinyvit-sam, added to the cache, or "
            "a student; larger encoders do not fit the pack"
        )
    state = cache.read(record, f"add {name} again")
    return {
        key: value.half().numpy() if value.is_floating_point() else value.numpy()
        for key, value in state.items()
    }


def _write(plan: dict[str, Any], arrays: dict[str, NDArray[Any]], out: Path) -> int:
    text, content = json.dumps(plan, indent=1, allow_nan=False), save(arrays)
    size = len(text) + len(content)
    if size > MAX_BYTES:
        raise RecipeError(
            f"the pack has {size / 2**20:.0f} MiB; expected at most {MAX_BYTES >> 20}, what a lent "
            "machine takes; fit on fewer images (n_images), at a coarser mpp, or give --max-error"
        )
    make_folder(out, ADVICE)
    with replacing(out / DATA_FILE, ADVICE) as aside:
        aside.write_bytes(content)
    with replacing(out / PLAN_FILE, ADVICE) as aside:
        aside.write_text(text, encoding="utf-8")
    return size
