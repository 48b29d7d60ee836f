"""What a run asks of the stains, and how its record says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nuguide.nuclei.stain_choice import AskedStains, asked_stains
from nuguide.nuclei.stains import HE, Stains


@dataclass(frozen=True)
class Staining:
    """What is measured of the stains.

    Attributes
    ----------
    stains : Stains
        Haematoxylin and which other.
    """

    stains: Stains = HE

    def configuration(self) -> dict[str, Any]:
        """Return what decides the rows of a run, as it stands in ``run.toml``."""
        return {"stains": self.stains.configuration()}


def asked_staining(stains: AskedStains) -> Staining:
    """Return what a user asks for.

    Parameters
    ----------
    stains : str, Path or Stains
        See ``nuguide.nuclei.stain_choice.asked_stains``.

    Raises
    ------
    InputError
        If it makes no sense.
    """
    return Staining(asked_stains(stains))


def second_stain_of(configuration: Mapping[str, Any]) -> str:
    """Return the name of a run's second stain; runs of before there was a choice have eosin."""
    told: Mapping[str, Any] = configuration.get("stains", HE.configuration())
    return str(told["second"])
