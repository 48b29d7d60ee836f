"""Recipes: everything that decides a training, as one typed, frozen value read from TOML."""

import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from nuguide.errors import RecipeError
from nuguide.evaluation.protocols import RELEASED_SIDE_PX
from nuguide.guides.controls import Control
from nuguide.models.card import Decoding, GuideSpec, Name, NetworkSpec, Text, TrainingData
from nuguide.units import MPP_RANGE

Mpp = Annotated[float, Field(ge=MPP_RANGE[0], le=MPP_RANGE[1])]
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


class ReleasedAugmentation(_Part):
    """How the published method sees an image whole and changes it.

    See ``nuguide.training.released_augmentation``.

    Attributes
    ----------
    mirror : float
        Probability of each mirror, left to right and top to bottom.
    rotate : bool
        By any whole number of degrees, cut to the largest square inside the turned image.
    zoom : (float, float)
        Range of the enlargement about the middle, uniform.
    noise, noise_share : float
        Probability of simplex noise, and its share where it is blended in.
    gamma : tuple of float
        Gammas of which one is drawn, each as likely as another; 1 changes nothing.
    """

    mirror: Share = 0.5
    rotate: bool = True
    zoom: tuple[Annotated[float, Field(ge=1)], Annotated[float, Field(ge=1)]] = (1.0, 2.0)
    noise: Share = 0.5
    noise_share: Share = 0.3
    gamma: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1.0, 1.0, 1.5)


class Losses(_Part):
    """Weights of the terms of the loss; a term of weight 0 is not computed.

    Attributes
    ----------
    cross_entropy, focal, dice, released_dice, iou, ms_ssim : float
        Of the head ``nuclei``.
    boundary : float
        How much more a pixel between two nuclei that touch weighs in the cross-entropy; 0: all
        alike.
    distance : float
        Of the head ``distance``: squared error of the normalised distance.
    offsets : float
        Of the head ``offsets``: squared error of the offsets and of their derivatives.
    tokens : float
        Of mode ``distil``: predicted against the guide's tokens.
    """

    cross_entropy: float = 1.0
    focal: float = 0.0
    dice: float = 1.0
    released_dice: float = 0.0
    iou: float = 0.0
    ms_ssim: float = 0.0
    boundary: Annotated[float, Field(ge=0)] = 0.0
    distance: float = 2.0
    offsets: float = 1.0
    tokens: float = 0.0

    @model_validator(mode="after")
    def _boundary_weighs_something(self) -> Self:
        if self.boundary and not self.cross_entropy:
            raise ValueError(
                f"boundary is {self.boundary:g} and cross_entropy 0; expected a weight of the "
                "cross-entropy, whose pixels boundary weighs"
            )
        return self


class _Recipe(_Part):
    """What all trainings share.

    Attributes
    ----------
    name : str
        Names the run's folder and the model: lower case, digits, ``.``, ``_`` and ``-``.
    split : str
        Part of the data set to fit on; ``validation`` is what choices are made on.
    n_images : int, optional
        Fit on so many of that part's images alone, of as many organs as can be; fewer lie within
        more (``nuguide.datasets.splits.subset``).
    balanced : bool
        Draw crops about as often from every organ (or other stratum of the data), not from every
        image; see ``nuguide.datasets.splits.balanced``.
    seed : int
        Of weights, crops and augmentation.
    mpp : float
        um/px the network works at.
    crop_px, batch : int
        Side of a crop at ``mpp``, px, and crops a step.
    steps, epoch_steps : int
        Steps in all (rounded up to whole epochs), and of an epoch: after each, the images of
        validation are scored and a checkpoint is written.
    epochs, views : int
        With ``epochs``, so many in place of ``steps`` and ``epoch_steps``: in each, every image
        that is fitted on is seen ``views`` times; see ``nuguide.training.length``.
    optimiser, learning_rate, weight_decay
        See ``nuguide.training.optimiser``.
    schedule, warmup_steps
        See ``nuguide.training.schedule``.
    clip : float
        Largest norm of the gradient; 0: any.
    patience_epochs : int, optional
        Training ends early when so many epochs in a row have not validated better than the best
        before; None: never. The learning rate still declines as if all steps were to come.
    ema : float
        Decay of the moving average of the weights; the average is what is validated and kept.
    precision : {"auto", "32", "bf16"}
        Of what the network computes in training; ``auto`` is bfloat16 where the device has it in
        hardware. Weights, losses, averages and all of validation are float32.
    augmentation : Augmentation
        How crops are drawn and changed.
    released_augmentation : ReleasedAugmentation, optional
        In place of crops, whole images resized to ``crop_px`` x ``crop_px``, as the protocol
        ``released`` sees them; ``mpp`` is what they have then.
    """

    name: Name
    split: Literal["fit", "train"] = "fit"
    n_images: PositiveInt | None = None
    balanced: bool = False
    seed: int = 0
    mpp: Mpp = 0.5
    crop_px: PositiveInt = 256
    batch: PositiveInt = 4
    steps: PositiveInt = 2400
    epoch_steps: PositiveInt = 100
    epochs: PositiveInt | None = None
    views: PositiveInt = 1
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: PositiveFloat = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    clip: Annotated[float, Field(ge=0)] = 1.0
    patience_epochs: PositiveInt | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.995
    precision: Literal["auto", "32", "bf16"] = "auto"
    augmentation: Augmentation = Augmentation()
    released_augmentation: ReleasedAugmentation | None = None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        fields = type(self).model_fields
        told = [n for n in ("steps", "epoch_steps") if getattr(self, n) != fields[n].default]
        if self.epochs is not None and told:
            raise ValueError(
                f"{told[0]} is {getattr(self, told[0])} beside epochs = {self.epochs}; expected "
                "steps or epochs"
            )
        return self

    @model_validator(mode="after")
    def _one_view(self) -> Self:
        if self.released_augmentation is None:
            return self
        if self.crop_px != RELEASED_SIDE_PX:
            raise ValueError(
                f"crop_px is {self.crop_px} with released_augmentation; expected "
                f"{RELEASED_SIDE_PX}, the side of the protocol 'released'"
            )
        if self.augmentation != Augmentation():
            raise ValueError(
                "augmentation is changed with released_augmentation in its place; expected one"
            )
        return self


