"""What must survive the host: sealed, and kept in the kernel's container, where its user cannot read it."""

from __future__ import annotations

from docker_kernel_provider.archive import FOLDER, MEMORY_FILE, Entry
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.lifecycle import KernelMemory, KernelResource
from remote_kernel_provider.owner import HostIdentity


class SealedMemory:
    """Seals a kernel's memory to the container that it was written for.

    Parameters
    ----------
    identity
        This user's host identity, whose secret makes the seal.
    """

    def __init__(self, identity: HostIdentity) -> None:
        self._identity = identity

    def entries(self, container: str, memory: KernelMemory) -> list[Entry]:
        """Return the file of a memory, for the container with this id of the engine's."""
        return [Entry(FOLDER, 0o755), Entry(MEMORY_FILE, 0o600, content=self.seal(container, memory))]

    def seal(self, container: str, memory: KernelMemory) -> bytes:
        """Return the content of that file."""
        content = memory.to_bytes()
        return self._identity.seal(_message(container, content)).encode() + b"\n" + content

    def open(self, resource: KernelResource, container: str, content: bytes | None) -> KernelMemory:
        """Read a memory.

        Raises
        ------
        KernelGoneError
            When there is none, or it is not what this user's host wrote for this container.
        """
        if content is None:
            raise KernelGoneError(f"nothing is kept of kernel {resource.kernel_id}; it cannot be adopted")
        seal, _, text = content.partition(b"\n")
        if not self._identity.is_sealed(_message(container, text), seal.decode(errors="replace")):
            raise KernelGoneError(f"what is kept of kernel {resource.kernel_id} was not written by this user's host")
        try:
            return KernelMemory.from_bytes(text)
        except ValueError as error:  # sealed by another version of ours
            raise KernelGoneError(f"kernel {resource.kernel_id} cannot be adopted: {error}") from None


def _message(container: str, content: bytes) -> bytes:
    return container.encode() + b"\0" + content
