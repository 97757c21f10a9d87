"""`MemorySeal`: what must survive a host, sealed so that only this user's hosts are believed."""

from __future__ import annotations

from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.owner import HostIdentity
from remote_kernel_provider.resource import KernelMemory, KernelResource


class MemorySeal:
    """Seals kernels' memories, each to what it was written for.

    Parameters
    ----------
    identity
        This user's host identity, whose secret makes the seal.
    """

    def __init__(self, identity: HostIdentity) -> None:
        self._identity = identity

    def seal(self, subject: str, memory: KernelMemory) -> bytes:
        """Return a memory as it is kept.

        Parameters
        ----------
        subject
            The backend's own, unique id of what the kernel runs in: another's memory is not taken for its.
        memory
            What is sealed. It is not hidden by that: it holds keys.
        """
        content = memory.to_bytes()
        return self._identity.seal(_message(subject, content)).encode() + b"\n" + content

    def open(self, resource: KernelResource, subject: str, kept: bytes | None) -> KernelMemory:
        """Read what was kept of a kernel; None where nothing was.

        Raises
        ------
        KernelGoneError
            When there is nothing, or it is not what this user's host wrote for this subject.
        """
        if kept is None:
            raise KernelGoneError(f"nothing is kept of kernel {resource.kernel_id}; it cannot be adopted")
        seal, _, content = kept.partition(b"\n")
        if not self._identity.is_sealed(_message(subject, content), seal.decode(errors="replace")):
            raise KernelGoneError(f"what is kept of kernel {resource.kernel_id} was not written by this user's host")
        try:
            return KernelMemory.from_bytes(content)
        except ValueError as error:  # sealed by another version of ours
            raise KernelGoneError(f"kernel {resource.kernel_id} cannot be adopted: {error}") from None


def _message(subject: str, content: bytes) -> bytes:
    return subject.encode() + b"\0" + content
