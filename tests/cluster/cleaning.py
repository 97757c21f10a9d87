"""Removing what the cluster's programs leave on the machine outside of its folder."""

import contextlib
import subprocess
from pathlib import Path

from containment import remove_group
from packet_rules import remove_chains

from cluster.configuration import CONTROL_GROUP

CHAINS = ("KUBE-", "CNI-HOSTPORT", "CNI-DN-", "CNI-SN-")
"""How the chains begin that the kubelet, the proxy and the port mapping make."""
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
    """Remove the cluster's chains, and the rules that lead to them."""
    remove_chains(CHAINS)
    _remove_firewall_chains()


def _remove_firewall_chains() -> None:
    """Remove the chains of the CNI plugin `firewall`, unless somebody else's containers have rules in them."""
    listed = subprocess.run(["iptables", "-S", "CNI-FORWARD"], capture_output=True, text=True, check=False).stdout
    rules = [line for line in listed.splitlines() if line.startswith("-A")]
    if rules and all("CNI-ADMIN" in rule for rule in rules):
        comment = ("-m", "comment", "--comment", "CNI firewall plugin rules")
        succeeds("iptables", "-D", "FORWARD", *comment, "-j", "CNI-FORWARD")
        for step in ("-F", "-X"):
            succeeds("iptables", step, "CNI-FORWARD")
        succeeds("iptables", "-X", "CNI-ADMIN")


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
