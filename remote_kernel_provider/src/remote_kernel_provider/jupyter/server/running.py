"""The running kernels of one user, this server's and all others', and what can be done with them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from jupyter_core.utils import ensure_async

from remote_kernel_provider.errors import ConfigurationError, KernelGoneError, RemoteKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.jupyter.server.kernel_manager import RemoteServerKernelManager
from remote_kernel_provider.jupyter.server.launches import shortened
from remote_kernel_provider.jupyter.server.models import Detail, Names, kernel_model
from remote_kernel_provider.jupyter.server.refusal import RefusalError
from remote_kernel_provider.jupyter.server.survival import Left, adopt_kernel, host_of
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.owner import ALIVE, DEAD, OwnerSelector
from remote_kernel_provider.private_loop import PRIVATE_LOOP, within
from remote_kernel_provider.running import FIND_DEADLINE, FoundKernel, ask_all, find_running, look, stop
from remote_kernel_provider.sweep import Orphan, delete_orphans, find_orphans

ADOPTION_DEADLINE = 30.0
"""Seconds after which an adoption that somebody asked for is given up."""

MOST_MEMORIES = 500
"""Kernels whose memory is not read again."""

T = TypeVar("T")

Found = list[tuple[FoundKernel, Detail]]


class RunningKernels:
    """The kernels of all backends that one server has to do with.

    Every method is for one user, and knows no other's kernels. Lives on the server's loop; what is asked of backends
    runs on the private one.

    Parameters
    ----------
    server
        The server application, whose mapping kernel manager is ours.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._mapping = server.kernel_manager
        self._adopting: set[str] = set()
        self._memories: OrderedDict[str, Mapping[str, Any]] = OrderedDict()

    async def listed(self, user: str) -> dict[str, Any]:
        """Return the models of the user's kernels, and a sentence for each backend that does not answer."""
        found, problems = await self._find(user)
        return {"kernels": await self._models(user, found), "problems": problems}

    async def logs(self, user: str, kernel_id: str, tail: int) -> dict[str, str]:
        """Return the end of a kernel's output; of one that ended badly what is kept of it, and why it ended.

        Raises
        ------
        RefusalError
            404, when the user has no such kernel; 503, when its backend does not answer.
        """
        words = self._mapping.launches.last_words(kernel_id)
        if words is not None and words.user != user:
            words = None
        kernel = self._here(user, kernel_id)
        if words is not None and (kernel is None or not kernel.has_kernel or kernel.starting):
            return {"logs": "\n".join(words.logs.splitlines()[-tail:]), "message": words.message}
        resource = (await self._one(user, kernel_id))[0].resource
        text = await self._within(_logs(host_of(self._server), resource, tail))
        return {"logs": shortened(text), "message": words.message if words is not None else ""}

    async def delete(self, user: str, kernel_id: str) -> None:
        """End a kernel of the user's, wherever it is, and remove all that is left of it.

        Raises
        ------
        RefusalError
            404, when the user has no such kernel.
        """
        if self._here(user, kernel_id) is not None:
            await ensure_async(self._mapping.shutdown_kernel(kernel_id))
        else:
            resources = [found.resource for found, _ in await self._all_of(user, kernel_id)]
            await self._called(stop(host_of(self._server), resources))

    async def adopt(self, user: str, kernel_id: str) -> dict[str, Any]:
        """Take over a kernel that a dead program left; return its model.

        Raises
        ------
        RefusalError
            404, when the user has no such kernel; 409, when it is not to be had; 503, when its backend does not answer.
        """
        if self._here(user, kernel_id) is not None:
            raise RefusalError(409, "the kernel cannot be adopted: it is this server's own already")
        found, detail = await self._one(user, kernel_id)
        if kernel_id in self._adopting or kernel_id in self._mapping:
            raise RefusalError(409, "the kernel cannot be adopted: it is being adopted; look again")
        if found.host != DEAD:
            why = "its program lives; end it there, or stop the kernel" if found.host == ALIVE else "no program left it"
            raise RefusalError(409, f"the kernel cannot be adopted: {why}")
        self._adopting.add(kernel_id)
        try:
            await self._take_over(found.resource, detail)
        finally:
            self._adopting.discard(kernel_id)
        return (await self._models(user, [await self._one(user, kernel_id)]))[0]

    async def _take_over(self, resource: KernelResource, detail: Detail) -> None:
        name = self._names().of(resource.kernel_name, detail.request.get("listed_as", ""))[0]
        if not name:
            raise RefusalError(
                409, f"the kernel cannot be adopted: no kernel spec here leads to '{resource.kernel_name}'"
            )
        host, instance = host_of(self._server), resource.owner.instance
        # While we hold its name, the dead program does not come back, and nobody else adopts what it left.
        if not await asyncio.to_thread(host.identity.try_to_hold, instance):
            raise RefusalError(409, "the kernel cannot be adopted: another program of yours takes it over; look again")
        try:
            own = OwnerSelector(host_id=host.identity.host_id, instance=instance)
            left = await self._within(host.lifecycle(resource.lifecycle).find(own))
            if resource.id not in [each.id for each in left]:
                raise RefusalError(409, "the kernel cannot be adopted: it is not there any more; look again")
            adopting = adopt_kernel(self._mapping, Left(resource, {**detail.request, "listed_as": name}))
            await within(ADOPTION_DEADLINE, adopting)
        except asyncio.TimeoutError:
            raise RefusalError(
                503, "the kernel was not adopted: its backend did not answer in time; try again"
            ) from None
        except RemoteKernelError as error:
            raise RefusalError(409, f"the kernel cannot be adopted: {error}") from None
        finally:
            host.identity.release(instance)

    async def sweep(self, user: str, *, dry_run: bool) -> dict[str, Any]:
        """Remove what proven-dead programs of the user left, but what a server may still come back for."""
        host, backends = host_of(self._server), self._backends()
        orphans, problems = await self._called(_orphans(host, backends, user))
        doomed = [orphan for orphan in orphans if not orphan.adoptable]
        swept = await self._described(user, [orphan.resource for orphan in doomed])
        kept = await self._described(user, [orphan.resource for orphan in orphans if orphan.adoptable])
        if not dry_run:
            problems += await self._called(_delete(host, doomed))
            problems += await self._called(_clear(host, backends))
        return {
            "swept": swept,
            "kept": [{**model, "why": "its server may come back for it"} for model in kept],
            "problems": problems,
        }

    async def _described(self, user: str, resources: Sequence[KernelResource]) -> list[dict[str, Any]]:
        return await self._models(user, await self._called(self._look(resources)))

    def _here(self, user: str, kernel_id: str) -> RemoteServerKernelManager | None:
        kernel: RemoteServerKernelManager | None = self._mapping.remote(kernel_id)
        return kernel if kernel is not None and kernel.user == user else None

    def _names(self) -> Names:
        return Names(self._server.kernel_spec_manager.get_all_specs())

    def _backends(self) -> set[str]:
        backends: set[str] = self._server.kernel_spec_manager.lifecycle_managers()
        return backends

    async def _one(self, user: str, kernel_id: str) -> tuple[FoundKernel, Detail]:
        """Return the newest kernel of an id."""
        return (await self._all_of(user, kernel_id))[-1]

    async def _all_of(self, user: str, kernel_id: str) -> Found:
        found, problems = await self._find(user, kernel_id)
        if not found and problems:
            raise RefusalError(503, problems[0])
        if not found:
            raise RefusalError(404, f"there is no kernel '{kernel_id[:100]}' of yours; look again")
        return found

    async def _find(self, user: str, kernel_id: str = "") -> tuple[Found, list[str]]:
        host = host_of(self._server)
        return await self._called(self._ask(host, self._backends(), user, kernel_id))

    async def _ask(self, host: Host, backends: set[str], user: str, kernel_id: str) -> tuple[Found, list[str]]:
        selector = OwnerSelector(user=user, host_id=host.identity.host_id)
        found, problems = await find_running(_lifecycles(host, backends), selector, FIND_DEADLINE)
        wanted = [each for each in found if kernel_id in ("", each.resource.kernel_id)]
        return await self._detailed(host, wanted), problems

    async def _look(self, resources: Sequence[KernelResource]) -> Found:
        host = host_of(self._server)
        found = [look(host.lifecycle(resource.lifecycle), resource) for resource in resources]
        return await self._detailed(host, await asyncio.gather(*found))

    async def _detailed(self, host: Host, found: Sequence[FoundKernel]) -> Found:
        details = await asyncio.gather(*(self._detail(host, kernel.resource) for kernel in found))
        return [*zip(found, details, strict=True)]

    async def _detail(self, host: Host, resource: KernelResource) -> Detail:
        lifecycle = host.lifecycle(resource.lifecycle)
        memory = await self._memory(lifecycle, resource)
        return Detail(await lifecycle.place(resource), memory.get("limits", {}), memory.get("request", {}))

    async def _memory(self, lifecycle: LifecycleManager, resource: KernelResource) -> Mapping[str, Any]:
        """Return what the launch of a kernel left behind; it is read once, as it does not change."""
        if resource.id not in self._memories:
            # A launch may not have come that far, and a backend not answer: the list goes on without.
            with suppress(asyncio.TimeoutError, RemoteKernelError, OSError):
                memory = await within(FIND_DEADLINE, lifecycle.recall(resource))
                self._memories[resource.id] = {name: memory.arguments.get(name, {}) for name in ("limits", "request")}
            while len(self._memories) > MOST_MEMORIES:
                self._memories.popitem(last=False)
        return self._memories.get(resource.id, {})

    async def _models(self, user: str, found: Found) -> list[dict[str, Any]]:
        names, paths = self._names(), await self.paths()
        models = []
        for kernel, detail in found:
            kernel_id = kernel.resource.kernel_id
            here = self._here(user, kernel_id)
            state = None if here is None else here.execution_state
            path = "" if here is None else paths.get(kernel_id, "")
            models.append(kernel_model(kernel, detail, names, execution_state=state, path=path, here=here is not None))
        return models

    async def paths(self) -> dict[str, str]:
        """Return the path of the notebook of each kernel that has one."""
        sessions = await ensure_async(self._server.session_manager.list_sessions())
        return {session["kernel"]["id"]: session["path"] for session in sessions}

    async def _within(self, asking: Coroutine[Any, Any, T]) -> T:
        """Ask a backend, which has to answer in time."""
        return await self._called(within(FIND_DEADLINE, asking))

    async def _called(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await PRIVATE_LOOP.call(asking)
        except asyncio.TimeoutError:
            raise RefusalError(
                503, f"the kernel's backend did not answer within {FIND_DEADLINE:g} s; try again"
            ) from None
        except KernelGoneError as error:
            raise RefusalError(404, f"the kernel is not there any more: {error}") from None
        except (RemoteKernelError, OSError) as error:
            raise RefusalError(503, f"the kernel's backend cannot be reached: {error}") from None


def _lifecycles(host: Host, backends: set[str]) -> dict[str, LifecycleManager]:
    """Return the backends in use, and those that can have kernels of what is offered; on the private loop."""
    found = {lifecycle.name: lifecycle for lifecycle in host.active_lifecycles()}
    for name in sorted(backends - found.keys()):
        with suppress(ConfigurationError):  # it is not installed: nothing of it can run here
            found[name] = host.lifecycle(name)
    return found


async def _logs(host: Host, resource: KernelResource, tail: int) -> str:
    return await host.lifecycle(resource.lifecycle).logs(resource, tail)


async def _orphans(host: Host, backends: set[str], user: str) -> tuple[list[Orphan], list[str]]:
    lifecycles = _lifecycles(host, backends)
    orphans, problems = await ask_all(lifecycles, lambda lifecycle: find_orphans(host, [lifecycle]), FIND_DEADLINE)
    return [orphan for orphan in orphans if orphan.resource.owner.user == user], problems


async def _delete(host: Host, orphans: Sequence[Orphan]) -> list[str]:
    """Delete what dead programs left; return a sentence for each that cannot be."""
    outcomes = zip(orphans, await delete_orphans(host, orphans), strict=True)
    return [f"kernel {orphan.resource.kernel_id} cannot be swept: {error}" for orphan, error in outcomes if error]


async def _clear(host: Host, backends: set[str]) -> list[str]:
    """Remove what dead programs left beside their kernels; return a sentence for each backend that did not answer."""
    lifecycles = _lifecycles(host, backends)
    return (await ask_all(lifecycles, lambda lifecycle: lifecycle.clear(dry_run=False), FIND_DEADLINE))[1]
