"""`SecretMemory`: what must survive a kernel's host, in the connection Secret of its pod."""

from __future__ import annotations

from kubernetes_kernel_provider.client.api import ClusterClient, Document
from kubernetes_kernel_provider.client.errors import ClusterError
from kubernetes_kernel_provider.creation import Creator
from kubernetes_kernel_provider.manifests import connection_secret, kept_memory
from kubernetes_kernel_provider.paths import secret_path
from remote_kernel_provider.errors import KernelGoneError
from remote_kernel_provider.lifecycle import KernelMemory, KernelResource
from remote_kernel_provider.owner import HostIdentity
from remote_kernel_provider.sealing import MemorySeal

CONFLICT = 409


class SecretMemory:
    """Writes and reads what is kept of kernels.

    Parameters
    ----------
    client, creator
        Of the cluster.
    identity
        This user's host identity, which seals it.
    """

    def __init__(self, client: ClusterClient, creator: Creator, identity: HostIdentity) -> None:
        self._client = client
        self._creator = creator
        self._seal = MemorySeal(identity)

    async def keep(self, resource: KernelResource, pod: Document, memory: KernelMemory) -> None:
        """Create the Secret of a kernel's pod; does nothing where an attempt whose answer was lost has created it.

        Parameters
        ----------
        resource
            The kernel.
        pod
            As the cluster has it.
        memory
            What is kept.
        """
        kept = self._seal.seal(resource.id, memory)
        try:
            await self._creator.create(connection_secret(pod, resource.id, memory.connection, kept))
        except ClusterError as error:
            if error.code != CONFLICT or not await self._is_kept(resource, memory):
                raise

    async def _is_kept(self, resource: KernelResource, memory: KernelMemory) -> bool:
        try:
            return (await self.recall(resource)).to_bytes() == memory.to_bytes()
        except KernelGoneError:
            return False

    async def recall(self, resource: KernelResource) -> KernelMemory:
        """Read what is kept of a kernel.

        Raises
        ------
        KernelGoneError
            When nothing is kept, or it is not what this user's host wrote.
        """
        try:
            kept = kept_memory(await self._client.request("GET", secret_path(resource)))
        except ClusterError as error:
            if not error.is_missing:
                raise
            kept = None
        return self._seal.open(resource, resource.id, kept)
