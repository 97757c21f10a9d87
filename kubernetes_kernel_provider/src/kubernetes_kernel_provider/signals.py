"""Sending a signal to a kernel's own process: by a command in its container, else by its launcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.commands import run_in_container
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.manifests.kernel import kernel_container
from remote_kernel_provider.connection.listener import tell_listener
from remote_kernel_provider.lifecycle import KernelMemory

# In a pod whose containers share their processes, `kill 1` would reach the pause process. A container's first process
# has its parent outside of the pod, as have commands like this one; it is the oldest of those that see this container's
# files. Only what a shell itself can do: an image need not have more.
_SCRIPT = """
oldest=
for folder in /proc/[0-9]*; do
  pid=${folder#/proc/}
  if [ "$pid" = $$ ] || ! [ "$folder/ns/mnt" -ef /proc/self/ns/mnt ]; then continue; fi
  parent=
  while read -r name value; do
    if [ "$name" = PPid: ]; then parent=$value; break; fi
  done <"$folder/status"
  if [ "$parent" != 0 ]; then continue; fi
  if [ -z "$oldest" ] || [ "$pid" -lt "$oldest" ]; then oldest=$pid; fi
done
[ -n "$oldest" ] && kill -"$1" "$2$oldest"
"""

_NO_COMMAND = "executable file not found"
"""What container runtimes say of a command that an image has not."""


def signalling_command(signum: int, container: Mapping[str, Any]) -> list[str]:
    """Return the command that sends a signal to the first process of a container, to be run in it.

    Parameters
    ----------
    signum
        The signal.
    container
        The kernel's, as the pod has it. With its image's own command, that may be a shell before the kernel: then the
        signal is for all of its process group.
    """
    whom = "" if container.get("command") else "-"
    return ["sh", "-c", _SCRIPT, "sh", str(int(signum)), whom]


async def send_signal(
    client: ClusterClient, path: str, pod: Document, signum: int, recall: Callable[[], Awaitable[KernelMemory]]
) -> None:
    """Send a signal to the kernel of a pod.

    Parameters
    ----------
    client
        Of the cluster.
    path, pod
        The pod's path in the API, and the pod.
    signum
        Number of the signal.
    recall
        Reads the kernel's memory, which tells whether its launcher takes signals.

    Raises
    ------
    ClusterError
        When neither way is open; says what to do.
    """
    try:
        await _run(client, path, pod, signum)
    except ClusterError as error:
        if not error.code:  # nobody answered; nothing is known of the pod
            raise
        port = (await recall()).comm_port
        address = pod["status"].get("podIP")
        if not port or not address:
            raise
        try:
            await tell_listener(address, port, signum)
        except OSError:
            raise error from None


async def _run(client: ClusterClient, path: str, pod: Document, signum: int) -> None:
    container: Document = kernel_container(pod["spec"]) or {}
    command = signalling_command(signum, container)
    try:
        code = await run_in_container(client, path, str(container.get("name", "")), command)
    except ClusterError as error:
        if _NO_COMMAND not in str(error):
            raise
        code = 127
    # A kernel that ends takes the command with it.
    if code not in (0, 128 + signum, 137):
        raise ClusterError(
            f"signal {signum} could not be sent (exit code {code}): the image needs a shell for it; let the spec say "
            "interrupt_mode: message",
            422,
        )
