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
DEFAULT_CONTEXT = "default"


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

    Blocks: where certificates or a context are named, it imports the SDK, which reads their files.

    Raises
    ------
    ConfigurationError
        When what is said cannot be read.
    """
    try:
        if host := setting or environment.get("DOCKER_HOST"):
            source = "the setting docker_host" if setting else "DOCKER_HOST"
            return EngineLocation(host, source, _certificates(environment))
        return _of_context(environment.get("DOCKER_CONTEXT"))
    except ConfigurationError:
        raise
    except Exception as error:  # noqa: BLE001  # the SDK raises plain Exceptions where a context's file is damaged
        raise ConfigurationError(f"where the Docker engine is cannot be read: {error}; see docker_host") from None


def _certificates(environment: Mapping[str, str]) -> Any:
    if not (environment.get("DOCKER_TLS_VERIFY") or environment.get("DOCKER_CERT_PATH")):
        return None
    from docker.utils import kwargs_from_env

    return kwargs_from_env(environment).get("tls")


def _of_context(name: str | None) -> EngineLocation:
    if name is None and not any(file.exists() for file in _configurations()):
        name = DEFAULT_CONTEXT
    if name == DEFAULT_CONTEXT:
        return EngineLocation(DEFAULT_HOST, "the default")
    from docker.context import ContextAPI
    from docker.utils.config import find_config_file

    # Without a configuration of the person's the SDK would look for contexts in the working directory.
    context = ContextAPI.get_context(name) if find_config_file() else None
    if context is None:
        raise ConfigurationError(f"there is no Docker context '{name}'; list them: docker context ls")
    if context.name == DEFAULT_CONTEXT:
        return EngineLocation(DEFAULT_HOST, "the default")
    return EngineLocation(context.Host, f"the Docker context '{context.name}'", context.TLSConfig)


def _configurations() -> list[Path]:
    """Return the files in which the SDK looks for the person's context."""
    own = os.environ.get("DOCKER_CONFIG")
    home = Path.home()
    return [*([Path(own) / "config.json"] if own else []), home / ".docker" / "config.json", home / ".dockercfg"]
