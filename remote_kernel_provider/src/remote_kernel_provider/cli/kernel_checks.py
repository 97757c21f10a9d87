"""Whether the settings, the folders and the backends are usable, and whether dead programs left kernels."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from remote_kernel_provider.configuration import CONFIG_FILE, RemoteKernelSettings, load_settings
from remote_kernel_provider.errors import ConfigurationError, RemoteKernelError
from remote_kernel_provider.findings import PROBLEM, Finding, note, ok, problem
from remote_kernel_provider.host import LIFECYCLE_GROUP, Host, data_folder
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.sweep import find_orphans


def check_settings() -> tuple[RemoteKernelSettings, list[Finding]]:
    """Read the settings; where they cannot be read, the defaults."""
    try:
        return load_settings(), [ok("settings", f"{CONFIG_FILE} and environment are readable")]
    except ConfigurationError as error:
        remedy = f"mend or remove it; until then no kernel starts (settings: {CONFIG_FILE}.py, .json, RKP_*)"
        return RemoteKernelSettings(), [problem("settings", str(error), remedy)]


def check_host(settings: RemoteKernelSettings, used: Collection[str]) -> Iterator[Finding]:
    """Check the folders, then every backend that is installed.

    Parameters
    ----------
    settings
        The operator's.
    used
        Names of the lifecycle managers that kernel specs need.
    """
    data = data_folder(settings)
    folders = [_folder("data folder", data), _folder("runtime folder", Path(jupyter_runtime_dir()))]
    yield from folders
    secret = data / "host.json"
    if secret.exists() and _mode(secret) & 0o077:
        yield problem("host secret", f"{secret} can be read by others", f"chmod 600 {secret}")
    try:
        # Not this process's own: it must also work with settings that cannot be read.
        host = Host(settings)
    except (OSError, ValueError, KeyError) as error:
        remedy = (
            f"make it writable; if its content is damaged, remove {secret}: kernels of before cannot be adopted then"
        )
        yield problem("host identity", f"{data} cannot be used: {error}", remedy)
        return
    yield from PRIVATE_LOOP.run(_backends(host, used))


def _folder(subject: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        return problem(subject, f"{existing} is not writable", f"make it a folder that you may write to: {existing}")
    if existing == folder and _mode(folder) & 0o022:
        return problem(subject, f"{folder} can be written to by others", f"chmod go-w {folder}")
    return ok(subject, str(folder))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def _backends(host: Host, used: Collection[str]) -> list[Finding]:
    findings = []
    for point in sorted(entry_points(group=LIFECYCLE_GROUP), key=lambda point: point.name):
        distribution = point.dist.name if point.dist is not None else point.value
        findings += await _backend(host, point.name, distribution, used)
    await host.close()
    return findings


async def _backend(host: Host, name: str, distribution: str, used: Collection[str]) -> list[Finding]:
    subject = f"backend {name}"
    try:
        lifecycle = host.lifecycle(name)
    except RemoteKernelError as error:
        return [problem(subject, str(error), f"pip install --upgrade {distribution}, or uninstall it")]
    checked: list[Finding] = []
    described = ""
    try:
        described = await lifecycle.describe()
        checked = await lifecycle.check()
        orphans = await find_orphans(host, [lifecycle])
    except (RemoteKernelError, OSError) as error:
        if any(finding.state == PROBLEM for finding in checked):  # what to mend is said already
            return [ok(subject, f"{described}, by {distribution}"), *checked]
        if name not in used:
            return [note(subject, f"cannot be reached, and no kernel spec needs it: {error}")]
        return [problem(subject, f"cannot be reached: {error}", "start it, or correct where it is looked for")]
    findings = [ok(subject, f"{described or 'reachable'}, by {distribution}"), *checked]
    if orphans:
        seen = f"{len(orphans)} kernel(s) of dead programs"
        findings.append(note(subject, seen, "jupyter remote-kernel sweep"))
    return findings
