"""Where the Docker engine is, as the Docker command line would find it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from remote_kernel_provider.errors import ConfigurationError

DEFAULT_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class EngineLocation:
    """Where an engine is.

    Parameters
    ----------
    host
        `unix://…`, `tcp://…`, `ssh://…` or `npipe://…`.
    source
        Who says so.
    tls
        What the SDK needs to know of its certificates, or None.
    """

    host: str
    source: str
    tls: Any = field(default=None, repr=False)

    @property
    def socket(self) -> Path | None:
        """Its socket, where it is one of this machine."""
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None

    @property
    def is_absent(self) -> bool:
        """Whether no engine can be there: its socket does not exist."""
        return self.socket is not None and not self.socket.exists()

    @property
    def is_by_ssh(self) -> bool:
        """Whether ssh leads to it."""
        return self.host.startswith("ssh://")

    @property
    def machine(self) -> str:
        """Name or address of the machine it is on; empty = this one."""
        if not self.host.startswith(("tcp://", "ssh://", "http://", "https://")):
            return ""
        name = urlsplit(self.host).hostname or ""
        return "" if name in ("localhost", "127.0.0.1", "::1") else name


def locate(setting: str, environment: Mapping[str, str] = os.environ) -> EngineLocation:
    """Find the engine: the setting beats `DOCKER_HOST`, that a context, and that the default socket.

    Blocks: it imports the SDK and reads files.

    Raises
    ------
    ConfigurationError
        When what is said cannot be read.
    """
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env
    from docker.utils.config import find_config_file

    try:
        if setting or environment.get("DOCKER_HOST"):
            said = kwargs_from_env({**environment, **({"DOCKER_HOST": setting} if setting else {})})
            source = "the setting docker_host" if setting else "DOCKER_HOST"
            return EngineLocation(said["base_url"], source, said.get("tls"))
        # Without a configuration of the person's the SDK would look for contexts in the working directory.
        has_none = find_config_file() is None and environment.get("DOCKER_CONTEXT", "default") != "default"
        context = None if has_none else ContextAPI.get_context(environment.get("DOCKER_CONTEXT"))
        if context is None:
            raise ConfigurationError(
                f"there is no Docker context '{environment.get('DOCKER_CONTEXT')}'; list them: docker context ls"
            )
        if context.name == "default":
            return EngineLocation(DEFAULT_HOST, "the default")
        return EngineLocation(context.Host, f"the Docker context '{context.name}'", context.TLSConfig)
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  # the SDK raises plain Exceptions where a context's file is damaged
        raise ConfigurationError(f"where the Docker engine is cannot be read: {error}; see docker_host") from None
