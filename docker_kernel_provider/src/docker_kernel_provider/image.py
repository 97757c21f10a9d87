"""What an image says of its user, and as whom a kernel runs in it."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docker_kernel_provider.archive import read_file, read_header
from remote_kernel_provider.errors import RefusedError

if TYPE_CHECKING:
    from docker import APIClient

USER, GROUP = 1000, 100
"""As whom a kernel runs where its image says root; those of Jupyter's own images."""
HOME = "/home/kernel"
"""Made for a user who has no home in the image."""


@dataclass(frozen=True)
class Account:
    """A line of `/etc/passwd`."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class Image:
    """An image, as the engine has it.

    Parameters
    ----------
    id
        Its digest.
    user
        Whom it runs as: empty, a name or an id, each with or without a group.
    environment, working_dir
        Its own.
    digests
        `repository@digest`, for each registry that it came from.
    """

    id: str
    user: str
    environment: Mapping[str, str]
    working_dir: str
    digests: tuple[str, ...] = ()

    @classmethod
    def of(cls, inspected: Mapping[str, Any]) -> Image:
        """Read what the engine says."""
        config = inspected.get("Config") or {}
        entries = [entry.partition("=") for entry in config.get("Env") or ()]
        return cls(
            id=str(inspected["Id"]),
            user=str(config.get("User") or ""),
            environment={name: value for name, _, value in entries},
            working_dir=str(config.get("WorkingDir") or ""),
            digests=tuple(inspected.get("RepoDigests") or ()),
        )


@dataclass(frozen=True)
class RunAs:
    """As whom a kernel runs, and where.

    Parameters
    ----------
    user
        As the engine is told.
    uid, gid
        The same, in numbers.
    home
        Home that has to be made; empty = the image has one that it can write to.
    working_dir
        Where it begins; empty = where the image says.
    """

    user: str
    uid: int
    gid: int
    home: str
    working_dir: str


@dataclass(frozen=True)
class Wanted:
    """As whom a kernel is to run.

    Parameters
    ----------
    uid, gid
        What the parameters say, or None.
    prohibited_uids, prohibited_gids
        What the operator prohibits.
    """

    uid: int | None
    gid: int | None
    prohibited_uids: frozenset[int]
    prohibited_gids: frozenset[int]


def run_as(client: APIClient, image: Image, wanted: Wanted, container: Mapping[str, Any], name: str) -> RunAs:
    """Find out as whom a kernel runs in an image.

    The image's own user, but never root unless the operator allows it and the parameters ask for it. What an image's
    names stand for, and what its folders allow, only a look into it says: into a container that is never started.

    Parameters
    ----------
    client, image, wanted
        See the classes.
    container, name
        What a container is created of, for the look; removed again.

    Raises
    ------
    RefusedError
        When the operator prohibits it.
    """
    created = client.create_container_from_config(dict(container), name)["Id"]
    try:
        accounts = _accounts(read_file(client, created, "/etc/passwd") or b"")
        groups = _groups(read_file(client, created, "/etc/group") or b"")
        uid, gid, user = _user(image, wanted, accounts, groups)
        account = next((account for account in accounts if account.uid == uid), None)
        home = image.environment.get("HOME", "") if user == image.user else ""
        home = home or (account.home if account else "")
        if not _may(read_header(client, created, home) if home else None, uid, gid, 0o300):
            home = ""
        begin = image.working_dir
        if begin in ("", "/") or not _may(read_header(client, created, begin), uid, gid, 0o100):
            begin = home or HOME
        return RunAs(user, uid, gid, "" if home else HOME, begin if begin != image.working_dir else "")
    finally:
        client.remove_container(created, force=True, v=True)


def _user(
    image: Image, wanted: Wanted, accounts: Collection[Account], groups: Mapping[str, int]
) -> tuple[int, int, str]:
    """Return user and group as numbers, and as the engine is told."""
    uid, gid = _own(image, accounts, groups)
    changed = False
    if wanted.uid is not None and wanted.uid != uid:
        uid, changed = wanted.uid, True
        gid = next((account.gid for account in accounts if account.uid == uid), GROUP)
    elif uid == 0 and wanted.uid is None:
        uid, gid, changed = USER, GROUP, True
    if wanted.gid is not None and wanted.gid != gid:
        gid, changed = wanted.gid, True
    elif gid == 0 and 0 in wanted.prohibited_gids:
        gid, changed = GROUP, True
    for kind, number, prohibited in (
        ("uid", uid, wanted.prohibited_uids),
        ("gid", gid, wanted.prohibited_gids),
    ):
        if number in prohibited:
            raise RefusedError(
                f"{kind} {number}, the image's own, is refused: it is one of prohibited_{kind}s; set another {kind}"
            )
    return uid, gid, f"{uid}:{gid}" if changed or not image.user else image.user


def _own(image: Image, accounts: Collection[Account], groups: Mapping[str, int]) -> tuple[int, int]:
    said_user, _, said_group = image.user.partition(":")
    account = next((account for account in accounts if said_user in (account.name, str(account.uid))), None)
    if account is not None:
        uid, gid = account.uid, account.gid
    else:
        uid, gid = int(said_user) if said_user.isdecimal() else 0, 0
    if said_group:
        gid = groups.get(said_group, int(said_group) if said_group.isdecimal() else 0)
    return uid, gid


def _accounts(text: bytes) -> list[Account]:
    found = []
    for line in text.decode(errors="replace").splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdecimal() and fields[3].isdecimal():
            found.append(Account(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return found


def _groups(text: bytes) -> dict[str, int]:
    lines = (line.split(":") for line in text.decode(errors="replace").splitlines())
    return {fields[0]: int(fields[2]) for fields in lines if len(fields) >= 3 and fields[2].isdecimal()}


def _may(folder: tarfile.TarInfo | None, uid: int, gid: int, rights: int) -> bool:
    """Whether a user has the rights of a folder's owner, given as the owner's bits."""
    if folder is None or not folder.isdir():
        return False
    if uid == 0:
        return True
    own = folder.mode if folder.uid == uid else folder.mode << 3 if folder.gid == gid else folder.mode << 6
    return own & rights == rights
