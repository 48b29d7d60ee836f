"""The card of a model: what it is, what it was trained on, what may be done with it.

A card is a TOML file beside the weights. It is strict: a field that nobody reads, a number out of
its range or a missing licence is an error that names the field.
"""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nuguide.documents import DocumentError, parse_toml
from nuguide.errors import ModelError, NuguideError
from nuguide.faults import first_fault
from nuguide.models.calibration import Calibration
from nuguide.units import checked_mpp

MAX_CARD_BYTES = 1 << 20
"""Largest card that is read; a real one has a few kilobytes."""

MAX_FIELD_UM = 10_000.0
"""Widest field of a guide: 1 cm of tissue."""

MAX_TILE_PX = 4096
"""Longest side of the tiles of a network that pools globally."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]

_Bounds = Field(ge=-4096, le=4096)
Scalar = bool | Annotated[int, _Bounds] | Annotated[float, _Bounds] | str
Options = dict[str, Scalar | tuple[Scalar, ...]]
"""Named arguments of a class, as TOML can hold them; no honest number is beyond 4096."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class TrainingData(_Part):
    """One data set that the weights have seen.

    Attributes
    ----------
    name, licence, split, citation : str
        The data set, its licence (SPDX where there is one), the part used, whom to cite.
    n_images : int
        Images of that part.
    """

    name: Text
    licence: Text
    split: Text
    n_images: Annotated[int, Field(ge=1)]
    citation: Text


class NetworkSpec(_Part):
    """A network by name.

    Attributes
    ----------
    architecture : str
        A name in ``nuguide.networks.registry``.
    options : dict
        Arguments of its class; those left out keep their defaults.
    """

    architecture: Text
    options: Options = {}


class GuideSpec(_Part):
    """The guide a model was trained with.

    Attributes
    ----------
    kind : "none", "named" or "student"
        No guide; one by name in ``nuguide.guides.registry``, whose weights lie elsewhere; a
        student whose weights lie in the model's own file.
    name : str
        Its name; empty for ``none``.
    field_um : float, optional
        Side of the square of tissue that one pass takes, um; None: the guide's own default.
    options : dict
        Arguments of the student's class; empty for the other kinds.
    """

    kind: Literal["none", "named", "student"] = "none"
    name: str = ""
    field_um: Annotated[float, Field(gt=0, le=MAX_FIELD_UM)] | None = None
    options: Options = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "none") == bool(self.name):
            raise ValueError(f"name is {self.name!r} for a guide of kind {self.kind!r}")
        if self.kind == "named" and set("/\\.") & set(self.name):
            raise ValueError(f"name is {self.name!r}, which looks like a path on one machine")
        if self.options and self.kind != "student":
            raise ValueError(f"options are for a student, not for a guide of kind {self.kind!r}")
        return self


class Decoding(_Part):
    """How maps become nuclei: peaks of a smoothed landscape flood the foreground.

    The landscape is the distance map, or the slope of the offsets; see
    ``nuguide.segmentation.decoding``.

    Attributes
    ----------
    foreground_threshold : float
        Share of the nucleus' probability from which a pixel belongs to a nucleus, 0..1; 0.5 is
        the argmax of two channels that sum to one.
    smoothing_um : float
        Standard deviation of the Gaussian over distance or offsets, um; 0: none; at most 10, a
        nucleus.
    prominence : float
        How far a peak must stand above the saddle to a higher one to be a nucleus of its own,
        in units of the landscape: 1 from the middle of a nucleus to its border (distance), or
        from level ground to where two nuclei meet (offsets).
    min_area_um2 : float
        Smaller objects are dropped, um2; at most 10,000.
    """

    foreground_threshold: Share = 0.5
    smoothing_um: Annotated[float, Field(ge=0, le=10)] = 0.5
    prominence: Share = 0.08
    min_area_um2: Annotated[float, Field(ge=0, le=10_000)] = 8.0


class Score(_Part):
    """One measured number.

    Attributes
    ----------
    name, data, definition : str
        The score, the data it was measured on, its definition with the averaging rule.
    value : float
        Mean over ``n`` images unless the definition says otherwise.
    low, high : float, optional
        Ends of its 95 % interval.
    n : int
        Number of images.
    """

    name: Text
    value: float
    low: float | None = None
    high: float | None = None
    n: Annotated[int, Field(ge=1)]
    definition: Text
    data: Text


