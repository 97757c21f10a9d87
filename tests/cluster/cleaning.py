"""Removing what the cluster's programs leave on the machine outside of its folder."""

import contextlib
import subprocess
from pathlib import Path

import packet_rules
from containment import remove_group

from cluster.configuration import BRIDGE, CONTROL_GROUP

CHAINS = ("KUBE-",)
"""How the chains begin that the kubelet and the proxy make."""
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")
CONTAINER_LOGS = Path("/var/log/containers")
"""Folders that the kubelet cannot be told to have elsewhere."""


def succeeds(*command: str) -> bool:
    """Run a command; whether it succeeded."""
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def mounts_under(root: Path) -> list[str]:
    """Return what is mounted below a folder, the deepest first."""
    targets = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((target for target in targets if target.startswith(f"{root}/")), reverse=True)


def remove_rules() -> None:
    """Remove the cluster's rules for packets and its chains, and the rules that lead to them."""
    packet_rules.remove_chains(CHAINS)
    packet_rules.remove_rules(lambda rule: BRIDGE in rule)


def remove_traces(root: Path) -> None:
    """Remove links into the cluster's folder, sockets and control groups."""
    if CONTAINER_LOGS.is_dir():
        for link in CONTAINER_LOGS.iterdir():
            if link.is_symlink() and str(link.readlink()).startswith(f"{root}/"):
                link.unlink()
    for name in ("kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"):
        (DEVICE_PLUGINS / name).unlink(missing_ok=True)
    for folder in (CONTAINER_LOGS, DEVICE_PLUGINS, DEVICE_PLUGINS.parent, Path("/run/containerd/runc/k8s.io")):
        with contextlib.suppress(OSError):  # not empty: somebody else's as well
            folder.rmdir()
    for group in ("kubepods", CONTROL_GROUP):
        remove_group(group)
