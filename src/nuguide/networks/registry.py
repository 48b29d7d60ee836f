"""Networks by name: what a card or a recipe names, this builds."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

from nuguide.errors import ModelError, nearest_names
from nuguide.networks.allocator import keep_freed_memory

NETWORKS: dict[str, type[nn.Module]] = {}
"""Network classes by architecture name, as far as their modules have been imported."""

ARCHITECTURES = ("eunet3plus", "unet", "unet3plus", "ddunet")
"""Names of all networks; each stands in the module of its name."""

Class = TypeVar("Class", bound=type[nn.Module])


def register_network(name: str) -> Callable[[Class], Class]:
    """Decorate a network class so that cards and recipes can name it."""

    def register(network: Class) -> Class:
        NETWORKS[name] = network
        return network

    return register


def build_network(architecture: str, **options: Any) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    architecture : str
        One of ``ARCHITECTURES``.
    **options
        Arguments of the class, such as ``width``, ``heads`` or ``fusion``.

    Raises
    ------
    ModelError
        If the name or an option is unknown, or an option's value is refused.
    """
    if architecture not in ARCHITECTURES:
        raise ModelError(
            f"network {architecture!r} is unknown; {nearest_names(architecture, ARCHITECTURES)}"
        )
    import_module(f"nuguide.networks.{architecture}")
    network = NETWORKS[architecture]
    accepted = set(inspect.signature(network).parameters)
    foreign = sorted(set(options) - accepted)
    if foreign:
        raise ModelError(
            f"network {architecture!r} has no option {foreign[0]!r}; "
            f"{nearest_names(foreign[0], accepted)}"
        )
    keep_freed_memory()
    try:
        return network(**options)
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        # torch says RuntimeError of a size that cannot be, in several lines.
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"network {architecture!r} cannot be built ({why}); expected arguments of its class; "
            "correct the network's options"
        ) from error
