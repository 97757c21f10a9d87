"""What could not be removed while the cluster was away is removed when it answers again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClientClosedError
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.private_loop import end_task

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two attempts; each pause doubles, up to the longest."""


class Overdue:
    """Removals that are tried until the cluster answers, for as long as this host lives; then the sweep does them."""

    def __init__(self) -> None:
        self._removing: dict[str, asyncio.Task[None]] = {}

    def add(self, what: str, remove: Callable[[], Awaitable[object]]) -> None:
        """Remove something later.

        Parameters
        ----------
        what
            Its path in the API; nothing is removed twice at a time.
        remove
            Raises `ClusterError` with code 0 where nobody answered.
        """
        if what not in self._removing:
            removing = self._removing[what] = asyncio.get_running_loop().create_task(_until_done(what, remove))
            removing.add_done_callback(lambda _: self._removing.pop(what, None))

    async def close(self) -> None:
        """Try no more."""
        await asyncio.gather(*(end_task(removing) for removing in list(self._removing.values())))


async def _until_done(what: str, remove: Callable[[], Awaitable[object]]) -> None:
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        await backoff.pause()
        try:
            await remove()
        except ClientClosedError:
            return
        except RemoteKernelError as error:
            # An API server that has just started answers 403, 429 or 503 for a moment; a plugin may want a login.
            log.info("%s is not removed yet: %s", what, error)
        else:
            return
