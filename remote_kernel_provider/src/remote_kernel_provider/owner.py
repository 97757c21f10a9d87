"""Whose a kernel is: a user, on a machine, by one host process; and the proof that a host is dead.

A host is alive as long as it holds a lock on a file of its own. The operating system releases the lock when the
process ends, however it ends, so no timer and no heartbeat is needed on one machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import platform
import re
import secrets
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakMethod

from remote_kernel_provider.files import make_private_folder, safe_name, write_private

DETACHED = "detached"
"""Instance of kernels that belong to no host process: started to be kept, ended only on request."""

SERVER_PREFIX = "server-"
"""How the instances begin that come back under the same name."""

ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Owner:
    """The host process that launched a kernel, or that adopted it.

    Parameters
    ----------
    user
        The authenticated user of a server, else the operating system's.
    host_id
        Random id of the user's data folder.
    instance
        `server-…` (port and base URL: the same after a restart), `client-…` (random) or `detached`.
    """

    user: str
    host_id: str
    instance: str

    @property
    def returns(self) -> bool:
        """Whether a later process can be the same instance and adopt its kernels."""
        return self.instance.startswith(SERVER_PREFIX)


@dataclass(frozen=True)
class OwnerSelector:
    """Which owners are meant; None = any."""

    user: str | None = None
    host_id: str | None = None
    instance: str | None = None

    def matches(self, owner: Owner) -> bool:
        """Whether the owner is meant."""
        return (
            self.user in (None, owner.user)
            and self.host_id in (None, owner.host_id)
            and self.instance in (None, owner.instance)
        )


@dataclass(frozen=True)
class HostState:
    """Whether the host of a kernel lives, as far as anybody here can tell.

    Parameters
    ----------
    word
        `alive`, `dead`, `detached`, or `unknown`.
    dead_since
        Unix time from which on it is known to be dead; None where it is not.
    """

    word: str
    dead_since: float | None = None


def server_instance(port: int, base_url: str) -> str:
    """Return the instance name of a server, the same after its restart."""
    path = re.sub(r"[^A-Za-z0-9]+", "-", base_url).strip("-")
    return f"{SERVER_PREFIX}{port}" + (f"-{path}" if path else "")


def client_instance() -> str:
    """Return a fresh instance name for a program that will not come back."""
    return f"client-{secrets.token_hex(8)}"


class HostIdentity:
    """This user's folder of hosts: its random id, its secret, and the locks of the living.

    Parameters
    ----------
    folder
        Made with mode 0700 when it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks = folder / "hosts"
        make_private_folder(folder)
        make_private_folder(self._locks)
        self.host_id, self._secret = self._load()
        self.place = self._place()
        """Where our locks are seen: by whoever sees the same folder on the same boot of the same machine."""
        self._held: dict[str, int] = {}
        forget = WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (method := forget()) and method())

    def _load(self) -> tuple[str, bytes]:
        file = self.folder / "host.json"
        with suppress(FileNotFoundError):
            return _identity(file)
        fresh = {"host_id": secrets.token_hex(8), "secret": secrets.token_hex(32)}
        # Of several first hosts at once, one wins and all use what it wrote.
        write_private(file, json.dumps(fresh).encode(), replace=False)
        return _identity(file)

    def _place(self) -> str:
        # File systems that machines share need not share locks, and a copied folder has other ones.
        boot = _BOOT_ID.read_text() if _BOOT_ID.exists() else f"{platform.node()} {uuid.getnode()}"
        folder = self._locks.stat()
        return hashlib.sha256(f"{boot} {folder.st_dev} {folder.st_ino}".encode()).hexdigest()[:16]

    def seal(self, message: bytes) -> str:
        """Return the MAC of a message under this user's secret."""
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def is_sealed(self, message: bytes, seal: str) -> bool:
        """Whether `seal` is the MAC that `seal(message)` would return."""
        return hmac.compare_digest(self.seal(message).encode(), seal.encode())

    def hold(self, instance: str) -> str:
        """Hold the lock of an instance until this process ends.

        Returns
        -------
        str
            The instance that is held: with a random suffix where another living process holds the one asked for.
        """
        return instance if self.try_to_hold(instance) else self.hold(client_instance())

    def try_to_hold(self, instance: str) -> bool:
        """Hold the lock of an instance until this process ends, unless another living process holds it."""
        if instance in self._held:
            return True
        descriptor = os.open(self._lock(instance), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(descriptor):
            os.close(descriptor)
            return False
        os.ftruncate(descriptor, 0)
        self._held[instance] = descriptor
        return True

    def has_seen(self, instance: str) -> bool:
        """Whether an instance of this name has been on this machine before, or is."""
        return self._lock(instance).exists()

    def release(self, instance: str) -> None:
        """Give a lock back, and forget the instance when it is one that does not return."""
        descriptor = self._held.pop(instance, None)
        if descriptor is not None:
            if not instance.startswith(SERVER_PREFIX):
                self.forget(instance)
            os.close(descriptor)

    def dead_since(self, owner: Owner) -> float | None:
        """Return since when (Unix time) an owner is known to be dead, or None: it lives, or nobody here can tell.

        The time of a death is not recorded; the first look at a dead host's lock file is.
        """
        if owner.host_id != self.host_id or owner.instance == DETACHED:
            return None
        try:
            descriptor = os.open(self._lock(owner.instance), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0.0
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            noted = os.read(descriptor, 64)
            if not noted:
                noted = str(time.time()).encode()
                os.write(descriptor, noted)
            return float(noted)
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)

    def state_of(self, owner: Owner) -> HostState:
        """Return what the locks say of an owner; they are proof on this machine alone."""
        if owner.instance == DETACHED:
            return HostState(DETACHED)
        if owner.host_id != self.host_id:
            return HostState(UNKNOWN)
        since = self.dead_since(owner)
        return HostState(ALIVE) if since is None else HostState(DEAD, since)

    def forget(self, instance: str) -> None:
        """Remove the lock file of a dead instance that has no kernels left."""
        self._lock(instance).unlink(missing_ok=True)

    def _lock(self, instance: str) -> Path:
        # What is written on a kernel names an instance, and others may write there: it must lead to no other folder.
        return self._locks / f"{safe_name(instance)}.lock"

    def _forget(self) -> None:
        # A lock lives as long as any copy of its descriptor: a forked child must not keep its parent's.
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held = {}


def _locked(descriptor: int) -> bool:
    """Lock a file for this process alone; False when another process holds it."""
    for _ in range(50):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.002)  # whoever looks whether a host is dead has its lock for a moment
    return False


def _identity(file: Path) -> tuple[str, bytes]:
    document = json.loads(file.read_bytes())
    return document["host_id"], bytes.fromhex(document["secret"])
