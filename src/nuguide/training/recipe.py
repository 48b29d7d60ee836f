"""Recipes: everything that decides a training, as one typed, frozen value read from TOML."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nuguide.errors import RecipeError
from nuguide.models.card import Decoding, GuideSpec, NetworkSpec, TrainingData

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Part):
    """How a training crop is drawn and changed.

    Attributes
    ----------
    scale : (float, float)
        Range of the zoom, log-uniform; 1 keeps the recipe's um/px.
    rotate : bool
        Any angle, not quarter turns alone.
    elastic_px : float
        Standard deviation of a smooth random displacement, px; 0: none.
    stain : float
        Strength of the jitter of stain vectors and amounts; 0: none.
    other_stain, grey : float
        Probabilities of another second stain (brown, red, purple, green) in eosin's place, and
        of a grey picture.
    blur, noise, jpeg : float
        Probabilities of Gaussian blur, Gaussian noise and JPEG compression.
    """

    scale: tuple[PositiveFloat, PositiveFloat] = (0.75, 1.35)
    rotate: bool = True
    elastic_px: Annotated[float, Field(ge=0)] = 1.5
    stain: Annotated[float, Field(ge=0)] = 1.0
    other_stain: Share = 0.25
    grey: Share = 0.05
    blur: Share = 0.15
    noise: Share = 0.15
    jpeg: Share = 0.2


class Losses(_Part):
    """Weights of the terms of the loss; a term of weight 0 is not computed.

    Attributes
    ----------
    cross_entropy, focal, dice, released_dice : float
        Of the head ``nuclei``.
    distance : float
        Of the head ``distance``: squared error of the normalised distance.
    tokens : float
        Of mode ``distil``: predicted against the guide's tokens.
    """

    cross_entropy: float = 1.0
    focal: float = 0.0
    dice: float = 1.0
    released_dice: float = 0.0
    distance: float = 2.0
    tokens: float = 0.0


class _Recipe(_Part):
    """What all trainings share.

    Attributes
    ----------
    name : str
        Names the run's folder and the model.
    split : str
        Part of the data set to fit on; ``validation`` is what choices are made on.
    seed : int
        Of weights, crops and augmentation.
    mpp : float
        um/px the network works at.
    crop_px, batch : int
        Side of a crop at ``mpp``, px, and crops a step.
    steps, epoch_steps : int
        Steps in all, and between two validations (a checkpoint is written at each).
    learning_rate, weight_decay, warmup_steps
        Of AdamW, with a linear warm-up and a cosine decline to zero.
    clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the moving average of the weights; the average is what is validated and kept.
    """

    name: str
    split: Literal["fit", "train"] = "fit"
    seed: int = 0
    mpp: PositiveFloat = 0.5
    crop_px: PositiveInt = 256
    batch: PositiveInt = 4
    steps: PositiveInt = 2400
    epoch_steps: PositiveInt = 100
    learning_rate: PositiveFloat = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    clip: PositiveFloat = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    augmentation: Augmentation = Augmentation()


class SegmentationRecipe(_Recipe):
    """Training of a network that segments nuclei.

    Attributes
    ----------
    network : NetworkSpec
        Architecture and options.
    guide : GuideSpec
        The guide. Of kind ``student``: ``name`` is the folder of a distillation's run.
    losses, decoding
        Terms of the loss; how maps become nuclei in validation and in the finished model.
    licence, training_data
        For the finished model's card: the licence of its weights, and the data it has seen.
    """

    kind: Literal["segmentation"]
    network: NetworkSpec
    guide: GuideSpec = GuideSpec()
    losses: Losses = Losses()
    decoding: Decoding = Decoding()
    licence: str = "not stated"
    training_data: tuple[TrainingData, ...] = ()


class DistillationRecipe(_Recipe):
    """Training of a student of a guide.

    Attributes
    ----------
    teacher, field_um
        Name of the guide and its field, um.
    student : dict
        Options of ``nuguide.guides.student.StudentGuide``.
    """

    kind: Literal["distillation"]
    teacher: str = "tinyvit-sam"
    field_um: PositiveFloat = 128.0
    student: dict[str, Any] = {}


Recipe = SegmentationRecipe | DistillationRecipe
_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Annotated[Recipe, Field(discriminator="kind")])

RECIPE_FILE = "recipe.json"
"""The recipe as a run's folder keeps it."""

RECIPES = Path(__file__).parent / "recipes"
"""Folder of the recipes that come with the package."""


def read_recipe(name_or_path: str | Path, changes: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe by name (of those in ``RECIPES``) or path, with some values changed.

    Parameters
    ----------
    name_or_path : str or Path
        ``default``, or a TOML file.
    changes : dict, optional
        Dotted key to value, such as ``{"network.options.width": 16}``.

    Raises
    ------
    RecipeError
        If there is no such file, it is no TOML, or a value is unknown or refused.
    """
    path = Path(name_or_path)
    packaged = RECIPES / f"{name_or_path}.toml"
    source = path if path.is_file() else packaged
    if not source.is_file():
        known = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(
            f"no recipe {str(name_or_path)!r}; expected a TOML file or one of {known}"
        )
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{source} is no TOML ({error}); expected a recipe, see {RECIPES}"
        ) from error
    for key, value in (changes or {}).items():
        _assign(values, key.split("."), value)
    return checked_recipe(values, str(source))


def checked_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Turn plain values into a recipe, or say in one line which is refused and why."""
    try:
        # JSON is the form in which pydantic's strict mode takes an array for a tuple.
        return _ADAPTER.validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"{source}: {where or 'kind'} is {first.get('input')!r}; {first['msg']}"
        ) from error


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {'.'.join(keys)}: {key} holds a value; expected a table")
    values[keys[-1]] = value
