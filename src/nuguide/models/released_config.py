"""The configuration of a published checkpoint: what its weights alone do not say.

The published code (Swain, Cheoi, Ko, MICCAI 2024) is configured by a ``.sys`` file and writes what
it read to ``config.json`` beside each experiment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nuguide.documents import DocumentError, parse_json
from nuguide.errors import ModelError
from nuguide.faults import first_fault

MAX_CONFIG_BYTES = 1 << 20
"""Largest configuration that is read."""


class ReleasedConfig(BaseModel):
    """The settings that shape the published network; others in the file are ignored.

    Attributes
    ----------
    sam_guided, advanced_sam_guided : bool
        ``SAM_Guided`` and ``advancedSAM_Guided`` in the file; the second, multi-level, wins.
    use_maxblurpool : bool
        Max-blur pooling in the encoder, else max-pooling.
    channel, activation : int, str, optional
        Told by the weights' shapes, and checked against them.
    dropout : float
        Share of the bottleneck's channels dropped in training.
    kernel_size, num_classes, input_img_type : int, int, str
        Only the published values are known.

    Notes
    -----
    ``use_guidedFilter`` is among the ignored: the published forward pass never reads it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    sam_guided: bool = Field(alias="SAM_Guided")
    advanced_sam_guided: bool = Field(default=False, alias="advancedSAM_Guided")
    use_maxblurpool: bool
    channel: int | None = None
    activation: Literal["GLU", "relu"] | None = None
    dropout: float = Field(default=0.3, ge=0, lt=1)
    # As bounds, which text is converted for: in a .sys file every number is text.
    kernel_size: int = Field(default=3, ge=3, le=3)
    num_classes: int = Field(default=2, ge=2, le=2)
    input_img_type: Literal["rgb"] = "rgb"

    @property
    def guidance(self) -> Literal["single", "multi-level", "unguided"]:
        """How the embedding acts."""
        if self.advanced_sam_guided:
            return "multi-level"
        return "single" if self.sam_guided else "unguided"

    @classmethod
    def read(cls, config: "Mapping[str, object] | Path | str", source: str) -> Self:
        """Read a configuration.

        Parameters
        ----------
        config : mapping, Path or str
            The settings by name, a ``config.json`` or ``.sys`` file, or the text of either.
        source : str
            Where it came from, for the error message.

        Raises
        ------
        ModelError
            Naming the first setting that is missing or unknown.
        """
        if isinstance(config, Path):
            config = _text(config)
        settings = _parsed(config, source) if isinstance(config, str) else dict(config)
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise ModelError(
                f"{source}: {first_fault(error, 'settings')}; expected those that the checkpoint "
                "was trained with; give its config.json"
            ) from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        text = content.decode("utf-8-sig")  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"no configuration at {path} ({error}); expected a config.json or .sys file; "
            "check the path"
        ) from error
    if len(content) > MAX_CONFIG_BYTES:
        raise ModelError(
            f"{path} is larger than {MAX_CONFIG_BYTES} bytes; expected a config.json or .sys file; "
            "check the path"
        )
    return text


def _parsed(text: str, source: str) -> dict[str, object]:
    """Read JSON, or the lines ``name = value # comment`` of a ``.sys`` file."""
    if text.lstrip().startswith("{"):
        try:
            settings: dict[str, object] = parse_json(text)
        except DocumentError as error:
            raise ModelError(
                f"{source} is not JSON ({error}); expected the experiment's config.json; "
                "check the file"
            ) from error
        return settings
    settings = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith(("[", "#")):
            name, equals, value = line.partition("=")
            if not equals:
                raise ModelError(
                    f"{source} has the line {line[:60]!r}; expected name = value; "
                    "give a config.json or .sys file"
                )
            value = value.strip()
            quoted = value.startswith('"')
            settings[name.strip()] = (
                value.split('"')[1] if quoted else value.split("#")[0]
            ).strip()
    return settings
