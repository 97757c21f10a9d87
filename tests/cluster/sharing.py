"""One cluster for everybody who tests on this machine: the first one starts it, the last one stops it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from keeping import CACHE, locked

from cluster.building import Built, build
from cluster.running import Cluster

FOLDER = CACHE / "cluster"
ROOT = FOLDER / "running"
LOCK = FOLDER / "lock"
USERS = FOLDER / "users"
"""Every user holds a shared lock on this file: whoever can have it for himself is the last."""
KEPT = FOLDER / "kept"
"""Exists while `up` holds the cluster for a person."""
TURNS = FOLDER / "turns"
"""Every test holds a shared lock on this file; one that harms the cluster has it for itself."""
GATE = FOLDER / "gate"
"""Everybody passes it on the way to a turn. Who wants to be alone stays in it until the others have ended, so that no
stream of new ones keeps him waiting."""


def up() -> Cluster:
    """Start the cluster for a person, until `down`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    built = build()
    with locked(LOCK):
        cluster = _running(built)
        KEPT.touch()
        return cluster


def down() -> None:
    """Stop the cluster, whoever uses it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with locked(LOCK):
        KEPT.unlink(missing_ok=True)
        Cluster(Built(), ROOT).down()


@contextmanager
def shared() -> Iterator[Cluster]:
    """Use the cluster together with other processes, xdist's for example."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    built = build()
    users = os.open(USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with locked(LOCK):
            fcntl.flock(users, fcntl.LOCK_SH)
            cluster = _running(built)
        yield cluster
    finally:
        with locked(LOCK):
            if not KEPT.exists() and _is_last(users):
                Cluster(built, ROOT).down()
            os.close(users)


_alone = False
"""Whether this process has the cluster for itself."""


@contextmanager
def turn(alone: bool) -> Iterator[None]:
    """Use the cluster together with other tests, or alone; waits for either.

    Nobody asks to be alone while he has a turn: he would wait for himself.
    """
    global _alone
    if _alone:
        yield
        return
    turns = os.open(TURNS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with locked(GATE):
            fcntl.flock(turns, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        _alone = alone
        yield
    finally:
        _alone = False
        os.close(turns)


def _running(built: Built) -> Cluster:
    cluster = Cluster(built, ROOT)
    with turn(alone=False):  # a test that just harms it starts it again by itself
        if not cluster.answers():
            cluster.up()
    return cluster


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