class Card(_Part):
    """All that is known of a model.

    Attributes
    ----------
    name, version, description : str
        Its name (lower case, as in a file name), version, one sentence on it.
    licence : str
        Licence of the weights (SPDX where there is one).
    training_data : tuple of TrainingData
        Empty if unknown; ``notes`` says so then.
    mpp : float
        um/px that the network was trained at; images are brought to it.
    classes : tuple of str
        Types of nuclei that it tells apart; one, ``nucleus``, if it does not.
    channel_order : "rgb" or "bgr"
        Order in which the network, not its guide, takes the image's channels.
    tile_px : int, optional
        Side of the tiles that a network which pools globally must run on, px; None: any region.
    network, guide, decoding : NetworkSpec, GuideSpec, Decoding
        What it is made of.
    calibration : Calibration, optional
        What a nucleus' confidence is worth; None: not known.
    sha256 : str
        Digest of the weight file's bytes.
    citation : str
        Whom to cite.
    scores : tuple of Score
        What was measured.
    notes : str
        Whatever else a user should know.
    """

    name: Name
    version: Text
    description: Text
    licence: Text
    training_data: tuple[TrainingData, ...] = ()
    mpp: float
    classes: tuple[Text, ...] = ("nucleus",)
    channel_order: Literal["rgb", "bgr"] = "rgb"
    tile_px: Annotated[int, Field(ge=16, le=MAX_TILE_PX, multiple_of=16)] | None = None
    network: NetworkSpec
    guide: GuideSpec = GuideSpec()
    decoding: Decoding = Decoding()
    calibration: Calibration | None = None
    sha256: Sha256
    citation: str = ""
    scores: tuple[Score, ...] = ()
    notes: str = ""

    @property
    def types(self) -> tuple[str, ...]:
        """Names of the types that it tells apart; empty if it finds nuclei alone."""
        return self.classes if len(self.classes) > 1 else ()

    @field_validator("mpp")
    @classmethod
    def _microscopic(cls, mpp: float) -> float:
        try:
            return checked_mpp(mpp, "mpp")
        except NuguideError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _a_name_for_each_type(self) -> Self:
        n_types = self.network.options.get("n_types", 0)
        if n_types != len(self.types):
            raise ValueError(
                f"network.options.n_types is {n_types} and classes are {list(self.classes)}; "
                "expected a class for each type, and one, 'nucleus', without types"
            )
        return self

    def to_toml(self) -> str:
        """Return the card as TOML; what is None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @classmethod
    def from_toml(cls, text: str, source: str = "card") -> Self:
        """Read a card.

        Parameters
        ----------
        text : str
            TOML.
        source : str
            Where it came from, for the error message.

        Raises
        ------
        ModelError
            Naming the first field that is missing, unknown or wrong.
        """
        try:
            # JSON is the form in which pydantic's strict mode takes an array for a tuple.
            return cls.model_validate_json(json.dumps(parse_toml(text)))
        except ValidationError as error:
            raise ModelError(
                f"{source}: field {first_fault(error, 'cards', model=cls)}; correct it"
            ) from error
        except (DocumentError, TypeError) as error:
            raise ModelError(
                f"{source} is not a card in TOML ({error}); expected strings, numbers, arrays and "
                "tables; take the model from where it was published"
            ) from error


def read_card(path: Path) -> Card:
    """Read the card at ``path``.

    Raises
    ------
    ModelError
        If it is missing, larger than ``MAX_CARD_BYTES``, or wrong (see ``Card.from_toml``).
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CARD_BYTES + 1)
    except OSError as error:
        raise ModelError(
            f"no card at {path} ({error.strerror}); expected a model.toml beside the weights; "
            "give the folder of a model"
        ) from error
    if len(content) > MAX_CARD_BYTES:
        raise ModelError(
            f"{path} is larger than {MAX_CARD_BYTES} bytes; expected a card of a few kilobytes; "
            "take the model from where it was published"
        )
    try:
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{path} is not UTF-8 text; expected a card in TOML; "
            "take the model from where it was published"
        ) from error
    return Card.from_toml(text, str(path))
