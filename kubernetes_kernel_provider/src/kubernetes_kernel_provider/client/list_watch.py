"""`ListWatch`: what a collection of the cluster holds, and each change of it, for as long as somebody wants to know."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubernetes_kernel_provider.client.api import ClusterClient, Document, Query
from kubernetes_kernel_provider.client.errors import ClusterError
from remote_kernel_provider.private_loop import end_task

log = logging.getLogger(__name__)

T = TypeVar("T")
Read = Callable[[Document, bool], T]


@dataclass(frozen=True)
class Change(Generic[T]):
    """What is heard of one object.

    Parameters
    ----------
    key
        Its uid; what the follower asked for, where `value` is an error.
    value
        What it is now; None = it is gone; an error = the cluster refuses to let it be watched.
    """

    key: str
    value: T | ClusterError | None


Changes = asyncio.Queue[Change[Any]]
"""What a follower reads; one queue can take the changes of several collections."""

EVERYTHING = "*"
"""The key of whoever follows all objects of a collection."""

SILENCE = 130.0
"""Seconds without a line after which a watch counts as broken: the cluster sends a bookmark about every 60."""
PAGE = 500
"""Objects of one answer to a list."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0
"""Seconds between the end of a watch and the next one; each pause doubles, up to the longest."""
SETTLED = 5.0
"""Seconds after which a watch counts as having worked, so that the pauses begin anew."""


class ListWatch(Generic[T]):
    """Lists a collection once and then follows it, over whatever breaks in between.

    Kept of each object is only what `read` makes of it. The watch runs while somebody follows, and not longer.

    Parameters
    ----------
    client
        Of the cluster.
    path
        Of the collection.
    selector
        `labelSelector` or `fieldSelector`, and its value.
    read
        Makes of an object what followers are given; told whether it was just deleted, so that this is the last of it.
    """

    def __init__(
        self,
        client: ClusterClient,
        path: str,
        selector: dict[str, str],
        read: Read[T],
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._read = read
        self._known: dict[str, T] = {}
        self._followers: dict[str, set[Changes]] = {}
        self._synchronized = False
        self._running: asyncio.Task[None] | None = None

    def known(self, key: str) -> T | None:
        """Return what is known of an object right now, if anything."""
        return self._known.get(key)

    @asynccontextmanager
    async def follow(self, key: str, changes: Changes) -> AsyncIterator[None]:
        """Put what is known of one object, and then each change of it, into a queue.

        Nothing comes of an object that was gone before: whoever follows has to ask once for himself.

        Parameters
        ----------
        key
            The object's uid, or `EVERYTHING`.
        changes
            The follower's queue.
        """
        for known in list(self._known) if key == EVERYTHING else [key]:
            if known in self._known:
                changes.put_nowait(Change(known, self._known[known]))
        self._followers.setdefault(key, set()).add(changes)
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._run())
        try:
            yield
        finally:
            self._followers[key].discard(changes)
            if not self._followers[key]:
                del self._followers[key]
            if not self._followers:
                await self.close()

    @property
    def is_followed(self) -> bool:
        """Whether anybody follows."""
        return bool(self._followers)

    async def close(self) -> None:
        """Stop watching."""
        running, self._running = self._running, None
        self._known, self._synchronized = {}, False
        if running is not None:
            await end_task(running)

    async def _run(self) -> None:
        version, pause = "", FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                version = version or await self._list()
                async for reached in self._watch(version):
                    version = reached
                    if time.monotonic() - began > SETTLED:
                        pause = FIRST_PAUSE
            except ClusterError as error:
                if error.is_refusal and not self._synchronized:
                    self._tell_all(error)
                if error.is_outdated:
                    version = ""
                log.log(
                    logging.DEBUG if error.is_outdated else logging.INFO, "The watch of %s broke: %s", self._path, error
                )
            except Exception:  # whatever it is: a task that ended would leave every kernel's end unnoticed
                log.exception("The watch of %s failed; it starts again from a list.", self._path)
                version = ""
            # After every end: a server can answer 200 and close, again and again. Not all hosts at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # no secret
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _list(self) -> str:
        """Take in the whole collection; return the version from which to watch."""
        # Who begins to follow later may wait for an object that is younger than this list.
        expected = set(self._followers) - {EVERYTHING}
        listed: set[str] = set()
        page = version = ""
        while True:
            query: Query = {**self._selector, "limit": PAGE, **({"continue": page} if page else {})}
            answer = await self._client.request("GET", self._path, query=query)
            for item in answer.get("items") or ():
                listed.add(self._take(item))
            version, page = str(answer["metadata"]["resourceVersion"]), answer["metadata"].get("continue", "")
            if not page:
                break
        for gone in (set(self._known) | expected) - listed:
            self._known.pop(gone, None)
            self._tell(gone, None)
        return version

    async def _watch(self, version: str) -> AsyncIterator[str]:
        """Take in each change; yield the version that it leads to."""
        query = {**self._selector, "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
        async with self._client.stream(self._path, query=query, silence=SILENCE) as changes:
            self._synchronized = True
            async for change in changes:
                kind, item = change["type"], change["object"]
                if kind == "ERROR":
                    raise ClusterError.from_status(item, 500)
                if kind == "DELETED":
                    key = item["metadata"]["uid"]
                    self._known.pop(key, None)
                    self._tell(key, self._read(item, True))
                    self._tell(key, None)
                elif kind != "BOOKMARK":
                    self._take(item)
                yield str(item["metadata"]["resourceVersion"])

    def _take(self, item: Document) -> str:
        key = str(item["metadata"]["uid"])
        value = self._read(item, False)
        if key not in self._known or self._known[key] != value:
            self._known[key] = value
            self._tell(key, value)
        return key

    def _tell(self, key: str, value: T | None) -> None:
        for changes in self._followers.get(key, set()) | self._followers.get(EVERYTHING, set()):
            changes.put_nowait(Change(key, value))

    def _tell_all(self, error: ClusterError) -> None:
        for key, followers in self._followers.items():
            for changes in followers:
                changes.put_nowait(Change(key, error))
