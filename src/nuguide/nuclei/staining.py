"""What a run asks of the stains, and how its record says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nuguide.errors import InputError
from nuguide.nuclei.positivity import AskedThresholds, checked_thresholds
from nuguide.nuclei.stain_choice import AskedStains, asked_stains
from nuguide.nuclei.stains import HE, Stains


@dataclass(frozen=True)
class Staining:
    """What is measured of the stains, and what counts as positive.

    Attributes
    ----------
    stains : Stains
        Haematoxylin and which other.
    positive : tuple of float
        Mean optical densities of the second stain from which on a nucleus is positive, or 1+, 2+
        and 3+; empty: it is not asked.

    Raises
    ------
    InputError
        If nuclei are to be positive for eosin, which marks none.
    """

    stains: Stains = HE
    positive: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.positive and self.stains.second.lower() == HE.second.lower():
            raise InputError(
                "positive nuclei are asked for, and the second stain is eosin; expected one that "
                "marks nuclei; say which with --stains hdab (in Python stains='hdab'), or leave "
                "positive out"
            )

    def configuration(self) -> dict[str, Any]:
        """Return what decides the rows of a run, as it stands in ``run.toml``."""
        positive = {"positive": list(self.positive)} if self.positive else {}
        return {"stains": self.stains.configuration()} | positive


def asked_staining(stains: AskedStains, positive: AskedThresholds | None = None) -> Staining:
    """Return what a user asks for.

    Parameters
    ----------
    stains : str, Path or Stains
        See ``nuguide.nuclei.stain_choice.asked_stains``.
    positive : float, sequence of float or str, optional
        See ``nuguide.nuclei.positivity.checked_thresholds``.

    Raises
    ------
    InputError
        If it makes no sense.
    """
    thresholds = () if positive is None else checked_thresholds(positive)
    return Staining(asked_stains(stains), thresholds)


def second_stain_of(configuration: Mapping[str, Any]) -> str:
    """Return the name of a run's second stain; runs of before there was a choice have eosin."""
    told: Mapping[str, Any] = configuration.get("stains", HE.configuration())
    return str(told["second"])
