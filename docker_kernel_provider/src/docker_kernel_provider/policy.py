"""What the operator allows of what only Docker has; checked when all sources are merged, before any side effect."""

from __future__ import annotations

import fnmatch

from docker_kernel_provider.labels import APPLICATION, PREFIX
from docker_kernel_provider.mounts import check_mounts, parse_mounts
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.parameters.launch_parameters import LaunchParameters

_OURS = ("app", "component", "kernel_id")


def check_policy(spec: KernelSpec, parameters: LaunchParameters, settings: RemoteKernelSettings) -> None:
    """Check the merged parameters of a kernel in Docker or Swarm.

    Raises
    ------
    RefusedError
        Names the parameter and the setting that forbids it.
    ParameterError
        When a value is malformed.
    """
    config = parameters.config
    check_mounts(parse_mounts(config.get("volumes", ())), settings.docker_volumes, parameters.identity.user)
    for network in config.get("networks", ()):
        if not any(_allows_network(pattern, network) for pattern in settings.docker_networks):
            raise RefusedError(
                f"network '{network}' is refused: the setting docker_networks allows "
                f"{', '.join(settings.docker_networks) or 'none'}; choose one of these, or ask the operator"
            )
    prohibited = {*settings.prohibited_gids, *spec.config.get("prohibited_gids", ())}
    for group in config.get("groups", ()):
        if group in prohibited:
            raise RefusedError(f"groups: {group} is refused: it is one of prohibited_gids; leave it out")
    for label in config.get("labels", {}):
        if label in _OURS or label.startswith(PREFIX):
            raise ParameterError(f"labels: '{label}' is {APPLICATION}'s own; choose another name")


def _allows_network(pattern: str, network: str) -> bool:
    # The network of the engine's machine, or of another container, reaches what is meant for that one alone.
    if network in ("host", "none") or ":" in network:
        return pattern == network
    return fnmatch.fnmatchcase(network, pattern)
