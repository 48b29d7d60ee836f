"""What an ablation found: one JSON line a training, in a file that several processes share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nuguide.datasets.base import Split
from nuguide.errors import InputError, OutputError
from nuguide.evaluation.protocols import ProtocolName
from nuguide.faults import first_fault
from nuguide.files import held, make_folder, replacing
from nuguide.guides.controls import Control
from nuguide.models.card import Sha256, Text
from nuguide.training.hardware import Precision
from nuguide.training.recipe import Recipe
from nuguide.training.recipe_file import checked_recipe

Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Budget(_Part):
    """What a training was given.

    Attributes
    ----------
    steps : int
        Steps of the optimiser.
    seconds : float or None
        Wall time of the training with its validation, over all its stops; None where it was not
        kept. Trainings that share a machine slow each other down.
    n_images : int
        Images it was fitted on.
    """

    steps: Count
    seconds: float | None
    n_images: Count


class Found(_Part):
    """Scores of one training under one control.

    Attributes
    ----------
    scores : dict
        Mean over the images, by the score's name.
    images : tuple of dict
        For each image ``name``, its scores and, where it is known, ``origin``: its patient or
        slide.
    """

    scores: dict[str, float]
    images: tuple[dict[str, float | str], ...]

    @property
    def origins(self) -> list[str]:
        """Patient or slide of each image, empty where it is unknown."""
        return [str(image.get("origin", "")) for image in self.images]


class Row(_Part):
    """One training of an ablation, scored at the annotation's own resolution.

    Attributes
    ----------
    variant : str
        Its name in the grid.
    seed : int
        Of weights, crops and augmentation.
    data, split : str
        The data set and the part of it that was scored.
    budget : Budget
        Equal for all rows that are compared.
    parameters : int
        Trained numbers of the network.
    found : dict of Control to Found
        As it was trained under ``guided`` (or the control that it was trained with); a guided
        network that reads tokens also ``zeroed`` and ``shuffled``.
    protocols : dict of ProtocolName to Found
        As it was trained, by other rules than ``standard``, which ``found`` holds.
    commit : str or None
        Of nuguide's own source, with "+changed" if that was not committed; None if it is installed.
    versions : dict
        Of nuguide and what decides the numbers.
    device : str
        What it was scored on.
    precision : Precision
        Of the network in training; rows of before it was kept had 32.
    recipe : dict
        All choices.
    seen_sha256 : str or None
        Digest of the images that it was fitted on and chosen by (``nuguide.training.seen``); None
        in rows of before it was kept.
    """

    variant: Text
    seed: Count
    data: Text
    split: Text
    budget: Budget
    parameters: Count
    found: dict[Control, Found]
    protocols: dict[ProtocolName, Found] = {}
    commit: str | None
    versions: dict[str, str]
    device: Text
    precision: Precision = "32"
    recipe: dict[str, Any]
    seen_sha256: Sha256 | None = None

    @property
    def own(self) -> Found:
        """Scores under the condition that it was trained in."""
        return self.found[self.control]

    @property
    def control(self) -> Control:
        """The condition that it was trained in."""
        control: Control = self.recipe.get("guide_control", "guided")
        return control

    def trained_by(self, recipe: Recipe) -> bool:
        """Tell whether this is the row of a recipe; a key that is younger counts as its default."""
        return checked_recipe(self.recipe, f"row {self.recipe.get('name')}") == recipe


def read_rows(file: Path) -> list[Row]:
    """Read the rows of an ablation; none if there is no file yet.

    Raises
    ------
    InputError
        Naming the first line that is damaged.
    """
    if not file.exists():
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read ({error}); expected JSON lines of an ablation; name another "
            "file with --runs"
        ) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(Row.model_validate_json(line))
        except ValidationError as error:
            raise InputError(
                f"{file}, line {number}: {first_fault(error, 'rows')}; expected a row of an "
                "ablation; take the line out, and its run is scored again"
            ) from error
    return rows


@dataclass(frozen=True)
class Part:
    """Images that trainings are scored on.

    Attributes
    ----------
    data : Path
        A data set's folder.
    split : Split
        The part of it.
    """

    data: Path
    split: Split

    @property
    def name(self) -> str:
        """The data set's name in rows."""
        return self.data.resolve().name

    def rows(self, rows: list[Row]) -> list[Row]:
        """Return those of ``rows`` that were scored on it."""
        return [row for row in rows if (row.data, row.split) == (self.name, self.split)]


def parts_of(data: Path, split: Split, unseen: Sequence[Path] = ()) -> list[Part]:
    """List what trainings are scored on: a part of their data set, and all of some others.

    Raises
    ------
    InputError
        If two folders have one name, by which rows tell them apart.
    """
    parts = [Part(data, split), *(Part(other, "all") for other in unseen)]
    held: dict[str, Part] = {}
    for part in parts:
        first = held.setdefault(part.name, part)
        if first is not part:
            raise InputError(
                f"{first.data} and {part.data} are both called {part.name} in rows; expected data "
                "sets whose folders have different names; rename one, or give it once"
            )
    return parts


def find_row(rows: list[Row], variant: str, recipe: Recipe, part: Part) -> Row | None:
    """Return the row of a training, or None if there is none yet.

    Raises
    ------
    OutputError
        If there is one of the same variant, seed and images by another recipe: rows of two budgets
        shall not be compared.
    """
    for row in part.rows(rows):
        if (row.variant, row.seed) != (variant, recipe.seed):
            continue
        if row.trained_by(recipe):
            return row
        raise OutputError(
            f"the runs' file has {variant}, seed {recipe.seed}, by another recipe; expected one "
            "recipe for a variant; name another file with --runs, or another variant"
        )
    return None


def refuse_other_images(row: Row, sha256: str) -> None:
    """Refuse the row of a training on other images; one that does not tell them is taken.

    Raises
    ------
    OutputError
        If both digests are known and differ.
    """
    if row.seen_sha256 not in (None, sha256):
        raise OutputError(
            f"the runs' file has {row.variant}, seed {row.seed}, fitted on or chosen by other "
            f"images (digest {str(row.seen_sha256)[:12]}, now {sha256[:12]}); expected the same in "
            "all rows; name another file with --runs, or the data that it was trained on"
        )


def add_row(file: Path, row: Row) -> None:
    """Add a row at the end, whole or not at all, whoever else is writing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    advice = "name another file with --runs"
    make_folder(file.parent, advice)
    line = json.dumps(row.model_dump(mode="json"), allow_nan=False)
    with held(file.with_name(f".{file.name}.lock"), advice):
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        # Whoever took a line out by hand may have left the last one without its end.
        gap = "" if not before or before.endswith("\n") else "\n"
        with replacing(file, advice) as aside:
            aside.write_text(f"{before}{gap}{line}\n", encoding="utf-8")
