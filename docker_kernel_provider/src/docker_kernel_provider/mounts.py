"""Volumes and paths that are mounted into a kernel's container, and which of them the operator allows."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker_kernel_provider.archive import FOLDER
from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.quantity import parse_quantity

_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FORM = 'expected "volume:/path", "/path/there:/path" (each with or without ":ro"), or {"type": "tmpfs", "target": …}'


@dataclass(frozen=True)
class Mount:
    """One mount.

    Parameters
    ----------
    kind
        `volume`, `bind` (a path of the engine's machine) or `tmpfs`.
    source
        The volume or the path; empty for `tmpfs`.
    target
        Where it is in the container.
    read_only
        Whether the kernel may not write to it.
    size
        Bytes of a `tmpfs`; 0 = no limit of its own.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False
    size: int = 0

    def to_api(self) -> dict[str, Any]:
        """Return it as the engine's API has it."""
        mount = {"Type": self.kind, "Source": self.source, "Target": self.target, "ReadOnly": self.read_only}
        if self.size:
            mount["TmpfsOptions"] = {"SizeBytes": self.size}
        return mount


def parse_mounts(volumes: Sequence[Any]) -> list[Mount]:
    """Read the parameter `volumes`.

    Raises
    ------
    ParameterError
        When an entry is malformed.
    """
    mounts = [_parse(entry) for entry in volumes]
    for mount in mounts:
        if not mount.target.startswith("/") or posixpath.normpath(mount.target) != mount.target.rstrip("/"):
            raise ParameterError(f"volumes: '{mount.target}' is no path in the container; {_FORM}")
        if _holds(mount.target, FOLDER) or _holds(FOLDER, mount.target):
            raise ParameterError(f"volumes: nothing can be mounted on '{mount.target}', which would hide {FOLDER}")
    return mounts


def _parse(entry: Any) -> Mount:
    if isinstance(entry, str):
        source, _, rest = entry.partition(":")
        target, _, mode = rest.partition(":")
        if mode not in ("", "ro", "rw"):
            raise ParameterError(f"volumes: '{entry}' ends in ':{mode}'; {_FORM}")
        return _mount("", source, target, mode == "ro", 0)
    if isinstance(entry, Mapping):
        fields = {str(name).lower().replace("readonly", "read_only"): value for name, value in entry.items()}
        unknown = set(fields) - {"type", "source", "target", "read_only", "size"}
        if unknown:
            raise ParameterError(f"volumes: an entry has the unknown key '{min(unknown)}'; {_FORM}")
        try:
            size = int(parse_quantity(str(fields["size"]))) if "size" in fields else 0
        except ValueError as error:
            raise ParameterError(f"volumes: its size is {fields['size']!r}; expected {error}") from None
        kind, source, target = (str(fields.get(name, "")) for name in ("type", "source", "target"))
        return _mount(kind, source, target, fields.get("read_only") is True, size)
    raise ParameterError(f"volumes: an entry is {entry!r}; {_FORM}")


def _mount(kind: str, source: str, target: str, read_only: bool, size: int) -> Mount:
    kind = kind or ("bind" if source.startswith("/") else "volume")
    right = {
        "bind": source.startswith("/") and posixpath.normpath(source) == (source.rstrip("/") or "/"),
        "volume": _VOLUME.fullmatch(source) is not None,
        "tmpfs": not source,
    }
    if not right.get(kind):
        raise ParameterError(f"volumes: '{source}' is no source of type '{kind}'; {_FORM}")
    return Mount(kind, source, target, read_only, size)


def check_mounts(mounts: Sequence[Mount], allowed: Sequence[str], user: str) -> None:
    """Check mounts against the operator's list.

    Raises
    ------
    RefusedError
        Names the mount and the setting that allows it.
    """
    for mount in mounts:
        if mount.kind != "tmpfs" and not any(_allows(pattern, mount, user) for pattern in allowed):
            what = "path of the engine's machine" if mount.kind == "bind" else "volume"
            raise RefusedError(
                f"the {what} '{mount.source}' is refused{'' if mount.read_only else ' for writing'}: the setting "
                f"docker_volumes allows {', '.join(allowed) or 'none'}; leave it out, or ask the operator"
            )


def _allows(pattern: str, mount: Mount, user: str) -> bool:
    if pattern.endswith(":ro"):
        if not mount.read_only:
            return False
        pattern = pattern.removesuffix(":ro")
    if "{username}" in pattern:
        if not _VOLUME.fullmatch(user):
            return False  # a name such as '../ada' or '*' means more than itself
        pattern = pattern.replace("{username}", user)
    source = mount.source.rstrip("/") or "/"
    if mount.kind == "bind" and any(_holds(source, socket) for socket in _SOCKETS):
        return pattern == source
    # A pattern of volumes never means a path.
    return pattern.startswith("/") == (mount.kind == "bind") and fnmatch.fnmatchcase(source, pattern)


def _holds(folder: str, path: str) -> bool:
    folder = folder.rstrip("/") + "/"
    return (path.rstrip("/") + "/").startswith(folder)