class SegmentationRecipe(_Recipe):
    """Training of a network that segments nuclei.

    Attributes
    ----------
    network : NetworkSpec
        Architecture and options.
    guide : GuideSpec
        The guide. Of kind ``student``: ``name`` is the folder of a distillation's run.
    guide_control : Control
        ``zeroed`` or ``shuffled``: a control of the guide, trained and validated with tokens that
        know nothing of their image; see ``nuguide.evaluation.controls``. With zeros, ``cross`` is
        the network of equal capacity without a guide. Shuffled, by a derangement of the recipe's
        seed. For a named guide alone.
    stop_on : {"aji", "dice_foreground"}
        The score that ``patience_epochs`` waits for; the best checkpoint is that by AJI anyhow.
    losses, decoding
        Terms of the loss; how maps become nuclei in validation and in the finished model.
    licence, training_data
        For the finished model's card: the licence of its weights, and the data it has seen.
    """

    kind: Literal["segmentation"]
    network: NetworkSpec
    guide: GuideSpec = GuideSpec()
    guide_control: Control = "guided"
    stop_on: Literal["aji", "dice_foreground"] = "aji"
    losses: Losses = Losses()
    decoding: Decoding = Decoding()
    licence: Text = "not stated"
    training_data: tuple[TrainingData, ...] = ()

    @model_validator(mode="after")
    def _control_of_a_named_guide(self) -> Self:
        if self.guide_control != "guided" and self.guide.kind != "named":
            raise ValueError(
                f"guide_control is {self.guide_control!r} for a guide of kind {self.guide.kind!r}; "
                "expected a guide of kind 'named'"
            )
        if self.guide_control == "shuffled" and self.balanced:
            raise ValueError(
                "guide_control is 'shuffled' and balanced is true, which would hand some images "
                "their own tokens; expected one of the two"
            )
        return self


class StudentShape(_Part):
    """Size of a student; see ``nuguide.guides.student.StudentGuide``.

    Attributes
    ----------
    widths : four of int
        Channels at strides 2, 4, 8 and 16.
    blocks : int
        Residual blocks at each of strides 4, 8 and 16.
    """

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (24, 64, 96, 128)
    blocks: PositiveInt = 2


class DistillationRecipe(_Recipe):
    """Training of a student of a guide.

    Attributes
    ----------
    teacher : str
        Name of the guide.
    field_um : float
        Its field, um: 256 times ``mpp``, so that its tokens and the student's are of one size
        (64 tokens a field, 4 px a token).
    student : StudentShape
        Size of the student.
    """

    kind: Literal["distillation"]
    teacher: str = "tinyvit-sam"
    field_um: PositiveFloat = 128.0
    student: StudentShape = StudentShape()

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if not math.isclose(self.field_um, 256 * self.mpp, rel_tol=1e-6):
            raise ValueError(
                f"field_um is {self.field_um:g} at {self.mpp:g} um/px; expected 256 times mpp, "
                f"{256 * self.mpp:g}"
            )
        return self


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
            f"no recipe {str(name_or_path)!r}; expected a TOML file or one of {known}; "
            "check the name"
        )
    try:
        values = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise RecipeError(
            f"{source} cannot be read as TOML ({error}); expected a recipe; begin with one out of "
            f"{RECIPES}"
        ) from error
    for key, value in (changes or {}).items():
        _assign(values, key.split("."), value)
    return checked_recipe(values, str(source))


def parsed_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read what ``--set KEY=VALUE`` says: values as TOML, a bare word as a text.

    Raises
    ------
    RecipeError
        If one is not of that form.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise RecipeError(
                f"--set says {text!r}; expected KEY=VALUE; write it such as --set steps=500"
            )
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values


def checked_recipe(values: dict[str, Any], source: str) -> Recipe:
    """Turn plain values into a recipe.

    Parameters
    ----------
    values : dict
        As TOML or JSON give them.
    source : str
        Where they came from, for the error message.

    Raises
    ------
    RecipeError
        Naming the first value that is missing, unknown or refused.
    """
    try:
        # JSON is the form in which pydantic's strict mode takes an array for a tuple.
        return _ADAPTER.validate_json(json.dumps(values))
    except ValidationError as error:
        # The first part of the place is the recipe's kind, which is no key of the file.
        raise RecipeError(f"{source}: {first_fault(error, 'recipes', 1)}; correct it") from error
    except TypeError as error:
        raise RecipeError(
            f"{source} holds a date or time ({error}); expected texts, numbers, arrays and "
            "tables; put it in quotes"
        ) from error


def first_fault(error: ValidationError, what: str, skipped: int = 0) -> str:
    """Word the first fault of ``what`` was read; leave out the first parts of its place."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"][skipped:])
    if fault["type"] == "extra_forbidden":
        return f"{where} is unknown; expected a key that {what} have"
    got, message = fault["input"], fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(got, dict) else f" (got {str(got)[:80]!r})"
    return f"{where}: {message}{shown}" if where else f"{message}{shown}"


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise RecipeError(
                f"--set {'.'.join(keys)}: {key} holds a value; expected a table; see the recipe"
            )
    values[keys[-1]] = value
