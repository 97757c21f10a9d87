"""The volumes that parameters ask for, within the operator's policy, and those that are ours."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes_kernel_provider.names import is_dns_label
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import ParameterError, RefusedError
from remote_kernel_provider.kernelspecs.config_keys import nearest

OUR_PREFIX = "remote-kernel-"
"""What the names of our own volumes, and of the connection Secrets, begin with."""

SHARED_MEMORY = "/dev/shm"
_SHARED_MEMORY_VOLUME = f"{OUR_PREFIX}shm"


def add_volumes(
    spec: dict[str, Any], container: dict[str, Any], config: Mapping[str, Any], settings: RemoteKernelSettings
) -> None:
    """Add the volumes and mounts that parameters ask for; the template may have printed them already.

    Raises
    ------
    RefusedError
        When the operator does not allow a volume's type.
    ParameterError
        When one is malformed, or mounts what is not there.
    """
    volumes = spec.setdefault("volumes", [])
    for volume in config.get("volumes", []):
        _check_volume(volume, settings)
        if volume not in volumes:
            if any(other.get("name") == volume["name"] for other in volumes):
                raise _wrong("volumes", f"has a '{volume['name']}', which the pod has already; choose another name")
            volumes.append(volume)
    mounts = container.setdefault("volumeMounts", [])
    for mount in config.get("volume_mounts", []):
        _check_mount(mount, [str(volume.get("name")) for volume in volumes])
        if mount not in mounts:
            if any(_folder(other) == _folder(mount) for other in mounts):
                raise _wrong(
                    "volume_mounts", f"mounts '{mount['mountPath']}', which is mounted already; choose another"
                )
            mounts.append(mount)
    if "shm_size" in config:
        mounts[:] = [mount for mount in mounts if _folder(mount) != SHARED_MEMORY]
        memory = {"medium": "Memory", "sizeLimit": config["shm_size"]}
        add_own(spec, container, _SHARED_MEMORY_VOLUME, {"emptyDir": memory}, SHARED_MEMORY)


def add_own(spec: dict[str, Any], container: dict[str, Any], name: str, source: Any, folder: str, **how: Any) -> None:
    """Add a volume of ours and mount it."""
    spec.setdefault("volumes", []).append({"name": name, **source})
    container.setdefault("volumeMounts", []).append({"name": name, "mountPath": folder, **how})


def _check_volume(volume: Any, settings: RemoteKernelSettings) -> None:
    if not isinstance(volume, dict) or not isinstance(volume.get("name"), str):
        raise _wrong("volumes", "has an entry without a text 'name'; give it one")
    name = volume["name"]
    if not is_dns_label(name):
        raise _wrong("volumes", f"has the name {name[:80]!r}; expected at most 63 small letters, digits and '-'")
    if name.startswith(OUR_PREFIX):
        raise _wrong("volumes", f"has the name '{name}', which is ours; choose another")
    types = [key for key in volume if key != "name"]
    if len(types) != 1:
        raise _wrong("volumes", f"has '{name}' with {', '.join(types) or 'no type'}; give it one type")
    if types[0] not in settings.allowed_volume_types:
        allowed = ", ".join(settings.allowed_volume_types) or "none"
        raise RefusedError(
            f"volume '{name}' is refused: it is a {types[0]}{nearest(types[0], settings.allowed_volume_types)}; the "
            f"operator allows {allowed} (allowed_volume_types)",
            parameter="volumes",
        )
    if any(text.startswith(OUR_PREFIX) for text in _texts(volume)):
        raise RefusedError(
            f"volume '{name}' is refused: it names a Secret with the keys of a kernel", parameter="volumes"
        )


def _texts(source: Any) -> Iterator[str]:
    """Yield all texts in a volume, wherever they stand."""
    if isinstance(source, str):
        yield source
    elif isinstance(source, (list, dict)):
        for item in source.values() if isinstance(source, dict) else source:
            yield from _texts(item)


def _check_mount(mount: Any, volumes: list[str]) -> None:
    if not isinstance(mount, dict) or not all(isinstance(mount.get(key), str) for key in ("name", "mountPath")):
        raise _wrong("volume_mounts", "has an entry without the texts 'name' and 'mountPath'; give it both")
    if mount["name"] not in volumes:
        raise _wrong("volume_mounts", f"mounts '{mount['name']}', which is no volume{nearest(mount['name'], volumes)}")
    folder = mount["mountPath"]
    if not folder.startswith("/") or ":" in folder or ".." in folder.split("/"):
        raise _wrong("volume_mounts", f"has the mountPath {folder!r}; expected an absolute path without ':' and '..'")


def _folder(mount: Mapping[str, Any]) -> str:
    return posixpath.normpath(str(mount.get("mountPath")))


def _wrong(parameter: str, message: str) -> ParameterError:
    return ParameterError(f"parameter '{parameter}' {message}", parameter=parameter)
