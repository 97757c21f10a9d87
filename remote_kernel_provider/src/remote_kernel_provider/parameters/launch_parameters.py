"""The values of one launch, as they come out of merging, validation and policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remote_kernel_provider.kernelspecs.config_keys import RESOURCES


@dataclass(frozen=True)
class Identity:
    """Who asks for a kernel.

    Parameters
    ----------
    user
        The name.
    source
        `authenticated` (by the server), `claimed` (by the client), or `system` (the operating system's user who runs
        the host).
    """

    user: str
    source: str


@dataclass(frozen=True)
class ClientRequest:
    """What a client asks for, as it said it; nothing is checked yet.

    Parameters
    ----------
    kernel_id
        Jupyter's id of the kernel.
    identity
        Who asks.
    values
        Parameters by name (`memory`); strings where they came through the environment.
    environment
        Entries for the kernel's environment.
    working_dir
        Where the client would like the kernel to run; None = wherever the backend puts it.
    profile
        Name of an operator's profile of the spec; empty = none.
    encryption
        The face's own transport encryption policy; empty = the settings'.
    listed_as
        Name by which a client of stock Jupyter started it: what its server's next run lists the kernel by.
    """

    kernel_id: str
    identity: Identity
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    working_dir: str | None = None
    profile: str = ""
    encryption: str = ""
    listed_as: str = ""


@dataclass(frozen=True)
class LaunchParameters:
    """Resolved, authorized and checked.

    Parameters
    ----------
    kernel_id
        Jupyter's id of the kernel.
    kernel_name
        `provider/spec`.
    language
        Of the spec.
    identity
        Who asks.
    config
        The normalized values of the table of configuration keys, by their names.
    environment
        What the client and the parameters (as `KERNEL_*`) add to the kernel's environment; they beat the spec's `env`.
    working_dir
        Where the kernel runs, or None.
    encryption
        `auto`, `required` or `disabled`.
    """

    kernel_id: str
    kernel_name: str
    language: str
    identity: Identity
    config: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    working_dir: str | None
    encryption: str

    @property
    def limits(self) -> dict[str, str]:
        """The resources that the kernel gets, by their parameters' names."""
        return {key.parameter: str(self.config[key.name]) for key in RESOURCES if key.name in self.config}
