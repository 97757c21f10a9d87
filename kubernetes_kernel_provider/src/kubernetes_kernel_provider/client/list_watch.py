"""`ListWatch`: what a collection of the cluster holds, and each change of it, for as long as somebody wants to know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kubernetes_kernel_provider.client.api import ClusterClient, Document, Query
from kubernetes_kernel_provider.client.backoff import Backoff
from kubernetes_kernel_provider.client.errors import ClientClosedError, ClusterError
from remote_kernel_provider.private_loop import end_task

log = logging.getLogger(__name__)

T = TypeVar("T")
Read = Callable[[Document, bool, T | None], T]
Key = Callable[[Document], str]


@dataclass(frozen=True)
class Change(Generic[T]):
    """What is heard of one object.

    Parameters
    ----------
    key
        Its key, the uid as a rule; what the follower asked for, where `value` is an error.
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


def uid_of(item: Document) -> str:
    """Return what tells an object from all others, of before and after too."""
    return str(item["metadata"]["uid"])


class ListWatch(Generic[T]):
    """Lists a collection once and then follows it, over whatever breaks in between.

    Kept is only what `read` makes of the objects of each key. The watch runs while somebody follows, and not longer.

    Parameters
    ----------
    client
        Of the cluster.
    path
        Of the collection.
    selector
        `labelSelector` or `fieldSelector`, and its value.
    read
        Makes of an object, and of what is known under its key, what followers are given; told whether the object was
        just deleted, so that this is the last of it.
    key
        Of an object: what its followers name. Several objects can have the same.
    """

    def __init__(
        self,
        client: ClusterClient,
        path: str,
        selector: dict[str, str],
        read: Read[T],
        key: Key = uid_of,
    ) -> None:
        self._client = client
        self._path = path
        self._selector = selector
        self._read = read
        self._key = key
        self._known: dict[str, T] = {}
        self._followers: dict[str, set[Changes]] = {}
        self._synchronized = False
        self._refusal: ClusterError | None = None
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
            The object's, or `EVERYTHING`.
        changes
            The follower's queue.
        """
        for known in list(self._known) if key == EVERYTHING else [key]:
            if known in self._known:
                changes.put_nowait(Change(known, self._known[known]))
        if self._refusal is not None:
            changes.put_nowait(Change(key, self._refusal))
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
        self._known, self._synchronized, self._refusal = {}, False, None
        if running is not None:
            await end_task(running)

    async def _run(self) -> None:
        version, backoff = "", Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            began = time.monotonic()
            try:
                version = version or await self._list()
                async for reached in self._watch(version):
                    version = reached
                    if time.monotonic() - began > SETTLED:
                        backoff.reset()
            except ClientClosedError:
                return
            except ClusterError as error:
                if error.is_refusal and not self._synchronized:
                    self._refuse(error)
                if error.is_outdated:
                    version = ""
                log.log(
                    logging.DEBUG if error.is_outdated else logging.INFO, "The watch of %s broke: %s", self._path, error
                )
            except Exception:  # whatever it is: a task that ended would leave every kernel's end unnoticed
                log.exception("The watch of %s failed; it starts again from a list.", self._path)
                version = ""
            # After every end: a server can answer 200 and close, again and again.
            await backoff.pause()

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
            self.tell(gone, None)
        return version

    async def _watch(self, version: str) -> AsyncIterator[str]:
        """Take in each change; yield the version that it leads to."""
        query = {**self._selector, "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
        async with self._client.stream(self._path, query=query, silence=SILENCE) as changes:
            self._synchronized, self._refusal = True, None
            async for change in changes:
                kind, item = change["type"], change["object"]
                if kind == "ERROR":
                    raise ClusterError.from_status(item, 500)
                if kind == "DELETED":
                    key = self._key(item)
                    self.tell(key, self._read(item, True, self._known.pop(key, None)))
                    self.tell(key, None)
                elif kind != "BOOKMARK":
                    self._take(item)
                yield str(item["metadata"]["resourceVersion"])

    def _take(self, item: Document) -> str:
        key = self._key(item)
        value = self._read(item, False, self._known.get(key))
        if key not in self._known or self._known[key] != value:
            self._known[key] = value
            self.tell(key, value)
        return key

    def tell(self, key: str, value: T | None) -> None:
        """Tell followers something of an object, be it what no change of it says; None = it is gone."""
        for changes in self._followers.get(key, set()) | self._followers.get(EVERYTHING, set()):
            changes.put_nowait(Change(key, value))

    def _refuse(self, error: ClusterError) -> None:
        """Tell all followers, and who follows later, that they are told nothing else."""
        self._refusal = error
        for key, followers in self._followers.items():
            for changes in followers:
                changes.put_nowait(Change(key, error))
