"""From what the engine says of a container, or refuses, to a status with an exact reason."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from docker_kernel_provider.errors import EngineRefusalError
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.lifecycle import KernelStatus, Phase

GONE = KernelStatus(Phase.GONE, reason="Gone", message="its container does not exist any more")
UNREACHABLE = "EngineUnreachable"

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes of the init process where the command is not there, or cannot be executed."""


def status_of(container: Mapping[str, Any]) -> KernelStatus:
    """Return the status of a container that was inspected."""
    state: Mapping[str, Any] = container["State"]
    word = state.get("Status", "")
    if word in ("running", "paused", "restarting"):
        running = KernelStatus(Phase.RUNNING, address_of(container))
        if word == "paused":
            return replace(running, reason="Paused", message="its container is paused; unpause it: docker unpause")
        return running
    if word == "created":
        if state.get("Error"):
            return explain_refusal(str(state["Error"]), container)
        return KernelStatus(Phase.STARTING)
    if word == "removing":
        return GONE
    return _ended(container, state)


def _ended(container: Mapping[str, Any], state: Mapping[str, Any]) -> KernelStatus:
    code = int(state.get("ExitCode", 0))
    if state.get("Error") and code in (NOT_FOUND, NOT_EXECUTABLE, 128):
        return replace(explain_refusal(str(state["Error"]), container), exit_code=code)
    if state.get("OOMKilled"):
        limit = int(container.get("HostConfig", {}).get("Memory") or 0)
        limited = f" of {_mebibytes(limit)}" if limit else ""
        message = f"it ran out of memory{limited}: its process was killed; use less data, or give it more memory_limit"
        return KernelStatus(Phase.FAILED, reason="OOMKilled", message=message, exit_code=-signal.SIGKILL)
    if code in (NOT_FOUND, NOT_EXECUTABLE) and container.get("HostConfig", {}).get("Init"):
        return replace(_bad_command(container, executable=code == NOT_FOUND), exit_code=code)
    # The init process and shells tell the end by a signal as 128 and its number.
    return explain_exit(128 - code if 128 < code <= 128 + signal.NSIG else code, False)


def ended_with_engine(status: KernelStatus) -> KernelStatus:
    """Return the status of a container that was there before its engine was killed and started again."""
    message = "the engine ended and started again, and with it all containers; with live-restore it would keep them"
    return _from_outside(status, "EngineRestarted", message)


def stopped(status: KernelStatus) -> KernelStatus:
    """Return the status of a container that was told to end."""
    message = "it was stopped from outside: by 'docker stop', with the engine, or by a Swarm that drains its node"
    return _from_outside(status, "Stopped", message)


def _from_outside(status: KernelStatus, reason: str, message: str) -> KernelStatus:
    # A kernel ends in order when it is told to, and by force when it does not.
    if status.exit_code not in (0, -signal.SIGTERM, -signal.SIGKILL) or status.reason == "OOMKilled":
        return status
    return KernelStatus(Phase.FAILED, reason=reason, message=message, exit_code=status.exit_code)


def _mebibytes(number: int) -> str:
    return f"{number / 2**30:g}Gi" if number >= 2**30 else f"{number / 2**20:g}Mi"


def _bad_command(container: Mapping[str, Any], *, executable: bool) -> KernelStatus:
    command = str(container.get("Path", ""))
    image = str(container.get("Config", {}).get("Image", ""))
    if executable:
        message = f"its command '{command}' was not found in the image '{image}'; mend argv, or install it there"
        return KernelStatus(Phase.FAILED, reason="CommandNotFound", message=message)
    message = f"its command '{command}' cannot be executed in the image '{image}'; mend argv, or its permissions there"
    return KernelStatus(Phase.FAILED, reason="CommandNotExecutable", message=message)


def address_of(container: Mapping[str, Any]) -> str:
    """Return the address of a container in the first of its networks; empty while it has none."""
    settings = container.get("NetworkSettings", {})
    networks: Mapping[str, Mapping[str, Any]] = settings.get("Networks") or {}
    first = str(container.get("HostConfig", {}).get("NetworkMode", ""))
    chosen = networks.get("bridge" if first == "default" else first) or next(iter(networks.values()), {})
    return str(chosen.get("IPAddress") or "")


_REFUSALS: tuple[tuple[str, str, str], ...] = (
    # Pattern of the engine's words, reason, what to do. The first that matches counts.
    (
        r"pull access denied|requested access to the resource is denied|unauthorized|authentication required"
        r"|(?<!permission )denied:"
        r"|no basic auth credentials",
        "PullDenied",
        "log in to its registry with 'docker login', or correct the image's name",
    ),
    (
        r"manifest .*(unknown|not found)|no such image|no matching manifest|not found: manifest|repository .* not found"
        r"|failed to resolve reference .*: not found|does not (match|provide) the specified platform",
        "ImageNotFound",
        "correct the image's name, tag or platform",
    ),
    (
        r"no space left on device|disk quota exceeded",
        "DiskFull",
        "make room on the engine's machine, for example with 'docker system prune'",
    ),
    (r"network \S+ not found|could not find network", "NetworkNotFound", "create it, or correct 'networks'"),
    (
        r"port is already allocated|address already in use|all ports are allocated",
        "PortTaken",
        "choose another port_range, or free the port",
    ),
    (
        r"executable file not found|\bexec:? .*no such file or directory",
        "CommandNotFound",
        "mend argv, or install it in the image",
    ),
    (r"\bexec:? .*permission denied", "CommandNotExecutable", "mend argv, or its permissions in the image"),
    (
        r"bind source path does not exist",
        "MountNotFound",
        "create it on the engine's machine, or correct 'volumes'",
    ),
    (r"could not select device driver|GPU vendor|nvidia", "NoGPU", "choose an engine with GPUs, or leave out 'gpus'"),
    (
        r"exec format error",
        "WrongPlatform",
        "choose an image of the engine's architecture, or set up emulation there",
    ),
    (
        r"lookup .*(no such host|server misbehaving|temporary failure)|connection refused|i/o timeout|TLS handshake"
        r"|request canceled|x509|server gave HTTP response to HTTPS client|no route to host|connection reset",
        "RegistryUnreachable",
        "check the registry's name and the engine's way to it",
    ),
)


def explain_refusal(words: str, container: Mapping[str, Any] | None = None) -> KernelStatus:
    """Turn the engine's own words into a status.

    Parameters
    ----------
    words
        What the engine said.
    container
        The container, where it exists already.
    """
    for pattern, reason, remedy in _REFUSALS:
        if re.search(pattern, words, re.IGNORECASE):
            if container is not None and reason in ("CommandNotFound", "CommandNotExecutable"):
                return _bad_command(container, executable=reason == "CommandNotFound")
            return KernelStatus(Phase.FAILED, reason=reason, message=f"{_plain(words)}; {remedy}")
    return KernelStatus(Phase.FAILED, reason="EngineRefused", message=f"the engine refused it: {_plain(words)}")


def refused(error: EngineRefusalError) -> KernelStatus:
    """Turn the engine's refusal into a status."""
    return explain_refusal(error.explanation)


def _plain(words: str, limit: int = 400) -> str:
    words = re.sub(r"\s+", " ", words).strip().rstrip(".;")
    return words if len(words) <= limit else words[: limit - 1] + "…"
